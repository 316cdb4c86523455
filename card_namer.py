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

import numpy as np

import picture_hash
from card_finder import CARD_RATIO, Pyramid, find_quads, overlap, straighten, upright
from card_index import CardIndex, Match
from embedder import Embedder, prepare

ACCEPTED = 0.8  # likeness + margin, from which on an answer is accepted: see accepted()
PRINTING_DECIDED = 0.1  # of likeness between two printings of one artwork: 13 of 256 bits
RETRIEVED = 50  # rows nearest to a view, at least, ranked again by their hashes
RIVALS = 3  # different cards a view's corners are fitted to
VIEWS_RANKED, VIEWS_FITTED = 4, 2  # of one place in the photo: guesses overlap
MAX_PLACES = 40
AT_ONCE = 32  # views through the model: 150 of a photo full of cards would take 2.5 GB
SAME_PLACE = 0.5  # of the smaller quadrilateral that two have in common
COSINE_WEIGHT = 1.0  # beside the likeness, in ranking
SIZES = -0.03, 0.0, 0.03, 0.07  # a candidate's sides are moved outward by these parts: some are of the inner frame
STEPS = 0.03, 0.015, 0.008  # of the card's size, by which corners and sides are moved
MOVES = 4  # at most with each step
HOPELESS = 0.4  # likeness after the first step's moves, below which finer ones make no card
MIN_STRAIGHTENED = 244  # pixels of a straightened card's width, of which the centre goes to the model
HASHED = 96, 128  # pixels a card is straightened to before it is hashed
NEAR_EQUAL = 0.02  # cosines of two rows of one name that are taken for one artwork where no illustration_id tells


@dataclass(frozen=True)
class Card:
    """A card of a photo. quad: its corners clockwise from the card's own top left, [x, y] in pixels of the upright
    photo; rotation: degrees it is turned clockwise. score: how much it looks like the first match (likeness, 1
    equal, about 0 unrelated); margin: how much less like the next different card. matches, best first, have cosines
    as their scores. printings: every face that shows the first match's artwork; printing_decided: whether the first
    match is the one of them in the photo."""
    quad: list[list[float]]
    rotation: int
    accepted: bool
    score: float
    margin: float
    matches: list[Match]
    printing_decided: bool = False
    printings: list[Match] = field(default_factory=list)


@dataclass
class _View:
    """A candidate one way up: its nearest rows with cosines, and their likeness at the best of SIZES."""
    quad: np.ndarray
    cosines: np.ndarray
    rows: np.ndarray
    likeness: np.ndarray | None = None
    size: np.ndarray | None = None

    @property
    def ranking(self) -> np.ndarray:
        return self.likeness + COSINE_WEIGHT * self.cosines


@dataclass
class _Fit:
    """A view whose corners are fitted to a row's picture."""
    likeness: float
    cosine: float
    row: int
    quad: np.ndarray

    @property
    def ranking(self) -> float:
        return self.likeness + COSINE_WEIGHT * self.cosine


def accepted(score: float, margin: float) -> bool:
    """Whether a likeness and its margin are those of a card that is in the index.

    Calibrated on 207 photos with 1,537 cards indexed, 80 pictures of other games' and home-made cards, and 80 photos
    again with their cards taken out of the index: README, "I don't know".
    """
    return score + margin >= ACCEPTED


def name_cards(photo: np.ndarray, index: CardIndex, model: Embedder, k: int = 1, ef_search: int | None = None,
               quads: Sequence[np.ndarray] | None = None) -> list[Card]:
    """The cards in an upright RGB photo (uint8 [H, W, 3]): accepted ones first, then the better ranked; of each at
    most k matches. Empty only where the model gives no finite vector: what is not recognised is there with accepted
    False.

    quads (float32 [4, 2], top left first) are where the cards are known to be; without them they are looked for.
    """
    views = _views(photo, _guesses(photo) if quads is None else quads, index, model, max(k, RETRIEVED), ef_search)
    grey = Pyramid(_grey(photo))
    _rank_again(views, grey, index)
    views.sort(key=lambda view: -view.ranking.max())
    ranked: list[tuple[float, Card]] = []
    for view in _by_place(views, VIEWS_FITTED):
        if not any(card.accepted and overlap(view.quad, card.quad) > SAME_PLACE for _, card in ranked):
            names = [index.face(row)["name"] for row in view.rows]
            fits = [_fit(view, at, grey, index) for at in _rivals(view.ranking, names)]
            fits.sort(key=lambda fit: -fit.ranking)
            ranked.append((fits[0].ranking, _card(view, fits, grey, index, k)))
    ranked.sort(key=lambda pair: (not pair[1].accepted, -pair[0]))
    cards: list[Card] = []
    for _, card in ranked:
        if not any(overlap(card.quad, other.quad) > SAME_PLACE for other in cards):
            cards.append(card)
    return cards


def _grey(photo: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)


def _guesses(photo: np.ndarray) -> list[np.ndarray]:
    """The whole picture as it is, and it and each candidate both ways up."""
    height, width = photo.shape[:2]
    frame = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    found = [upright(frame), *(candidate.quad for candidate in find_quads(photo))]
    return [frame, *(turned for quad in found for turned in (quad, np.roll(quad, 2, axis=0)))]


def _views(photo: np.ndarray, quads: Sequence[np.ndarray], index: CardIndex, model: Embedder,
           rows_each: int, ef_search: int | None) -> list[_View]:
    """The quads straightened and embedded, with the rows_each rows nearest to them. The whole picture stays as it
    is: a scan of an indexed picture has a cosine of 1."""
    from PIL import Image

    height, width = photo.shape[:2]
    pyramid, wide = Pyramid(photo), max(MIN_STRAIGHTENED, model.spec.size)
    pictures = [photo if np.array_equal(quad, [[0, 0], [width, 0], [width, height], [0, height]])
                else straighten(pyramid, quad, wide, round(wide / CARD_RATIO)) for quad in quads]
    prepared = np.stack([prepare(Image.fromarray(picture), model.spec) for picture in pictures])
    vectors = np.concatenate([model.embed(prepared[start:start + AT_ONCE])
                              for start in range(0, len(prepared), AT_ONCE)])
    whole = np.isfinite(vectors[:, 0])
    cosines, rows = index.nearest(vectors[whole], rows_each, ef_search)
    kept = [quad for quad, is_whole in zip(quads, whole, strict=True) if is_whole]
    return [_View(quad, cosine[row >= 0], row[row >= 0]) for quad, cosine, row in zip(kept, cosines, rows, strict=True)]


def _by_place(views: Iterable[_View], each: int) -> list[_View]:
    """The first views, at most `each` of those that overlap."""
    kept: list[_View] = []
    for view in views:
        if len(kept) < each * MAX_PLACES and sum(overlap(view.quad, other.quad) > SAME_PLACE for other in kept) < each:
            kept.append(view)
    return kept


def _rank_again(views: list[_View], grey: Pyramid, index: CardIndex) -> None:
    """Keep the views worth it and give them their likeness to their rows."""
    views.sort(key=lambda view: -view.cosines[0])
    views[:] = _by_place(views, VIEWS_RANKED)
    for view in views:
        likeness = _likeness(grey, [_grown(view.quad, size) for size in SIZES], index.hashes[view.rows])
        view.likeness, view.size = likeness.max(axis=0), likeness.argmax(axis=0)


def _likeness(grey: Pyramid, quads: Sequence[np.ndarray], hashes: np.ndarray) -> np.ndarray:
    """float32 [len(quads), len(hashes)]: how alike the straightened quads and the hashed pictures are."""
    squares = np.stack([picture_hash.grey_square(straighten(grey, quad, *HASHED, reflect=False)) for quad in quads])
    return picture_hash.similarity(picture_hash.signs(squares), picture_hash.unpack(hashes))


def _grown(quad: np.ndarray, part: float) -> np.ndarray:
    """The quadrilateral with each side moved outward by a part of the card's width or height."""
    import cv2

    unit = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
    grown = unit + np.float32(part) * (2 * unit - 1)
    return cv2.perspectiveTransform(grown[None], cv2.getPerspectiveTransform(unit, np.float32(quad)))[0]


def _rivals(ranking: np.ndarray, names: list[str]) -> list[int]:
    """Where the best rows of RIVALS different cards stand."""
    best: dict[str, int] = {}
    for at in np.argsort(-ranking).tolist():
        best.setdefault(names[at], at)
    return list(best.values())[:RIVALS]


def _fit(view: _View, at: int, grey: Pyramid, index: CardIndex) -> _Fit:
    """Move corners and sides, each step the one that makes the view most like the row's picture."""
    quad = _grown(view.quad, SIZES[view.size[at]])
    likeness, hashes = float(view.likeness[at]), index.hashes[view.rows[at]][None]
    for step in STEPS:
        if step < STEPS[0] and likeness < HOPELESS:
            break
        for _ in range(MOVES):
            moved = _moved(quad, step * math.sqrt(abs(_area(quad))))
            found = _likeness(grey, moved, hashes)[:, 0]
            if found.max() <= likeness:
                break
            likeness, quad = float(found.max()), moved[int(found.argmax())]
    return _Fit(likeness, float(view.cosines[at]), int(view.rows[at]), quad)


def _area(quad: np.ndarray) -> float:
    following = np.roll(quad, -1, axis=0)
    return float(np.sum(quad[:, 0] * following[:, 1] - quad[:, 1] * following[:, 0])) / 2


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


def _card(view: _View, fits: list[_Fit], grey: Pyramid, index: CardIndex, k: int) -> Card:
    best = fits[0]
    margin = best.likeness - max((fit.likeness for fit in fits[1:]), default=0.0)
    is_card = accepted(best.likeness, margin)
    quad = best.quad if is_card else view.quad  # fitted to a card it is not, it would be farther off
    printings = _printings(view, best, grey, index) if is_card else [(best.likeness, best.row)]
    ranked = [printings[0][1], *(fit.row for fit in fits[1:]), *view.rows[np.argsort(-view.ranking)].tolist()]
    rows = list(dict.fromkeys(ranked))
    cosine = dict(zip(view.rows.tolist(), view.cosines.tolist(), strict=True))
    scores = [cosine.get(row, best.cosine) for row in rows]
    faces = index.matches([cosine.get(row, best.cosine) for _, row in printings], [row for _, row in printings],
                          len(index.metadata))
    decided = len(faces) == 1 or len(printings) > 1 and printings[0][0] - printings[1][0] >= PRINTING_DECIDED
    return Card(np.round(quad, 1).tolist(), _rotation(quad), is_card, round(best.likeness, 4), round(margin, 4),
                index.matches(scores, rows, k), is_card and decided, faces if is_card else [])


def _printings(view: _View, best: _Fit, grey: Pyramid, index: CardIndex) -> list[tuple[float, int]]:
    """(likeness, row) of every row that shows the artwork, the most alike first."""
    rows = index.rows_of_artwork(best.row)
    if len(rows) == 1:
        name = index.face(best.row)["name"]
        near = view.rows[np.abs(view.cosines - best.cosine) <= NEAR_EQUAL].tolist()
        rows += [row for row in near if row != best.row and index.face(row)["name"] == name
                 and not index.face(row).get("illustration_id")]
    likeness = _likeness(grey, [best.quad], index.hashes[rows])[0].tolist()
    return sorted(zip(likeness, rows, strict=True), key=lambda pair: (-pair[0], pair[1] != best.row))


def _rotation(quad: np.ndarray) -> int:
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom to that of the top."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
