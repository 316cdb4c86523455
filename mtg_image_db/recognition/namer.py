"""A photo -> the cards in it, named or marked as not recognised.

    cards = name_cards(open_pixels(path), index, model)

places.py proposes places, and retrieval.py finds rows for each. For the best two cards of a place, the corners are
moved to where the picture is most similar. The similarity of the art then decides whether the card is recognised.
Every embedding model uses the same rule.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.embedding.picture_hash import ART
from mtg_image_db.index.reader import CardIndex, Match
from mtg_image_db.recognition.finder import Pyramid
from mtg_image_db.recognition.fitting import (
    ART_HOPELESS,
    ART_STEPS,
    HOPELESS,
    MOVES,
    SIZES,
    STEPS,
    best_art,
    fit_corners,
    grown,
    similarity_to,
)
from mtg_image_db.recognition.places import guesses, same_place
from mtg_image_db.recognition.retrieval import (
    RETRIEVED,
    RETRIEVED_BY_ART,
    Photo,
    PictureModel,
    View,
    ranked_views,
    ranking,
)

# The numbers were chosen on the development photos: docs/naming.md.
# A card is recognised from this confidence on. Unknown cards reached 0.33 with 54,000 faces indexed.
# scripts/eval_photos.py --hold-out --curve measures it again.
ACCEPTED = 0.36
PRINTING_DECIDED = 0.1  # lead in similarity over other printings: 13 of 256 bits. There were no photos to measure it on
RIVALS = 2  # the number of different cards that a view's corners are fitted to
VIEWS_FITTED = 2  # at most this many views of one place: candidates overlap
MAX_PLACES_FITTED = 40
# Guesses that are also tried in a mirror. Of 39 photos of a card, reversed, 37 are recognised with 8, and with all.
MIRROR_VIEWS = 12
NEAR_EQUAL = 0.02  # difference of cosines. Below it, rows of one name without illustration_id count as one artwork
# The constants that web/likeness.js needs: an export writes them into meta.json.
DECISION = {"accepted": ACCEPTED, "retrieved": RETRIEVED, "retrieved_by_art": RETRIEVED_BY_ART, "rivals": RIVALS,
            "sizes": SIZES, "moves": MOVES, "steps": STEPS, "hopeless": HOPELESS, "art_steps": ART_STEPS,
            "art_hopeless": ART_HOPELESS, "art": ART}


@dataclass(frozen=True)
class Printing:
    """A face that shows a card's artwork. similarity is that of its picture and the card in the photo."""
    similarity: float
    name: str
    set: str
    collector_number: str
    scryfall_id: str
    face_id: str


@dataclass(frozen=True)
class Card:
    """A card in a photo.

    quad: the corners clockwise from the card's top left, [x, y] in pixels of the upright photo. rotation: degrees
    (0-359) by which it is turned clockwise. score: the similarity to the first match, 1 for equal pictures and about
    0 for unrelated ones. margin: score minus the similarity to the next different card. confidence: the similarity of
    the art windows in colour, which decides whether the card is recognised. matches: best first. Their scores are
    cosines. printings: every face that shows the first match's artwork, the most similar first. Empty if
    the card is not recognised. printing_decided: whether the first match can be told from the other printings.
    mirrored: the picture shows the card in a mirror, so its corners run counter-clockwise.
    """
    quad: list[list[float]]
    rotation: int
    accepted: bool
    score: float
    margin: float
    confidence: float
    matches: list[Match]
    printing_decided: bool = False
    printings: list[Printing] = field(default_factory=list)
    mirrored: bool = False


Placed = TypeVar("Placed", View, Card)


class _Fit(NamedTuple):
    """A view's corners fitted to the picture of a row."""
    similarity: float
    cosine: float
    art: float  # the similarity of the art windows. It decides, and ranks the fits too
    row: int
    quad: NDArray[np.float32]

    @property
    def ranking(self) -> float:
        return ranking(self.similarity, self.cosine, self.art)


def accepted(confidence: float) -> bool:
    """True if a card of this confidence is recognised."""
    return confidence >= ACCEPTED


def name_cards(photo: NDArray[np.uint8], index: CardIndex, model: PictureModel, k: int = 1,
               ef_search: int | None = None, quads: Sequence[NDArray[np.float32]] | None = None) -> list[Card]:
    """Find and name the cards in an upright RGB photo (uint8 [H, W, 3]). Recognised cards come first, then the better
    ranked. Each has at most k matches. Cards that are not recognised have accepted=False. The list is empty only if
    the model gives no finite vector.

    quads (float32 [4, 2] each, top left first) are the places of the cards, if they are known. Otherwise guesses()
    gives them. Raises InvalidContent if the picture is too long for a card.
    """
    quads = guesses(photo) if quads is None else quads
    pyramids = Photo.of(photo)
    views = ranked_views(pyramids, quads, index, model, k, ef_search)
    found: list[tuple[float, Card]] = []
    for view in _by_place(views, VIEWS_FITTED)[:VIEWS_FITTED * MAX_PLACES_FITTED]:
        if not any(card.accepted and same_place(view.quad, card.quad) for _, card in found):
            fits = [_fit(view, at, pyramids, index) for at in _rivals(view, index)]
            fits.sort(key=lambda fit: -fit.ranking)
            found.append((fits[0].ranking, _card(view, fits, pyramids.grey, index, k)))
    found.sort(key=lambda pair: (not pair[1].accepted, -pair[0]))
    return _by_place((card for _, card in found), 1)


def name_photo(photo: NDArray[np.uint8], index: CardIndex, model: PictureModel, k: int = 1,
               ef_search: int | None = None, scale: float = 1.0) -> list[Card]:
    """name_cards for a photo that was decoded at this scale: the corners are in pixels of the file. If no card is
    recognised, the photo is read as a mirror shows it: webcams mirror their picture."""
    quads, width = guesses(photo), photo.shape[1]
    cards = name_cards(photo, index, model, k, ef_search, quads)
    if not any(card.accepted for card in cards):
        reversed_photo = np.ascontiguousarray(photo[:, ::-1])
        reversed_quads = [_reversed(quad, width) for quad in quads[:MIRROR_VIEWS]]
        seen = name_cards(reversed_photo, index, model, k, ef_search, reversed_quads)
        cards = [_in_mirror(card, width) for card in seen if card.accepted] or cards
    return [replace(card, quad=[[round(x / scale, 1), round(y / scale, 1)] for x, y in card.quad]) for card in cards]


def _reversed(quad: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A quad as it is in the reversed photo. In this order, its corners run clockwise there."""
    swapped = quad[[1, 0, 3, 2]]
    swapped[:, 0] = width - swapped[:, 0]
    return swapped


def _in_mirror(card: Card, width: int) -> Card:
    """A card of the reversed photo, as it is in the photo of this width."""
    quad = [[round(width - x, 1), y] for x, y in card.quad]
    return replace(card, quad=quad, rotation=-card.rotation % 360, mirrored=True)


def _by_place(ranked: Iterable[Placed], each: int) -> list[Placed]:
    """Keep the first items of each place: at most `each`. See same_place()."""
    kept: list[Placed] = []
    for item in ranked:
        if sum(same_place(item.quad, other.quad) for other in kept) < each:
            kept.append(item)
    return kept


def _rivals(view: View, index: CardIndex) -> list[int]:
    """The positions, among the view's rows, of the best row of each of RIVALS different cards."""
    best: dict[str, int] = {}
    for at in np.argsort(-view.ranking).tolist():
        best.setdefault(index.face(view.rows[at])["name"], at)
        if len(best) == RIVALS:
            break
    return list(best.values())


def _fit(view: View, at: int, photo: Photo, index: CardIndex) -> _Fit:
    """Fit the view's corners to the picture of its row number `at`."""
    start = grown(view.quad, SIZES[view.best_size[at]])
    picture, art_hash = index.hashes[view.rows[at]], index.art_hashes[view.rows[at]]
    similarity, quad = fit_corners(start, float(view.similarity[at]), picture, photo.grey)
    art = best_art(quad, art_hash, photo.colour)
    return _Fit(similarity, float(view.cosines[at]), art, int(view.rows[at]), quad)


def _card(view: View, fits: list[_Fit], grey: Pyramid, index: CardIndex, k: int) -> Card:
    best = fits[0]
    rival = max((fit.similarity for fit in fits[1:]), default=best.similarity)  # no rival: the margin is 0
    is_card = accepted(best.art)
    quad = best.quad if is_card else view.quad  # corners fitted to the wrong card would be farther off
    rows = view.rows.tolist()
    cosines = dict(zip(rows, view.cosines.tolist(), strict=True))
    order = dict(zip(rows, view.ranking.tolist(), strict=True)) | {fit.row: fit.ranking for fit in fits}
    similarity = _printings(view, best, grey, index) if is_card else {best.row: best.similarity}
    order |= {row: ranking(like, cosines[row], best.art) for row, like in similarity.items() if row in cosines}
    first = max((row for row in similarity if row in cosines), key=lambda row: (similarity[row], row == best.row))
    rows.sort(key=lambda row: (row != first, -order[row]))
    next_like = max((like for row, like in similarity.items() if row != first), default=-math.inf)
    return Card(np.round(quad.astype(np.float64), 1).tolist(), _rotation(quad), is_card, round(similarity[first], 4),
                round(similarity[first] - rival, 4), round(best.art, 4),
                index.matches([cosines[row] for row in rows], rows, k),
                is_card and similarity[first] - next_like >= PRINTING_DECIDED,
                [_printing(index.face(row), like) for row, like in similarity.items()] if is_card else [])


def _printings(view: View, best: _Fit, grey: Pyramid, index: CardIndex) -> dict[int, float]:
    """The similarity of every row that shows the fitted card's artwork, by row, the most similar first."""
    name = index.face(best.row)["name"]
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
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom side to that of the top side."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
