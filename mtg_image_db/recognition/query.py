"""Pictures -> answers: the work of query_index.py, and the text and JSON that it prints.

    for answer, photo in answers(paths, Question(index, model, k=3)):
        print("\n".join(text_lines(answer)))

Reads   the pictures
Writes  nothing
"""
from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.common import InvalidContent, open_photo
from mtg_image_db.index.reader import CardIndex, Match
from mtg_image_db.recognition import annotate, html_report
from mtg_image_db.recognition.namer import Card, name_photo
from mtg_image_db.recognition.retrieval import PictureModel
from mtg_image_db.threads import map_ahead

QUERY_BATCH = 64
PHOTOS_AHEAD = 2  # photos decoded while another is named: 36 MB each at 12 megapixels
MOST_LIKE = ". Most like:"
MIRRORED = "Seen in a mirror:"
NO_VECTOR = "the model gave no finite vector"

Result = TypeVar("Result")
Picture = NDArray[np.uint8]  # RGB, [H, W, 3]


@dataclass(frozen=True)
class Answer:
    """The answer to a picture: its cards and the first card's matches, or an error. With --find off there are matches
    but no cards. scale is the length of a side in the decoded photo divided by its length in the file."""
    path: Path
    matches: Sequence[Match] = ()
    cards: Sequence[Card] = ()
    error: str | None = None
    scale: float = 1.0

    @property
    def recognised(self) -> list[Card]:
        return [card for card in self.cards if card.accepted]


AnswerWithPhoto = tuple[Answer, Picture | None]


@dataclass(frozen=True)
class Question:
    """The options of a query, and the index it asks. find=True looks for the cards. Otherwise the picture is the card.
    with_photos=True returns each picture with its answer."""
    index: CardIndex
    model: PictureModel
    k: int = 1
    ef_search: int | None = None
    find: bool = True
    with_photos: bool = False


def answers(paths: Sequence[Path], question: Question) -> Iterator[AnswerWithPhoto]:
    """Yield the answer to each picture as soon as it is known, with the upright picture (uint8 [H, W, 3]) or None. If a
    picture cannot be read, the answer has an error."""
    return _name_each(paths, question) if question.find else _match_each(paths, question)


def _name_each(paths: Sequence[Path], question: Question) -> Iterator[AnswerWithPhoto]:
    """Find and name the cards of each picture."""
    photos = map_ahead(_or_reason(open_photo), paths, PHOTOS_AHEAD, PHOTOS_AHEAD)
    for path, photo in zip(paths, photos, strict=True):
        if isinstance(photo, str):
            yield Answer(path, error=photo), None
        else:
            yield _named(path, *photo, question), photo[0] if question.with_photos else None


def _named(path: Path, photo: Picture, scale: float, question: Question) -> Answer:
    try:
        cards = name_photo(photo, question.index, question.model, question.k, question.ef_search, scale)
    except InvalidContent as error:
        return Answer(path, error=str(error))
    return Answer(path, cards[0].matches, cards, scale=scale) if cards else Answer(path, error=NO_VECTOR)


def _match_each(paths: Sequence[Path], question: Question) -> Iterator[AnswerWithPhoto]:
    """Match each picture as one card, in batches through the model."""
    def prepared(path: Path) -> tuple[Picture, Picture | None]:
        photo, _ = open_photo(path)
        return question.model.prepare(photo), _small(photo) if question.with_photos else None

    pictures = zip(paths, map_ahead(_or_reason(prepared), paths, os.cpu_count() or 1, QUERY_BATCH), strict=True)
    while batch := list(itertools.islice(pictures, QUERY_BATCH)):
        good = [picture[0] for _, picture in batch if not isinstance(picture, str)]
        vectors: Iterator[NDArray[np.float32]] = iter(question.model.embed(np.stack(good)) if good else ())
        for path, picture in batch:
            if isinstance(picture, str):
                yield Answer(path, error=picture), None
                continue
            vector = next(vectors)
            if np.isfinite(vector[0]):
                cosines, rows = question.index.nearest(vector[None], question.k, question.ef_search)
                matches = question.index.matches(cosines[0].tolist(), rows[0].tolist(), question.k)
                yield Answer(path, matches), picture[1]
            else:
                yield Answer(path, error=NO_VECTOR), picture[1]


def _small(photo: Picture) -> Picture:
    """The photo at the width that a page shows. Complete batches of these are kept in memory."""
    import cv2

    scale = min(1.0, html_report.PHOTO / photo.shape[1])
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else photo


def _or_reason(read: Callable[[Path], Result]) -> Callable[[Path], Result | str]:
    """Wrap read so that it returns the reason as text if a picture cannot be read."""
    def result_or_reason(path: Path) -> Result | str:
        try:
            return read(path)
        except InvalidContent as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)
    return result_or_reason


# Output

def text_lines(answer: Answer) -> Iterator[str]:
    """Yield a line for each match. If there are several cards, or if none is recognised, a heading comes first."""
    if not answer.recognised:
        if answer.cards:
            yield annotate.NOT_KNOWN + MOST_LIKE
        yield from map(_match_line, answer.matches)
    for at, card in enumerate(answer.recognised, 1):
        if len(answer.recognised) > 1:
            yield f"Card {at} at " + " ".join(f"{x:.0f},{y:.0f}" for x, y in card.quad)
        if card.mirrored:
            yield MIRRORED
        yield from map(_match_line, card.matches)
        others = [face for face in card.printings if face.face_id != card.matches[0].face_id]
        if others and not card.printing_decided:
            yield "   or another printing: " + " ".join(f"[{face.set} {face.collector_number}]" for face in others)


def _match_line(match: Match) -> str:
    return (f"{match.rank}. {match.name} [{match.set} {match.collector_number}] "
            f"score={match.score:.3f} {match.scryfall_uri or match.image_url}")


def json_line(answer: Answer) -> str:
    """The answer as one JSON object. Names come from the network, so control characters stay escaped."""
    line = json.dumps({"query": str(answer.path), "matches": [asdict(match) for match in answer.matches],
                       "cards": [asdict(card) for card in answer.cards],
                       **({"error": answer.error} if answer.error else {})}, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
