"""A photo -> the cards in it, named, or honestly not: candidates proposed by card_finder.py, judged by the index.

    cards = card_namer.name_cards(np.asarray(open_picture(path)), index, model)

Each candidate is straightened, both ways up, and embedded; the index's nearest rows are ranked again by how much
their picture's hash and the candidate's are alike, and the candidate's corners are moved to where they are most
alike. How alike that is, and how much less the next different card, decides whether the answer is accepted: the
same measure for every embedding model.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from mtg_image_db.embedding import picture_hash
from mtg_image_db.embedding.embedder import Embedder, prepare
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

# Likeness + margin, from which on an answer is accepted; measured with efficientnet-lite0: see accepted().
ACCEPTED = 0.8
PRINTING_DECIDED = 0.1  # of likeness between two printings of one artwork: 13 of 256 bits
RETRIEVED = 50  # rows nearest to a view, at least, ranked again by their hashes
RIVALS = 3  # different cards a view's corners are fitted to
VIEWS_RANKED, VIEWS_FITTED = 4, 2  # of one place in the photo: guesses overlap
MAX_PLACES = 40
AT_ONCE = 32  # views through the model: the 120 of a photo full of cards would take 2.5 GB at once
COSINE_WEIGHT = 1.0  # beside the likeness, in ranking
SIZES = -0.03, 0.0, 0.03, 0.07  # a candidate's sides are moved outward by these parts: some are of the inner frame
STEPS = 0.03, 0.015, 0.008  # of the card's size, by which corners and sides are moved
MOVES = 4  # at most with each step
HOPELESS = 0.4  # likeness after the first step's moves, below which finer ones make no card
MIN_STRAIGHTENED = 244  # pixels of a straightened card's width: a little more than models look at
HASHED = 96, 128  # pixels a card is straightened to before it is hashed
NEAR_EQUAL = 0.02  # cosines of two rows of one name that are taken for one artwork where no illustration_id tells


@dataclass(frozen=True)
class Printing:
    """A face that shows a card's artwork, and how much its picture is like the card in the photo."""
    likeness: float
    name: str
    set: str
    collector_number: str
    scryfall_id: str
    face_id: str


@dataclass(frozen=True)
class Card:
    """A card of a photo. quad: its corners clockwise from the card's own top left, [x, y] in pixels of the upright
    photo; rotation: degrees it is turned clockwise. score: how much it looks like the first match (likeness, 1
    equal, about 0 unrelated); margin: how much less like the next different card. matches, best first, have cosines
    as their scores. printings: of an accepted card, every face that shows the first match's artwork, the most alike
    first; printing_decided: whether the first match is the one of them in the photo."""
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
    quad: np.ndarray
    cosines: np.ndarray
    rows: np.ndarray


class _Ranked(NamedTuple):
    """A view's rows ranked again: their likeness at the best of SIZES, which of them that is, and the new ranking."""
    view: _View
    likeness: np.ndarray
    size: np.ndarray
    ranking: np.ndarray

    @property
    def quad(self) -> np.ndarray:
        return self.view.quad


Placed = TypeVar("Placed", _View, _Ranked, Card)
Number = TypeVar("Number", float, np.ndarray)


class _Fit(NamedTuple):
    """A view whose corners are fitted to a row's picture."""
    likeness: float
    cosine: float
    row: int
    quad: np.ndarray

    @property
    def ranking(self) -> float:
        return _ranking(self.likeness, self.cosine)


def accepted(score: float, margin: float) -> bool:
    """Whether a likeness and its margin are those of a card that is in the index.

    Set on 207 photos and 80 pictures of other cards, with 1,537 cards indexed, so that no card is accepted that is not
    among them: scripts/eval_photos.py --hold-out counts it again.
    """
    return score + margin >= ACCEPTED


def name_cards(photo: np.ndarray, index: CardIndex, model: Embedder, k: int = 1, ef_search: int | None = None,
               quads: Sequence[np.ndarray] | None = None) -> list[Card]:
    """The cards in an upright RGB photo (uint8 [H, W, 3]): accepted ones first, then the better ranked; of each at
    most k matches. Empty only where the model gives no finite vector: what is not recognised is there with accepted
    False.

    quads (float32 [4, 2], top left first) are where the cards are known to be; without them they are looked for.
    Raises InvalidContent for a picture that is far too long for a card's.
    """
    views = _views(photo, guesses(photo) if quads is None else quads, index, model, max(k, RETRIEVED), ef_search)
    views.sort(key=lambda view: -view.cosines[0])
    grey = Pyramid(_grey(photo))
    ranked = [_rank_again(view, grey, index) for view in _by_place(views, VIEWS_RANKED)[:VIEWS_RANKED * MAX_PLACES]]
    ranked.sort(key=lambda one: -one.ranking.max())
    found: list[tuple[float, Card]] = []
    for one in _by_place(ranked, VIEWS_FITTED)[:VIEWS_FITTED * MAX_PLACES]:
        if not any(card.accepted and overlap(one.quad, card.quad) > SAME_PLACE for _, card in found):
            fits = sorted((_fit(one, at, grey, index) for at in _rivals(one, index)), key=lambda fit: -fit.ranking)
            found.append((fits[0].ranking, _card(one, fits, grey, index, k)))
    found.sort(key=lambda pair: (not pair[1].accepted, -pair[0]))
    return _by_place((card for _, card in found), 1)


def _grey(photo: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)


def guesses(photo: np.ndarray) -> list[np.ndarray]:
    """Where cards may be, float32 [4, 2] each, top left first: the whole picture as it is, and, both ways up, the
    whole picture taken for an upright card and every candidate."""
    height, width = photo.shape[:2]
    frame = rectangle(width, height)
    found = [upright(frame), *(candidate.quad for candidate in find_quads(photo))]
    turned = [quad for one in found for quad in (one, np.roll(one, 2, axis=0))]
    return [frame, *(quad for quad in turned if not np.array_equal(quad, frame))]


def _views(photo: np.ndarray, quads: Sequence[np.ndarray], index: CardIndex, model: Embedder,
           rows_each: int, ef_search: int | None) -> list[_View]:
    """The quads straightened and embedded, with the rows_each rows nearest to them. The whole picture stays as it
    is: a scan of an indexed picture has a cosine of 1."""
    from PIL import Image

    if not len(quads):
        return []
    height, width = photo.shape[:2]
    pyramid, wide = Pyramid(photo), max(MIN_STRAIGHTENED, model.spec.size)
    pictures = [photo if np.array_equal(quad, rectangle(width, height))
                else straighten(pyramid, quad, wide, round(wide / CARD_RATIO)) for quad in quads]
    prepared = np.stack([prepare(Image.fromarray(picture), model.spec) for picture in pictures])
    vectors = np.concatenate([model.embed(prepared[start:start + AT_ONCE])
                              for start in range(0, len(prepared), AT_ONCE)])
    whole = np.isfinite(vectors[:, 0])
    cosines, rows = index.nearest(vectors[whole], rows_each, ef_search)
    kept = [quad for quad, is_whole in zip(quads, whole, strict=True) if is_whole]
    return [_View(quad, cosine[row >= 0], row[row >= 0]) for quad, cosine, row in zip(kept, cosines, rows, strict=True)]


def _by_place(ranked: Iterable[Placed], each: int) -> list[Placed]:
    """The first of what has a quad, at most `each` of those that overlap."""
    kept: list[Placed] = []
    for one in ranked:
        if sum(overlap(one.quad, other.quad) > SAME_PLACE for other in kept) < each:
            kept.append(one)
    return kept


def _ranking(likeness: Number, cosine: Number) -> Number:
    return likeness + COSINE_WEIGHT * cosine


def _rank_again(view: _View, grey: Pyramid, index: CardIndex) -> _Ranked:
    likeness = _likeness(grey, [_grown(view.quad, size) for size in SIZES], index.hashes[view.rows])
    best = likeness.max(axis=0)
    return _Ranked(view, best, likeness.argmax(axis=0), _ranking(best, view.cosines))


def _likeness(grey: Pyramid, quads: Sequence[np.ndarray], hashes: np.ndarray) -> np.ndarray:
    """float32 [len(quads), len(hashes)]: how alike the straightened quads and the hashed pictures are."""
    squares = np.stack([picture_hash.grey_square(straighten(grey, quad, *HASHED, reflect=False)) for quad in quads])
    return picture_hash.similarity(picture_hash.signs(squares), picture_hash.unpack(hashes))


def _grown(quad: np.ndarray, part: float) -> np.ndarray:
    """The quadrilateral with each side moved outward by a part of the card's width or height."""
    import cv2

    unit = rectangle(1, 1)
    grown = unit + np.float32(part) * (2 * unit - 1)
    return cv2.perspectiveTransform(grown[None], cv2.getPerspectiveTransform(unit, np.float32(quad)))[0]


def _rivals(ranked: _Ranked, index: CardIndex) -> list[int]:
    """Where in the view's rows the best of RIVALS different cards stand."""
    best: dict[str, int] = {}
    for at in np.argsort(-ranked.ranking).tolist():
        best.setdefault(index.face(ranked.view.rows[at])["name"], at)
        if len(best) == RIVALS:
            break
    return list(best.values())


def _fit(ranked: _Ranked, at: int, grey: Pyramid, index: CardIndex) -> _Fit:
    """Move corners and sides, each step the one that makes the view most like the row's picture."""
    import cv2

    view = ranked.view
    quad = _grown(view.quad, SIZES[ranked.size[at]])
    likeness, hashes = float(ranked.likeness[at]), index.hashes[view.rows[at]][None]
    for step in STEPS:
        if step < STEPS[0] and likeness < HOPELESS:
            break
        for _ in range(MOVES):
            moved = _moved(quad, step * math.sqrt(cv2.contourArea(quad)))
            found = _likeness(grey, moved, hashes)[:, 0]
            if found.max() <= likeness:
                break
            likeness, quad = float(found.max()), moved[int(found.argmax())]
    return _Fit(likeness, float(view.cosines[at]), int(view.rows[at]), quad)


def _moved(quad: np.ndarray, pixels: float) -> list[np.ndarray]:
    """The quadrilateral with one corner moved along an axis, or one side outward or inward."""
    moves = []
    for corner in range(4):
        following = (corner + 1) % 4
        across = (quad[corner] - quad[following])[::-1] * np.float32([1, -1])
        outward = across / max(float(np.linalg.norm(across)), 1e-6)
        for which, direction in ((corner, (1, 0)), (corner, (0, 1)), ([corner, following], outward)):
            for sign in (1, -1):
                other = quad.copy()
                other[which] += np.float32(direction) * np.float32(sign * pixels)
                moves.append(other)
    return moves


def _card(ranked: _Ranked, fits: list[_Fit], grey: Pyramid, index: CardIndex, k: int) -> Card:
    view, best = ranked.view, fits[0]
    rival = max((fit.likeness for fit in fits[1:]), default=best.likeness)  # none: nothing tells them apart
    is_card = accepted(best.likeness, best.likeness - rival)
    quad = best.quad if is_card else view.quad  # fitted to a card it is not, it would be farther off
    rows = view.rows.tolist()
    cosines = dict(zip(rows, view.cosines.tolist(), strict=True))
    order = dict(zip(rows, ranked.ranking.tolist(), strict=True)) | {fit.row: fit.ranking for fit in fits}
    likeness = _printings(ranked, best, grey, index) if is_card else {best.row: best.likeness}
    order |= {row: _ranking(like, cosines[row]) for row, like in likeness.items() if row in cosines}
    first = max((row for row in likeness if row in cosines), key=lambda row: (likeness[row], row == best.row))
    rows.sort(key=lambda row: (row != first, -order[row]))
    next_like = max((like for row, like in likeness.items() if row != first), default=-math.inf)
    return Card(np.round(quad.astype(np.float64), 1).tolist(), _rotation(quad), is_card, round(likeness[first], 4),
                round(likeness[first] - rival, 4), index.matches([cosines[row] for row in rows], rows, k),
                is_card and likeness[first] - next_like >= PRINTING_DECIDED,
                [_printing(index.face(row), like) for row, like in likeness.items()] if is_card else [])


def _printings(ranked: _Ranked, best: _Fit, grey: Pyramid, index: CardIndex) -> dict[int, float]:
    """row -> likeness of every row that shows the fitted card's artwork, the most alike first."""
    name, view = index.face(best.row)["name"], ranked.view
    same = {row: None for row in (best.row, *index.rows_of_artwork(best.row)) if index.face(row)["name"] == name}
    for row in view.rows[np.abs(view.cosines - best.cosine) <= NEAR_EQUAL].tolist():
        face = index.face(row)
        if face["name"] == name and not face.get("illustration_id"):
            same[row] = None
    rows = list(same)
    likeness = _likeness(grey, [best.quad], index.hashes[rows])[0].tolist()
    return dict(sorted(zip(rows, likeness, strict=True), key=lambda pair: -pair[1]))


def _printing(face: dict, likeness: float) -> Printing:
    return Printing(round(likeness, 4), **{name: face[name] for name in Printing.__dataclass_fields__
                                           if name != "likeness"})


def _rotation(quad: np.ndarray) -> int:
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom to that of the top."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
