"""Which printing of its artwork a card is: the list of them, and the choice.

    printings = known_printings(index, row, {row: 0.8})
    choice = choose(printings, listed=True)
    print(choice.printings[0].set, choice.decided)

Every embedding model and every photo uses the same rule. printed_lines.py gives the scores.
Reads and writes  nothing
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from mtg_image_db.index.reader import CardIndex, Match

# The numbers were chosen on the development photos: docs/reading.md.
# A printing is decided from this score on, of 2, if no other printing comes nearer than the lead.
DECIDED_FROM, LEAD = 1.0, 0.25
# Without any reading, the picture decides if all printings are indexed, by this lead in similarity: 13 of 256 bits.
# There were no photos to measure it on.
PICTURE_LEAD = 0.1
# What is rarely meant: reprints that may not be played, like those of World Championship decks; cards that show art
# only; and cards of The List, whose numbers name another set: "MH1-17".
GOLD_BORDER, ART_ALONE, OTHER_SET = "gold", "art_series", re.compile(r"[A-Z0-9]{3,}-")
DECISION = {"decided_from": DECIDED_FROM, "lead": LEAD, "picture_lead": PICTURE_LEAD}


@dataclass(frozen=True)
class Printing:
    """A face as it was printed, of the artwork that a card shows.

    score: 0-2, how well its set and number (or year and number) fit what stands on the card. 0 if nothing was read.
    read: the text that fits. Empty if nothing does. similarity: that of its picture and the card in the photo, or None
    if the index has no picture of it. The other fields are as in Face and in PaperPrinting.
    """
    score: float
    read: str
    similarity: float | None
    name: str
    card_name: str
    set: str
    set_name: str
    collector_number: str
    lang: str
    rarity: str
    layout: str
    frame: str
    border_color: str
    released_at: str | None
    finishes: list[str]
    promo: bool
    scryfall_id: str
    face_id: str
    oracle_id: str | None
    illustration_id: str | None
    tcgplayer_id: int | None
    cardmarket_id: int | None
    scryfall_uri: str


# What a printing has if neither the index nor the list of printings tells it.
ABSENT: dict[str, Any] = {"card_name": "", "set_name": "", "rarity": "", "frame": "", "border_color": "",
                          "released_at": None, "finishes": [], "promo": False, "oracle_id": None,
                          "illustration_id": None, "tcgplayer_id": None, "cardmarket_id": None, "scryfall_uri": ""}
FACTS = tuple(part.name for part in fields(Printing)[3:])


class Choice(NamedTuple):
    """printings: the likeliest first. decided: the first is the only one that fits."""
    printings: list[Printing]
    decided: bool


def known_printings(index: CardIndex, row: int, similarity: Mapping[int, float]) -> tuple[list[Printing], bool]:
    """The printings of a row's artwork, and whether they are all in paper: else they are the indexed ones. similarity
    has that of the indexed ones, by row."""
    shown = index.face(row)
    faces = {face["face_id"]: (face, alike) for face, alike in
             ((index.face(other), alike) for other, alike in similarity.items())}
    listed = [printing for printing in index.printings_of(row) if printing.name == shown["name"]]
    if not listed:
        return [_printing(face, alike) for face, alike in faces.values()], False
    found = []
    for printing in listed:
        face, alike = faces.get(printing.face_id, ({"illustration_id": shown.get("illustration_id")}, None))
        told = {name: value for name in FACTS if (value := getattr(printing, name, None)) not in (None, "", [])}
        found.append(_printing(face | told, alike))
    return found, True


def _printing(facts: Mapping[str, Any], similarity: float | None) -> Printing:
    """A printing of which nothing was read. What is not among the facts is empty."""
    known = ABSENT | {name: facts[name] for name in FACTS if name in facts}
    return Printing(0.0, "", None if similarity is None else round(similarity, 4), **known)


def printing_of(match: Match) -> Printing:
    """A match's own printing."""
    return _printing(vars(match), match.similarity)


def choose(printings: Sequence[Printing], listed: bool) -> Choice:
    """Order the printings of an artwork, and decide if possible. listed: they are all that exist in paper.

    If the best score is enough, those that come nearer to it than LEAD are equal. Otherwise, nothing was read, and the
    picture tells, if the index has one of each. Of equal printings, the newest comes first that is a usual one.
    """
    ranked = sorted(printings, key=lambda printing: -printing.score)
    best = ranked[0].score if ranked else 0.0
    equal = [printing for printing in ranked if printing.score > best - LEAD]
    by_picture = sorted(ranked, key=lambda printing: -(printing.similarity or 0.0))
    similarity = [printing.similarity for printing in by_picture if printing.similarity is not None]
    if best < DECIDED_FROM and len(similarity) == len(printings) > 1:
        return Choice(by_picture, similarity[0] - similarity[1] >= PICTURE_LEAD)
    newest = sorted(equal, key=lambda printing: printing.released_at or "", reverse=True)
    usual = sorted(newest, key=_is_special)
    only = listed and len(printings) == 1
    return Choice([*usual, *ranked[len(equal):]], only or (len(equal) == 1 and best >= DECIDED_FROM))


def tied(printings: Sequence[Printing]) -> list[Printing]:
    """The printings that fit as well as the first one."""
    return [printing for printing in printings[1:] if abs(printing.score - printings[0].score) < LEAD]


def _is_special(printing: Printing) -> bool:
    """True for what is rarely meant: promotions, gold borders, art cards, and reprints with another set's number."""
    return (printing.promo or printing.border_color == GOLD_BORDER or printing.layout == ART_ALONE
            or OTHER_SET.match(printing.collector_number) is not None)
