"""Pictures -> answers: the work of query_index.py, and the text and JSON that it prints.

    for answer, pixels in named(looks_at(photos_of(["photo.jpg"])), Question(index, model, k=3), CardReader(index)):
        print("\n".join(text_lines(answer)))

Reads   the pictures
Writes  nothing
"""
from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.common import InvalidContent, open_photo
from mtg_image_db.index.reader import Match
from mtg_image_db.recognition import html_report
from mtg_image_db.recognition.card_reader import CardReader
from mtg_image_db.recognition.cards import STATES, TITLE_ALONE, UNKNOWN, Card, cards_record
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.decision import Question
from mtg_image_db.recognition.finder import rectangle
from mtg_image_db.recognition.namer import in_file_pixels, name_photo
from mtg_image_db.recognition.photo_files import PhotoFile
from mtg_image_db.recognition.places import guesses
from mtg_image_db.recognition.printing_choice import tied
from mtg_image_db.recognition.retrieval import Photo, Signs, signs_at, views_of
from mtg_image_db.threads import map_ahead

QUERY_BATCH = 64
OTHERS_SHOWN = 4  # printings in a line of text
PHOTOS_AHEAD = 2  # photos decoded while another is named: 36 MB each at 12 megapixels
NO_VECTOR = "the model gave no finite vector"

Result = TypeVar("Result")
Picture = NDArray[np.uint8]  # RGB, [H, W, 3]


@dataclass(frozen=True)
class Answer:
    """The answer to a photo: its cards and the first card's matches, or an error. Of matched() there are matches but no
    cards. scale is the length of a side in the decoded photo divided by its length in the file."""
    photo: PhotoFile
    matches: Sequence[Match] = ()
    cards: Sequence[Card] = ()
    error: str | None = None
    scale: float = 1.0

    @property
    def recognised(self) -> list[Card]:
        return [card for card in self.cards if card.accepted]


AnswerWithPhoto = tuple[Answer, Picture | None]


@dataclass(frozen=True)
class Look:
    """A photo that was decoded, and where cards may be in it, or why it cannot be read. scale is that of Answer."""
    photo: PhotoFile
    pixels: Picture | None = None
    scale: float = 1.0
    places: Sequence[Place] = ()
    error: str | None = None


def looks_at(photos: Sequence[PhotoFile]) -> Iterator[Look]:
    """Decode each photo and find the places in it, ahead of the caller. It needs no index."""
    def look(photo: PhotoFile) -> Look:
        pixels, scale = _opened(photo)
        return Look(photo, pixels, scale, guesses(pixels))

    for photo, found in zip(photos, map_ahead(_or_reason(look), photos, PHOTOS_AHEAD, PHOTOS_AHEAD), strict=True):
        yield Look(photo, error=found) if isinstance(found, str) else found


def started(looks: Iterator[Look]) -> Iterator[Look]:
    """The same looks. The first is taken now, and the threads begin with the next ones."""
    return itertools.chain(list(itertools.islice(looks, 1)), looks)


def named(looks: Iterable[Look], question: Question, reader: CardReader | None,
          with_photos: bool = False) -> Iterator[AnswerWithPhoto]:
    """Yield the answer to each photo as soon as it is known, with the upright picture (uint8 [H, W, 3]), or with None
    unless with_photos asks for it. If a photo cannot be read, the answer has an error. reader reads printed text."""
    for look in looks:
        if look.pixels is None:
            yield Answer(look.photo, error=look.error), None
        else:
            yield _named(look, look.pixels, question, reader), look.pixels if with_photos else None


def _named(look: Look, pixels: Picture, question: Question, reader: CardReader | None) -> Answer:
    try:
        cards = name_photo(pixels, question, look.places, reader)
        cards = in_file_pixels(cards, look.scale)
    except InvalidContent as error:
        return Answer(look.photo, error=str(error))
    return Answer(look.photo, cards[0].matches, cards, scale=look.scale) if cards else \
        Answer(look.photo, error=NO_VECTOR)


def matched(photos: Sequence[PhotoFile], question: Question, with_photos: bool = False) -> Iterator[AnswerWithPhoto]:
    """Match each photo as one card, in batches through the model. Yields what named() yields."""
    def prepared(photo: PhotoFile) -> tuple[Picture, Place, Signs, Picture | None]:
        pixels, _ = _opened(photo)
        frame = rectangle(pixels.shape[1], pixels.shape[0])
        return (question.model.prepare(pixels), Place(frame), signs_at(frame, Photo.of(pixels)),
                _small(pixels) if with_photos else None)

    pictures = zip(photos, map_ahead(_or_reason(prepared), photos, os.cpu_count() or 1, QUERY_BATCH), strict=True)
    while batch := list(itertools.islice(pictures, QUERY_BATCH)):
        good = [picture[0] for _, picture in batch if not isinstance(picture, str)]
        vectors: Iterator[NDArray[np.float32]] = iter(question.model.embed(np.stack(good)) if good else ())
        for photo, picture in batch:
            if isinstance(picture, str):
                yield Answer(photo, error=picture), None
                continue
            vector = next(vectors)
            _, place, signs, small = picture
            if np.isfinite(vector[0]):
                view, = views_of([place], vector[None], [signs], question.index, question.k, question.ef_search)
                yield Answer(photo, question.index.matches(view.measured(), question.k)), small
            else:
                yield Answer(photo, error=NO_VECTOR), small


def _opened(photo: PhotoFile) -> tuple[Picture, float]:
    return open_photo(photo.path, photo.page or 1)


def _small(photo: Picture) -> Picture:
    """The photo at the width that a page shows. Complete batches of these are kept in memory."""
    import cv2

    scale = min(1.0, html_report.PHOTO / photo.shape[1])
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else photo


def _or_reason(read: Callable[[PhotoFile], Result]) -> Callable[[PhotoFile], Result | str]:
    """Wrap read so that it returns the reason as text if a photo cannot be read."""
    def result_or_reason(photo: PhotoFile) -> Result | str:
        try:
            return read(photo)
        except InvalidContent as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)
    return result_or_reason


# Output

def summary(cards: Sequence[Card]) -> str:
    """How many cards there are of each state: "9 cards: 7 recognised, 1 likely, 1 unknown"."""
    counts = Counter(card.state for card in cards)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{len(cards)} card{'s' * (len(cards) != 1)}: {states}"


def known_by(card: Card) -> str:
    """What is known of a card's printing, in words, or that only its title is known."""
    if card.state == UNKNOWN:
        return ""
    if card.by == TITLE_ALONE:
        return "known by its title alone"
    if card.printings_known < 2:
        return "its only printing" if card.printing_decided else "other printings are not known"
    if card.printing_decided:
        return f'read "{card.printing.read}"' if card.printing.read else "told by its picture"
    read = f'read "{card.printing.read}", ' * (card.printing.read != "")
    others = tied(card.printings) if read else card.printings[1:]
    shown = " ".join(f"[{printing.set} {printing.collector_number}]" for printing in others[:OTHERS_SHOWN])
    more = f" and {len(others) - OTHERS_SHOWN} more" * (len(others) > OTHERS_SHOWN)
    return f"{read}or another printing: {shown}{more}" if shown else f"{read}not decided"


def text_lines(answer: Answer) -> Iterator[str]:
    """Yield the summary, and a line for each match of each card. If there are several cards, each has a heading."""
    if not answer.cards:
        yield from map(_match_line, answer.matches)
        return
    yield summary(answer.cards)
    for number, card in enumerate(answer.cards, 1):
        if len(answer.cards) > 1:
            yield f"Card {number}, {card.state}, at " + " ".join(f"{x:.0f},{y:.0f}" for x, y in card.quad)
        if card.mirrored:
            yield "Seen in a mirror:"
        elif card.state == UNKNOWN:
            yield "Most like:"
        yield _match_line(card.matches[0], card)
        if line := known_by(card):
            yield f"   {line}"
        yield from map(_match_line, card.matches[1:])


def _match_line(match: Match, card: Card | None = None) -> str:
    """The line of a match. Of the first match of a card, it names the printing: with a question mark if nothing decides
    it."""
    printing, doubt = match.set + " " + match.collector_number, ""
    address = match.scryfall_uri or match.image_url
    if card and card.state != UNKNOWN:
        shown = card.printing
        printing, doubt = f"{shown.set} {shown.collector_number}", "?" * (not card.printing_decided)
        address = shown.scryfall_uri or match.image_url * (shown.face_id == match.face_id)
    return f"{match.rank}. {match.name} [{printing}{doubt}] score={match.score:.3f} {address}".rstrip()


def json_line(answer: Answer) -> str:
    """The answer as one JSON object. Names come from the network, so control characters stay escaped."""
    page = {"page": answer.photo.page} if answer.photo.page else {}
    found = cards_record(answer.cards) | {"matches": [asdict(match) for match in answer.matches]}
    line = json.dumps({"query": str(answer.photo.path), **page, **found,
                       **({"error": answer.error} if answer.error else {})}, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
