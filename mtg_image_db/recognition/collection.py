"""Answers -> a list that collection managers import: a line for each printing, with its count.

    text = FORMATS["manabox"].text(printings_in(answers, {RECOGNISED}))

Each site matches columns by the names in its own export files. What a photo cannot tell is empty, or the site's
default: near mint, not foil unless the printing exists as foil only. Lines end with LF, because a carriage return
breaks ManaBox's columns. The columns and the sites' words are in collection_formats.json. The page reads it too, from
meta.json: web/collection/formats.js writes the same bytes.
Reads   collection_formats.json, beside this module
Writes  nothing
"""
from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from mtg_image_db.recognition.cards import Card
from mtg_image_db.recognition.printing_choice import Printing
from mtg_image_db.recognition.query import Answer

# columns (or the line of a text list): {name} stands for a value of the printing, {SET} for that in capitals.
# finishes, languages, conditions: what the site calls them. also_read: words that only the page's import needs.
# Sites with seven grades (ManaBox, Dragon Shield) call the fourth light played: it is the third of five elsewhere.
COLLECTION: dict[str, Any] = orjson.loads(Path(__file__).with_name("collection_formats.json").read_bytes())
NONFOIL, NEAR_MINT = "nonfoil", "near_mint"
PLAIN_HEADER = ("photo", "page", "card", "state", "score", "confidence", "quad", "name", "set", "collector_number",
                "scryfall_id", "face_id", "oracle_id", "illustration_id", "tcgplayer_id", "cardmarket_id", "lang",
                "printing_decided")


@dataclass(frozen=True)
class Counted:
    """A printing and how many cards of it there are."""
    printing: Printing
    count: int

    @property
    def finish(self) -> str:
        """The only finish that the printing has. A photo does not tell several apart: then it is not foil."""
        finishes = self.printing.finishes
        return finishes[0] if len(finishes) == 1 else NONFOIL

    @property
    def name(self) -> str:
        """The complete name of the card, of both sides."""
        return self.printing.card_name or self.printing.name

    @property
    def front_name(self) -> str:
        """The name by which Dragon Shield knows the card: of some, that of the front."""
        is_short = self.printing.layout in COLLECTION["front_name_layouts"]
        return self.name.partition(" // ")[0] if is_short else self.name


@dataclass(frozen=True)
class Format:
    """How a site names its columns, or how a line of a text list looks, and the site's words."""
    finishes: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)
    line: str = ""
    quote_all: bool = False
    languages: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    title: str = ""  # for the page

    def text(self, counted: Iterable[Counted]) -> str:
        """The list as the site imports it."""
        values = [self._values(entry) for entry in counted]
        if self.line:
            return "".join(self.line.format_map(known) + "\n" for known in values)
        rows = [[template.format_map(known) for template in self.columns.values()] for known in values]
        return csv_text([list(self.columns), *rows], self.quote_all)

    def _values(self, entry: Counted) -> dict[str, object]:
        card = entry.printing
        return {"count": entry.count, "name": entry.name, "front_name": entry.front_name, "set": card.set,
                "SET": card.set.upper(), "set_name": card.set_name, "number": card.collector_number,
                "rarity": card.rarity, "Rarity": card.rarity.capitalize(), "scryfall_id": card.scryfall_id,
                "tcgplayer_id": card.tcgplayer_id or "",
                "finish": self.finishes.get(entry.finish, self.finishes[NONFOIL]),
                "condition": self.conditions.get(NEAR_MINT, ""), "language": self.languages.get(card.lang, card.lang),
                "LANGUAGE": self.languages.get(card.lang, card.lang.upper()),
                "language_name": COLLECTION["language_names"].get(card.lang, card.lang)}


PLAIN = "plain"  # has a line for each card: plain_text()
FORMATS = {name: Format(**told) for name, told in COLLECTION["formats"].items()}
NAMES = (PLAIN, *FORMATS)


def printings_in(answers: Iterable[Answer], states: Collection[str]) -> list[Counted]:
    """The printings of the cards that have one of these states, in the order of the photos."""
    printings: dict[tuple[str, str], Printing] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for card in (card for answer in answers for card in answer.cards if card.state in states):
        key = card.printing.scryfall_id, card.printing.lang
        printings.setdefault(key, card.printing)
        counts[key] += 1
    return [Counted(printing, counts[key]) for key, printing in printings.items()]


def plain_text(answers: Iterable[Answer], without: Collection[str] = ()) -> str:
    """A CSV line for each card of the answers, but for those of some states."""
    rows = [_plain(answer, number, card) for answer in answers
            for number, card in enumerate(answer.cards, 1) if card.state not in without]
    return csv_text([PLAIN_HEADER, *rows])


def _plain(answer: Answer, number: int, card: Card) -> list[object]:
    shown = card.printing
    quad = " ".join(f"{x:.0f},{y:.0f}" for x, y in card.quad)
    ids = [getattr(shown, name) for name in PLAIN_HEADER[PLAIN_HEADER.index("name"):-1]]
    return [answer.photo.path, answer.photo.page, number, card.state, card.score, card.confidence, quad, *ids,
            "yes" if card.printing_decided else "no"]


def csv_text(rows: Iterable[Sequence[object]], quote_all: bool = False) -> str:
    """Rows as RFC 4180 lines, ended by LF. None is an empty value."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL).writerows(rows)
    return text.getvalue()
