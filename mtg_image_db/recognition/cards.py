"""A card of an answer, its state, and the order in which a photo's cards are listed.

    for card in in_reading_order(cards):
        print(card.state, card.matches[0].name)

Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mtg_image_db.index.reader import Match
from mtg_image_db.recognition.printing_choice import Printing, printing_of

RECOGNISED, LIKELY, UNKNOWN = STATES = "recognised", "likely", "unknown"
ART_AGREES, BOTH_AGREE, TITLE_ALONE = "art", "title and art", "title"  # what a card is known by
SAME_ROW = 0.5  # cards are in one row if the next centre is lower by less than this share of a card's height


@dataclass(frozen=True)
class Card:
    """A card in a photo.

    quad: the corners clockwise from the card's top left, [x, y] in pixels of the upright photo. Those of the text, if a
    card is known by its title alone. rotation: degrees (0-359) by which it is turned clockwise. state: one of STATES.
    accepted: the state is RECOGNISED. confidence: the similarity of the art windows in colour, which decides the state.
    score: that of the first match. similarity: that of the complete card and the first match, 1 for equal pictures and
    about 0 for unrelated ones. margin: similarity minus that of the next different card. matches: best first.
    printings: those of the first match's artwork, the likeliest first. Empty if the state is UNKNOWN. printings_known:
    their number. printing_decided: the first of them is surely the card's. mirrored: the picture shows the card in a
    mirror, so its corners run counter-clockwise. by: what it is known by: ART_AGREES, BOTH_AGREE or TITLE_ALONE.
    """
    quad: list[list[float]]
    rotation: int
    state: str
    accepted: bool
    confidence: float
    score: float
    similarity: float
    margin: float
    matches: list[Match]
    printing_decided: bool = False
    printings_known: int = 0
    printings: list[Printing] = field(default_factory=list)
    mirrored: bool = False
    by: str = ART_AGREES

    @property
    def printing(self) -> Printing:
        """The printing to list. It is surely the card's only if printing_decided."""
        return self.printings[0] if self.printings else printing_of(self.matches[0])


def cards_record(cards: Sequence[Card]) -> dict[str, Any]:
    """The cards of a photo as JSON has them: `matches` of the first card, and `cards`."""
    return {"matches": [asdict(match) for match in cards[0].matches] if cards else [],
            "cards": [asdict(card) for card in cards]}


def in_reading_order(cards: Sequence[Card]) -> list[Card]:
    """The cards in rows from the top, each from left to right.

    A card belongs to the row above it if its centre is less than SAME_ROW of a usual card's height lower than the last
    one, and if each card of the row is farther beside it than above it. So a row may slope, and a pile whose cards show
    their titles one above the other is read downward.
    """
    if not cards:
        return []
    quads = np.array([card.quad for card in cards])
    limit, centres = SAME_ROW * float(np.median(np.ptp(quads[:, :, 1], axis=1))), quads.mean(axis=1)
    rows: list[list[int]] = []
    for at in np.argsort(centres[:, 1], kind="stable").tolist():
        x, y = centres[at]
        if rows and y - centres[rows[-1][-1]][1] < limit \
                and all(abs(x - centres[other][0]) > y - centres[other][1] for other in rows[-1]):
            rows[-1].append(at)
        else:
            rows.append([at])
    return [cards[at] for row in rows for at in sorted(row, key=lambda at: float(centres[at][0]))]
