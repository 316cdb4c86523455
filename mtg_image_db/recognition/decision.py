"""A place and the rows that it may show -> a card, with its state: recognised, likely or unknown.

    found = judged(view, photo, question)
    print(found.card.state)

The corners are moved to where the picture is most similar. The similarity of the art then decides. A title that agrees
makes less similar art enough. Every embedding model uses the same rule.
Reads and writes  nothing
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.embedding.picture_hash import ART
from mtg_image_db.index.reader import CardIndex, Measured
from mtg_image_db.recognition.cards import ART_AGREES, BOTH_AGREE, LIKELY, RECOGNISED, TITLE_ALONE, UNKNOWN, Card
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
from mtg_image_db.recognition.printing_choice import Choice, choose, known_printings
from mtg_image_db.recognition.retrieval import RETRIEVED, RETRIEVED_BY_ART, Photo, PictureModel, View

# The numbers were chosen on the development photos: docs/naming.md.
# A card is recognised from this confidence on. Unknown cards reached 0.35 with 54,000 faces indexed.
# scripts/eval_photos.py --hold-out --curve measures it again.
ACCEPTED = 0.36
# A card whose title was read is recognised from this one on. Where the index had the name with other art, 280 times,
# the art reached 0.21.
ACCEPTED_TITLED = 0.22
LIKELY_FROM = 0.33  # from here on, it is likely, if a card surely lies there: 17 of 18 were right, over five indexes
# A card surely lies at a place of this confidence. In the photos of several cards, 79 of 79 are listed then.
CARD_HERE = 0.6
BESIDE = 0.75  # another place lies beside a card if it shares less than this part of the smaller one with it
RIVALS = 2  # the number of different cards that a view's corners are fitted to
NEAR_EQUAL = 0.02  # difference of cosines. Below it, rows of one name without illustration_id count as one artwork
# The constants that web/recognition/decision.js needs: an export writes them into meta.json.
DECISION = {"accepted": ACCEPTED, "retrieved": RETRIEVED, "retrieved_by_art": RETRIEVED_BY_ART, "rivals": RIVALS,
            "sizes": SIZES, "moves": MOVES, "steps": STEPS, "hopeless": HOPELESS, "art_steps": ART_STEPS,
            "art_hopeless": ART_HOPELESS, "art": ART}


@dataclass(frozen=True)
class Question:
    """The options of a query, and the index it asks. k: matches of each card. ef_search: effort of the search, or None
    for the index's own."""
    index: CardIndex
    model: PictureModel
    k: int = 1
    ef_search: int | None = None


class Found(NamedTuple):
    """A card with the confidence (0-1) that one lies at its place."""
    card: Card
    place: float

    @property
    def quad(self) -> list[list[float]]:
        return self.card.quad


class _Fit(NamedTuple):
    """A view's corners fitted to the picture of a row. The similarity of the art decides; the score ranks."""
    measured: Measured
    row: int
    quad: NDArray[np.float32]


def state_of(confidence: float, place: float, titled: bool = False) -> str:
    """The state of a card with this confidence, if one lies at its place with that one. titled: its title was read."""
    if confidence >= (ACCEPTED_TITLED if titled else ACCEPTED):
        return RECOGNISED
    return LIKELY if titled or (confidence >= LIKELY_FROM and place >= CARD_HERE) else UNKNOWN


def judged(view: View, photo: Photo, question: Question, titled: bool = False) -> Found:
    """The card at a view's place. titled: its title was read there, so the view's rows are the faces with this name."""
    fits = [_fit(view, at, photo, question.index) for at in _rivals(view, question.index)]
    fits.sort(key=lambda fit: -fit.measured.score)
    return Found(_card(view, fits, photo, question, titled), view.place.confidence)


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


def _card(view: View, fits: list[_Fit], photo: Photo, question: Question, titled: bool) -> Card:
    index, best = question.index, fits[0]
    confidence = best.measured.art_similarity
    state = state_of(confidence, view.place.confidence, titled)
    by_art = state_of(confidence, view.place.confidence)
    known = state != UNKNOWN
    # Corners fitted to the wrong card would be farther off.
    quad = best.quad if known and (by_art == state or state == RECOGNISED) else view.quad
    measured = view.measured() | {fit.row: fit.measured for fit in fits}
    similarity = _same_artwork(view, best, photo, index) if known else {best.row: best.measured.similarity}
    measured |= {row: Measured(measured[row].cosine, alike, confidence)
                 for row, alike in similarity.items() if row in measured}
    first = max((row for row in similarity if row in measured), key=lambda row: (measured[row].score, row == best.row))
    mine, rivals = measured[first], [fit.measured.similarity for fit in fits[1:]]
    choice = choose(*known_printings(index, first, similarity)) if known else Choice([], False)
    return Card(np.round(quad.astype(np.float64), 1).tolist(), rotation_of(quad), state, state == RECOGNISED,
                round(confidence, 4), round(mine.score, 4), round(mine.similarity, 4),
                round(mine.similarity - max(rivals, default=best.measured.similarity), 4),  # without a rival, it is 0
                index.matches({first: mine} | measured, question.k),
                choice.decided and state == RECOGNISED, len(choice.printings), choice.printings,
                by=ART_AGREES if not titled or by_art == RECOGNISED else BOTH_AGREE if state == RECOGNISED
                else TITLE_ALONE)


def _same_artwork(view: View, best: _Fit, photo: Photo, index: CardIndex) -> dict[int, float]:
    """The similarity of every row that shows the fitted card's artwork, by row, the most similar first."""
    name = index.face(best.row)["name"]
    same = {row: None for row in (best.row, *index.rows_of_artwork(best.row)) if index.face(row)["name"] == name}
    for row in view.rows[np.abs(view.cosines - best.measured.cosine) <= NEAR_EQUAL].tolist():
        face = index.face(row)
        if face["name"] == name and not face.get("illustration_id"):
            same[row] = None
    rows = list(same)
    similarity = similarity_to(index.hashes[rows], photo.grey, [best.quad])[0].tolist()
    measured = dict(zip(rows, similarity, strict=True)) | {best.row: best.measured.similarity}
    return dict(sorted(measured.items(), key=lambda pair: -pair[1]))


def rotation_of(quad: NDArray[np.float32]) -> int:
    """Degrees clockwise from upright, 0-359, of the line from the middle of the bottom side to that of the top side."""
    across, down = (quad[0] + quad[1] - quad[2] - quad[3]) / 2
    return round(math.degrees(math.atan2(across, -down))) % 360
