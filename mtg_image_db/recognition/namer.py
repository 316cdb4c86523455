"""A photo -> the cards in it, each with its state: recognised, likely or unknown.

    cards = name_photo(open_pixels(path), index, model)

places.py proposes places, and retrieval.py finds rows for each. For the best two cards of a place, the corners are
moved to where the picture is most similar. The similarity of the art then decides whether the card is recognised,
likely or unknown. Every embedding model uses the same rule.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.embedding.picture_hash import ART
from mtg_image_db.index.reader import CardIndex, Measured
from mtg_image_db.recognition.cards import LIKELY, RECOGNISED, STATES, UNKNOWN, Card, Printing, in_reading_order
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.finder import Pyramid, overlap
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
)

# The numbers were chosen on the development photos: docs/naming.md.
# A card is recognised from this confidence on. Unknown cards reached 0.35 with 54,000 faces indexed.
# scripts/eval_photos.py --hold-out --curve measures it again.
ACCEPTED = 0.36
LIKELY_FROM = 0.33  # from here on, it is likely, if a card surely lies there: 17 of 18 were right, over five indexes
# A card surely lies at a place of this confidence. In the photos of several cards, 79 of 79 are listed then.
CARD_HERE = 0.6
BESIDE = 0.75  # an unknown card shares less than this part of the smaller place with each other card
PRINTING_DECIDED = 0.1  # lead in similarity over other printings: 13 of 256 bits. There were no photos to measure it on
RIVALS = 2  # the number of different cards that a view's corners are fitted to
VIEWS_FITTED = 2  # at most this many views of one place: candidates overlap
MAX_PLACES_FITTED = 40
# Guesses that are tried in a mirror first: if none is recognised, the photo is none. Of 39 photos of a card, reversed,
# 37 are recognised with 8, and with all.
MIRROR_VIEWS = 12
NEAR_EQUAL = 0.02  # difference of cosines. Below it, rows of one name without illustration_id count as one artwork
# The constants that web/likeness.js needs: an export writes them into meta.json.
DECISION = {"accepted": ACCEPTED, "retrieved": RETRIEVED, "retrieved_by_art": RETRIEVED_BY_ART, "rivals": RIVALS,
            "sizes": SIZES, "moves": MOVES, "steps": STEPS, "hopeless": HOPELESS, "art_steps": ART_STEPS,
            "art_hopeless": ART_HOPELESS, "art": ART}


class _Fit(NamedTuple):
    """A view's corners fitted to the picture of a row. The similarity of the art decides; the score ranks."""
    measured: Measured
    row: int
    quad: NDArray[np.float32]


class _Found(NamedTuple):
    """A card with the confidence (0-1) that one lies at its place."""
    card: Card
    place: float

    @property
    def quad(self) -> list[list[float]]:
        return self.card.quad


def state_of(confidence: float, place: float) -> str:
    """The state of a card with this confidence, if one lies at its place with that one."""
    if confidence >= ACCEPTED:
        return RECOGNISED
    return LIKELY if confidence >= LIKELY_FROM and place >= CARD_HERE else UNKNOWN


def name_cards(photo: NDArray[np.uint8], index: CardIndex, model: PictureModel, k: int = 1,
               ef_search: int | None = None, places: Sequence[Place] | None = None) -> list[Card]:
    """Find and name the cards in an upright RGB photo (uint8 [H, W, 3]). Recognised cards come first, then likely ones,
    each with the highest score first. Each has at most k matches. If no place looks like a card, the best guess is the
    only one. The list is empty only if the model gives no finite vector.

    places are those of the cards, if they are known. Otherwise guesses() gives them. Raises InvalidContent if the
    picture is too long for a card.
    """
    places = guesses(photo) if places is None else places
    pyramids = Photo.of(photo)
    views = ranked_views(pyramids, places, index, model, k, ef_search)
    found: list[_Found] = []
    for view in _by_place(views, VIEWS_FITTED)[:VIEWS_FITTED * MAX_PLACES_FITTED]:
        if not any(other.card.accepted and same_place(view.quad, other.quad) for other in found):
            fits = [_fit(view, at, pyramids, index) for at in _rivals(view, index)]
            fits.sort(key=lambda fit: -fit.measured.score)
            found.append(_Found(_card(view, fits, pyramids.grey, index, k), view.place.confidence))
    found.sort(key=lambda item: (STATES.index(item.card.state), -item.card.score))
    return [item.card for item in _cards_of(found)]


def _cards_of(found: Sequence[_Found]) -> list[_Found]:
    """The best card of each place. An unknown card counts only where one surely lies, beside the others."""
    kept = _by_place((item for item in found if item.card.state != UNKNOWN), 1)
    unknown = [item for item in found if item.card.state == UNKNOWN and item.place >= CARD_HERE]
    for item in sorted(unknown, key=lambda item: -item.place):
        if all(overlap(item.quad, other.quad) < BESIDE for other in kept):
            kept.append(item)
    return kept or list(found[:1])


def name_photo(photo: NDArray[np.uint8], index: CardIndex, model: PictureModel, k: int = 1,
               ef_search: int | None = None, places: Sequence[Place] | None = None) -> list[Card]:
    """name_cards in reading order. If no card is recognised, the photo is read as a mirror shows it: webcams mirror
    their picture."""
    places, width = guesses(photo) if places is None else places, photo.shape[1]
    cards = name_cards(photo, index, model, k, ef_search, places)
    if not any(card.accepted for card in cards):
        reversed_photo = np.ascontiguousarray(photo[:, ::-1])
        reversed_places = [place._replace(quad=_reversed(place.quad, width)) for place in places]
        seen = name_cards(reversed_photo, index, model, k, ef_search, reversed_places[:MIRROR_VIEWS])
        if any(card.accepted for card in seen):
            if len(places) > MIRROR_VIEWS:
                seen = name_cards(reversed_photo, index, model, k, ef_search, reversed_places)
            cards = [_in_mirror(card, width) for card in seen]
    return in_reading_order(cards)


def in_file_pixels(cards: Sequence[Card], scale: float) -> list[Card]:
    """The cards of a photo that was decoded at this scale, with their corners in pixels of the file."""
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


Placed = TypeVar("Placed", View, _Found)


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
    for at in np.argsort(-view.scores).tolist():
        best.setdefault(index.face(view.rows[at])["name"], at)
        if len(best) == RIVALS:
            break
    return list(best.values())


def _fit(view: View, at: int, photo: Photo, index: CardIndex) -> _Fit:
    """Fit the view's corners to the picture of its row number `at`. No number is lower afterwards: so the best fit
    ranks before every row to which nothing was fitted."""
    row, cosine, similarity, art = (numbers[at].item() for numbers in view[1:5])
    start = grown(view.quad, SIZES[view.best_size[at]])
    similarity, quad = fit_corners(start, similarity, index.hashes[row], photo.grey)
    art = max(art, best_art(quad, index.art_hashes[row], photo.colour))
    return _Fit(Measured(cosine, similarity, art), row, quad)


def _card(view: View, fits: list[_Fit], grey: Pyramid, index: CardIndex, k: int) -> Card:
    best = fits[0]
    confidence = best.measured.art_similarity
    state = state_of(confidence, view.place.confidence)
    known = state != UNKNOWN
    quad = best.quad if known else view.quad  # corners fitted to the wrong card would be farther off
    measured = view.measured() | {fit.row: fit.measured for fit in fits}
    similarity = _printings(view, best, grey, index) if known else {best.row: best.measured.similarity}
    measured |= {row: Measured(measured[row].cosine, alike, confidence)
                 for row, alike in similarity.items() if row in measured}
    first = max((row for row in similarity if row in measured), key=lambda row: (measured[row].score, row == best.row))
    mine, rivals = measured[first], [fit.measured.similarity for fit in fits[1:]]
    others = [alike for row, alike in similarity.items() if row != first]
    return Card(np.round(quad.astype(np.float64), 1).tolist(), _rotation(quad), state, state == RECOGNISED,
                round(confidence, 4), round(mine.score, 4), round(mine.similarity, 4),
                round(mine.similarity - max(rivals, default=best.measured.similarity), 4),  # without a rival, it is 0
                index.matches({first: mine} | measured, k),
                bool(others) and mine.similarity - max(others) >= PRINTING_DECIDED, len(similarity) if known else 0,
                [_printing(index.face(row), alike) for row, alike in similarity.items()] if known else [])


def _printings(view: View, best: _Fit, grey: Pyramid, index: CardIndex) -> dict[int, float]:
    """The similarity of every row that shows the fitted card's artwork, by row, the most similar first."""
    name = index.face(best.row)["name"]
    same = {row: None for row in (best.row, *index.rows_of_artwork(best.row)) if index.face(row)["name"] == name}
    for row in view.rows[np.abs(view.cosines - best.measured.cosine) <= NEAR_EQUAL].tolist():
        face = index.face(row)
        if face["name"] == name and not face.get("illustration_id"):
            same[row] = None
    rows = list(same)
    similarity = similarity_to(index.hashes[rows], grey, [best.quad])[0].tolist()
    measured = dict(zip(rows, similarity, strict=True)) | {best.row: best.measured.similarity}
    return dict(sorted(measured.items(), key=lambda pair: -pair[1]))


def _printing(face: dict[str, Any], similarity: float) -> Printing:
    return Printing(round(similarity, 4), **{part.name: face[part.name] for part in fields(Printing)[1:]})


def _rotation(quad: NDArray[np.float32]) -> int:
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom side to that of the top side."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
