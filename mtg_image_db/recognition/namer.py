"""A photo -> the cards in it, each named or marked as not recognised: finder.py proposes places, the index judges.

    cards = name_cards(open_pixels(path), index, model)

Each candidate place is straightened, both ways up, and embedded. The index's nearest rows are ranked again by how alike
the perceptual hashes of their picture and of the candidate are. The candidate's corners are then moved to where they
are most alike. How alike that is, and how much less alike the next different card is, decides whether the card is
recognised. This measure is the same for every embedding model.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.index.reader import CardIndex, Match
from mtg_image_db.recognition.finder import (
    CARD_RATIO,
    SAME_PLACE,
    Pyramid,
    find_quads,
    overlap,
    rectangle,
    straighten,
    upright,
)
from mtg_image_db.recognition.fitting import HOPELESS, MOVES, SIZES, STEPS, fit_corners, grown, similarity_to

# Similarity + margin from which on a card is recognised. Measured with efficientnet-lite0: see accepted().
ACCEPTED = 0.8
PRINTING_DECIDED = 0.1  # of similarity between two printings of one artwork: 13 of 256 bits
RETRIEVED = 50  # rows nearest to a view, at least, that are ranked again by their hashes
RIVALS = 3  # different cards that a view's corners are fitted to
VIEWS_RANKED, VIEWS_FITTED = 4, 2  # of one place in the photo: guesses overlap
MAX_PLACES = 40
COSINE_WEIGHT = 1.0  # beside the similarity, in ranking
MIN_STRAIGHTENED = 244  # pixels of a straightened card's width: a little more than models look at
NEAR_EQUAL = 0.02  # cosines of two rows of one name that count as one artwork where no illustration_id tells
# What web/likeness.js decides with: an export writes these constants into meta.json.
DECISION = {"accepted": ACCEPTED, "retrieved": RETRIEVED, "rivals": RIVALS, "sizes": SIZES, "steps": STEPS,
            "moves": MOVES, "hopeless": HOPELESS, "cosine_weight": COSINE_WEIGHT}


class PictureModel(Protocol):
    """What makes vectors of pictures: the Embedder of the index's model."""

    @property
    def input_size(self) -> int: ...
    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def embed_photos(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Printing:
    """A face that shows a card's artwork. similarity: how alike its picture and the card in the photo are."""
    similarity: float
    name: str
    set: str
    collector_number: str
    scryfall_id: str
    face_id: str


@dataclass(frozen=True)
class Card:
    """A card of a photo.

    quad: its corners clockwise from the card's own top left, [x, y] in pixels of the upright photo. rotation: degrees
    that it is turned clockwise. score: the similarity to the first match, 1 for equal pictures and about 0 for
    unrelated ones. margin: how much less similar the next different card is. matches: best first, with cosines as
    their scores. printings: of a recognised card every face that shows the first match's artwork, the most similar
    first. printing_decided: whether the first match is the one in the photo.
    """
    quad: list[list[float]]
    rotation: int
    accepted: bool
    score: float
    margin: float
    matches: list[Match]
    printing_decided: bool = False
    printings: list[Printing] = field(default_factory=list)


class _View(NamedTuple):
    """A candidate one way up, and its nearest rows with their cosines."""
    quad: NDArray[np.float32]
    cosines: NDArray[np.float32]
    rows: NDArray[np.int64]


class _Ranked(NamedTuple):
    """A view's rows ranked again: their similarity at the best of SIZES, the number of that size, the new ranking."""
    view: _View
    similarity: NDArray[np.float32]
    size: NDArray[np.int64]
    ranking: NDArray[np.float32]

    @property
    def quad(self) -> NDArray[np.float32]:
        return self.view.quad


Placed = TypeVar("Placed", _View, _Ranked, Card)
Number = TypeVar("Number", float, NDArray[np.float32])


class _Fit(NamedTuple):
    """A view whose corners are fitted to a row's picture."""
    similarity: float
    cosine: float
    row: int
    quad: NDArray[np.float32]

    @property
    def ranking(self) -> float:
        return _ranking(self.similarity, self.cosine)


def accepted(score: float, margin: float) -> bool:
    """Whether a similarity and its margin are those of a card that is in the index.

    ACCEPTED was set on 207 photos and 80 pictures of other cards, with 1,537 cards indexed: the smallest value with
    which no card is recognised that is not among them. scripts/eval_photos.py --hold-out counts it again.
    """
    return score + margin >= ACCEPTED


def name_cards(photo: NDArray[np.uint8], index: CardIndex, model: PictureModel, k: int = 1,
               ef_search: int | None = None, quads: Sequence[NDArray[np.float32]] | None = None) -> list[Card]:
    """The cards in an upright RGB photo (uint8 [H, W, 3]): recognised ones first, then the better ranked. Each has at
    most k matches. What is not recognised is there too, with accepted False. The list is empty only where the model
    gives no finite vector.

    quads (float32 [4, 2], top left first) are the places where the cards are known to be. Without them finder.py looks
    for them. Raises InvalidContent for a picture that is far too long for a card's.
    """
    quads = guesses(photo) if quads is None else quads
    views = sorted(_views(photo, quads, index, model, max(k, RETRIEVED), ef_search), key=lambda view: -view.cosines[0])
    grey = Pyramid(_grey(photo))
    ranked = [_rank_again(view, grey, index) for view in _by_place(views, VIEWS_RANKED)[:VIEWS_RANKED * MAX_PLACES]]
    ranked.sort(key=lambda view: -view.ranking.max())
    found: list[tuple[float, Card]] = []
    for view in _by_place(ranked, VIEWS_FITTED)[:VIEWS_FITTED * MAX_PLACES]:
        if not any(card.accepted and overlap(view.quad, card.quad) > SAME_PLACE for _, card in found):
            fits = sorted((_fit(view, at, grey, index) for at in _rivals(view, index)), key=lambda fit: -fit.ranking)
            found.append((fits[0].ranking, _card(view, fits, grey, index, k)))
    found.sort(key=lambda pair: (not pair[1].accepted, -pair[0]))
    return _by_place((card for _, card in found), 1)


def _grey(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)


def guesses(photo: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Where cards may be, float32 [4, 2] each, top left first: the whole picture as it is, the whole picture as an
    upright card, and every candidate, the last two both ways up."""
    height, width = photo.shape[:2]
    frame = rectangle(width, height)
    places = [upright(frame), *(candidate.quad for candidate in find_quads(photo))]
    turned = [quad for place in places for quad in (place, np.roll(place, 2, axis=0))]
    return [frame, *(quad for quad in turned if not np.array_equal(quad, frame))]


def _views(photo: NDArray[np.uint8], quads: Sequence[NDArray[np.float32]], index: CardIndex, model: PictureModel,
           rows_each: int, ef_search: int | None) -> list[_View]:
    """The quads straightened and embedded, with the rows_each rows nearest to them. The whole picture stays as it is: a
    scan of an indexed picture has a cosine of 1."""
    if not len(quads):
        return []
    frame, pyramid, width = rectangle(*photo.shape[1::-1]), Pyramid(photo), max(MIN_STRAIGHTENED, model.input_size)
    pictures = [photo if np.array_equal(quad, frame) else straighten(pyramid, quad, width, round(width / CARD_RATIO))
                for quad in quads]
    vectors = model.embed_photos(pictures)
    finite = np.isfinite(vectors[:, 0])
    cosines, rows = index.nearest(vectors[finite], rows_each, ef_search)
    kept = [quad for quad, is_finite in zip(quads, finite, strict=True) if is_finite]
    return [_View(quad, cosine[row >= 0], row[row >= 0]) for quad, cosine, row in zip(kept, cosines, rows, strict=True)]


def _by_place(ranked: Iterable[Placed], each: int) -> list[Placed]:
    """The first of what has a quad, at most `each` of those that overlap."""
    kept: list[Placed] = []
    for item in ranked:
        if sum(overlap(item.quad, other.quad) > SAME_PLACE for other in kept) < each:
            kept.append(item)
    return kept


def _ranking(similarity: Number, cosine: Number) -> Number:
    return similarity + COSINE_WEIGHT * cosine


def _rank_again(view: _View, grey: Pyramid, index: CardIndex) -> _Ranked:
    similarity = similarity_to(index.hashes[view.rows], grey, [grown(view.quad, size) for size in SIZES])
    best = similarity.max(axis=0)
    return _Ranked(view, best, similarity.argmax(axis=0), _ranking(best, view.cosines))


def _rivals(ranked: _Ranked, index: CardIndex) -> list[int]:
    """Where in the view's rows the best of RIVALS different cards stand."""
    best: dict[str, int] = {}
    for at in np.argsort(-ranked.ranking).tolist():
        best.setdefault(index.face(ranked.view.rows[at])["name"], at)
        if len(best) == RIVALS:
            break
    return list(best.values())


def _fit(ranked: _Ranked, at: int, grey: Pyramid, index: CardIndex) -> _Fit:
    """The view with its corners fitted to the picture of its row number `at`."""
    view, start = ranked.view, grown(ranked.quad, SIZES[ranked.size[at]])
    similarity, quad = fit_corners(start, float(ranked.similarity[at]), index.hashes[view.rows[at]], grey)
    return _Fit(similarity, float(view.cosines[at]), int(view.rows[at]), quad)


def _card(ranked: _Ranked, fits: list[_Fit], grey: Pyramid, index: CardIndex, k: int) -> Card:
    view, best = ranked.view, fits[0]
    rival = max((fit.similarity for fit in fits[1:]), default=best.similarity)  # none: nothing tells them apart
    is_card = accepted(best.similarity, best.similarity - rival)
    quad = best.quad if is_card else view.quad  # fitted to a card it is not, it would be farther off
    rows = view.rows.tolist()
    cosines = dict(zip(rows, view.cosines.tolist(), strict=True))
    order = dict(zip(rows, ranked.ranking.tolist(), strict=True)) | {fit.row: fit.ranking for fit in fits}
    similarity = _printings(ranked, best, grey, index) if is_card else {best.row: best.similarity}
    order |= {row: _ranking(like, cosines[row]) for row, like in similarity.items() if row in cosines}
    first = max((row for row in similarity if row in cosines), key=lambda row: (similarity[row], row == best.row))
    rows.sort(key=lambda row: (row != first, -order[row]))
    next_like = max((like for row, like in similarity.items() if row != first), default=-math.inf)
    return Card(np.round(quad.astype(np.float64), 1).tolist(), _rotation(quad), is_card, round(similarity[first], 4),
                round(similarity[first] - rival, 4), index.matches([cosines[row] for row in rows], rows, k),
                is_card and similarity[first] - next_like >= PRINTING_DECIDED,
                [_printing(index.face(row), like) for row, like in similarity.items()] if is_card else [])


def _printings(ranked: _Ranked, best: _Fit, grey: Pyramid, index: CardIndex) -> dict[int, float]:
    """row -> similarity of every row that shows the fitted card's artwork, the most alike first."""
    name, view = index.face(best.row)["name"], ranked.view
    same = {row: None for row in (best.row, *index.rows_of_artwork(best.row)) if index.face(row)["name"] == name}
    for row in view.rows[np.abs(view.cosines - best.cosine) <= NEAR_EQUAL].tolist():
        face = index.face(row)
        if face["name"] == name and not face.get("illustration_id"):
            same[row] = None
    rows = list(same)
    similarity = similarity_to(index.hashes[rows], grey, [best.quad])[0].tolist()
    return dict(sorted(zip(rows, similarity, strict=True), key=lambda pair: -pair[1]))


def _printing(face: dict[str, Any], similarity: float) -> Printing:
    return Printing(round(similarity, 4), **{part.name: face[part.name] for part in fields(Printing)[1:]})


def _rotation(quad: NDArray[np.float32]) -> int:
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom to that of the top."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
