"""Which printing of its artwork a card is: the list of them, and the choice.

    printings = known_printings(index, row, {row: 0.8})
    choice = choose(printings)
    print(choice.printings[0].set, choice.decided)

Every embedding model and every photo uses the same rule. printed_lines.py gives the scores.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from mtg_image_db.index.reader import CardIndex, Match

# The numbers were chosen on the development photos: docs/printings.md.
# A printing is decided from this score on, of 2, if no other printing comes nearer than the lead.
DECIDED_FROM, LEAD = 1.0, 0.25
# Without any reading, the picture decides if all printings are indexed, by this lead in similarity: 13 of 256 bits.
# There were no photos to measure it on.
PICTURE_LEAD = 0.1
# What is not a card to play with: reprints with a gold border, like those of World Championship decks, and cards that
# show nothing but art.
GOLD_BORDER, ART_ALONE = "gold", "art_series"
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


def known_printings(index: CardIndex, row: int, similarity: Mapping[int, float]) -> list[Printing]:
    """The printings of a row's artwork: every one in paper, if the index lists them, and the indexed ones. similarity
    has that of the indexed ones, by row."""
    shown = index.face(row)
    indexed = {face["face_id"]: (face, alike) for face, alike in
               ((index.face(other), alike) for other, alike in similarity.items())}
    facts = {printing.face_id: {name: getattr(printing, name) for name in FACTS if hasattr(printing, name)}
             for printing in index.printings_of(row)}
    found = []
    for face_id in dict.fromkeys([*indexed, *facts]):
        face, alike = indexed.get(face_id, ({}, None))
        same_art = {name: shown.get(name, ABSENT[name]) for name in ("card_name", "illustration_id")}
        told = ABSENT | same_art | {name: face[name] for name in FACTS if name in face} | facts.get(face_id, {})
        found.append(Printing(0.0, "", None if alike is None else round(alike, 4), **told))
    return found


def printing_of(match: Match) -> Printing:
    """A match's own printing."""
    return Printing(0.0, "", match.similarity, **(ABSENT | {
        name: getattr(match, name) for name in FACTS if hasattr(match, name)}))


def _is_special(printing: Printing) -> bool:
    return printing.promo or printing.border_color == GOLD_BORDER or printing.layout == ART_ALONE


def choose(printings: Sequence[Printing], listed: bool) -> Choice:
    """Order the printings of an artwork, and decide if possible. listed: they are all that exist in paper.

    Those that come nearer to the best score than LEAD are equal: then the picture tells, where all of them are indexed,
    and else the newest comes first that is no promotion and may be played.
    """
    best = max((printing.score for printing in printings), default=0.0)
    ranked = sorted(printings, key=lambda printing: -printing.score)
    equal = [printing for printing in ranked if printing.score > best - LEAD]
    others = ranked[len(equal):]
    by_picture = sorted(equal, key=lambda printing: -(printing.similarity or 0.0))
    seen = all(printing.similarity is not None for printing in equal)
    if seen and len(equal) > 1 and (by_picture[0].similarity or 0) - (by_picture[1].similarity or 0) >= PICTURE_LEAD:
        return Choice([*by_picture, *others], True)
    newest = sorted(equal, key=lambda printing: printing.released_at or "", reverse=True)
    first = sorted(newest, key=_is_special)
    alone = len(equal) == 1 and (best >= DECIDED_FROM or (listed and len(printings) == 1))
    return Choice([*(first if not (seen and best == 0) else by_picture), *others], alone)
