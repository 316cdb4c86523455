"""Answers -> a list that collection managers import: a line for each printing, with its count.

    text = FORMATS["manabox"].text(printings_in(answers, {RECOGNISED}))

Each site matches columns by the names in its own export files. What a photo cannot tell is empty, or the site's
default: near mint, not foil unless the printing exists as foil only. Lines end with LF, because a carriage return
breaks ManaBox's columns.
Reads and writes  nothing
"""
from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mtg_image_db.recognition.cards import Card
from mtg_image_db.recognition.printing_choice import Printing
from mtg_image_db.recognition.query import Answer

FRONT_NAME_LAYOUTS = ("transform", "modal_dfc")  # Dragon Shield knows these cards by the name of their front
LANGUAGES = {"en": "English", "de": "German", "es": "Spanish", "fr": "French", "it": "Italian", "pt": "Portuguese",
             "ja": "Japanese", "ko": "Korean", "ru": "Russian", "zhs": "Chinese", "zht": "Traditional Chinese"}
MANABOX_LANGUAGES, ARCHIDEKT_LANGUAGES = {"zhs": "zh_CN", "zht": "zh_TW"}, {"zhs": "CS", "zht": "CT"}
PLAIN_HEADER = ("photo", "page", "card", "state", "score", "confidence", "quad", "name", "set", "collector_number",
                "scryfall_id", "face_id", "oracle_id", "illustration_id", "tcgplayer_id", "cardmarket_id", "lang",
                "printing_decided")


@dataclass(frozen=True)
class Counted:
    """A printing and how many cards of it there are."""
    printing: Printing
    count: int

    def finish(self, nonfoil: str, foil: str, etched: str) -> str:
        """What a site calls the only finish that the printing has. A photo does not tell several apart: then it is not
        foil."""
        finishes = self.printing.finishes
        return {"foil": foil, "etched": etched}.get(finishes[0], nonfoil) if len(finishes) == 1 else nonfoil

    @property
    def name(self) -> str:
        """The complete name of the card, of both sides."""
        return self.printing.card_name or self.printing.name

    @property
    def code(self) -> str:
        """The set's code in capitals, as most sites write it."""
        return self.printing.set.upper()

    @property
    def language(self) -> str:
        return LANGUAGES.get(self.printing.lang, self.printing.lang)


Row = Callable[[Counted], Mapping[str, object]]


@dataclass(frozen=True)
class Format:
    """How a site names its columns, and the values of some of them for a printing. The others are empty."""
    header: Sequence[str]
    row: Row
    quote_all: bool = False

    def text(self, counted: Iterable[Counted]) -> str:
        """The list as the site imports it."""
        rows = [[str(self.row(entry).get(name, "")) for name in self.header] for entry in counted]
        return csv_text([self.header, *rows], self.quote_all)


@dataclass(frozen=True)
class TextList:
    """Lines like "4 Lightning Bolt (LEA) 161", which Arena and most deck builders take."""

    def text(self, counted: Iterable[Counted]) -> str:
        return "".join(f"{entry.count} {entry.name} ({entry.code}) {entry.printing.collector_number}"
                       f"{entry.finish('', ' *F*', ' *E*')}\n" for entry in counted)


def _manabox(entry: Counted) -> dict[str, object]:
    card = entry.printing
    return {"Name": entry.name, "Set code": entry.code, "Set name": card.set_name,
            "Collector number": card.collector_number, "Foil": entry.finish("normal", "foil", "etched"),
            "Rarity": card.rarity, "Quantity": entry.count, "Scryfall ID": card.scryfall_id, "Misprint": "false",
            "Altered": "false", "Condition": "near_mint", "Language": MANABOX_LANGUAGES.get(card.lang, card.lang)}


def _moxfield(entry: Counted) -> dict[str, object]:
    return {"Count": entry.count, "Tradelist Count": 0, "Name": entry.name, "Edition": entry.printing.set,
            "Condition": "Near Mint", "Language": entry.language, "Foil": entry.finish("", "foil", "etched"),
            "Collector Number": entry.printing.collector_number, "Alter": "False", "Proxy": "False"}


def _archidekt(entry: Counted) -> dict[str, object]:
    card = entry.printing
    return {"Quantity": entry.count, "Name": entry.name, "Finish": entry.finish("Normal", "Foil", "Etched"),
            "Condition": "NM", "Language": ARCHIDEKT_LANGUAGES.get(card.lang, card.lang.upper()),
            "Edition Name": card.set_name, "Edition Code": card.set, "Scryfall ID": card.scryfall_id,
            "Collector Number": card.collector_number}


def _deckbox(entry: Counted) -> dict[str, object]:
    card = entry.printing
    return {"Count": entry.count, "Tradelist Count": 0, "Name": entry.name, "Edition": card.set_name,
            "Edition Code": card.set, "Card Number": card.collector_number, "Condition": "Near Mint",
            "Language": entry.language, "Foil": entry.finish("", "foil", "etched"), "Rarity": card.rarity.capitalize(),
            "TcgPlayer ID": card.tcgplayer_id or "", "Scryfall ID": card.scryfall_id}


def _dragonshield(entry: Counted) -> dict[str, object]:
    card = entry.printing
    name = entry.name.partition(" // ")[0] if card.layout in FRONT_NAME_LAYOUTS else entry.name
    return {"Quantity": entry.count, "Trade Quantity": 0, "Card Name": name, "Set Code": entry.code,
            "Set Name": card.set_name, "Card Number": card.collector_number, "Condition": "NearMint",
            "Printing": entry.finish("Normal", "Foil", "Foil"), "Language": entry.language}


def _mtggoldfish(entry: Counted) -> dict[str, object]:
    card = entry.printing
    return {"Card": entry.name, "Set ID": entry.code, "Set Name": card.set_name, "Quantity": entry.count,
            "Foil": entry.finish("regular", "foil", "foil_etched"), "Collector Number": card.collector_number,
            "Scryfall ID": card.scryfall_id}


def _topdecked(entry: Counted) -> dict[str, object]:
    card = entry.printing
    return {"QUANTITY": entry.count, "NAME": entry.name, "SETCODE": entry.code, "SETNAME": card.set_name,
            "COLLECTOR NUMBER": card.collector_number, "FINISH": entry.finish("nonfoil", "foil", "etched"),
            "RARITY": card.rarity, "ID": card.scryfall_id, "LANG": card.lang, "CONDITION": "near mint"}


def _cardkingdom(entry: Counted) -> dict[str, object]:
    return {"title": entry.name, "edition": entry.printing.set_name, "foil": entry.finish("FALSE", "TRUE", "TRUE"),
            "quantity": entry.count}


PLAIN = "plain"  # has a line for each card: plain_text()
FORMATS: dict[str, Format | TextList] = {
    "manabox": Format(("Name", "Set code", "Set name", "Collector number", "Foil", "Rarity", "Quantity", "ManaBox ID",
                       "Scryfall ID", "Purchase price", "Misprint", "Altered", "Condition", "Language",
                       "Purchase price currency"), _manabox),
    "moxfield": Format(("Count", "Tradelist Count", "Name", "Edition", "Condition", "Language", "Foil", "Tags",
                        "Last Modified", "Collector Number", "Alter", "Proxy", "Purchase Price"), _moxfield, True),
    "archidekt": Format(("Quantity", "Name", "Finish", "Condition", "Date Added", "Language", "Purchase Price", "Tags",
                         "Edition Name", "Edition Code", "Multiverse Id", "Scryfall ID", "Collector Number"),
                        _archidekt),
    "deckbox": Format(("Count", "Tradelist Count", "Name", "Edition", "Edition Code", "Card Number", "Condition",
                       "Language", "Foil", "Signed", "Artist Proof", "Altered Art", "Misprint", "Promo", "Textless",
                       "Printing Id", "Printing Note", "Tags", "My Price", "Cost", "Rarity", "Price", "TcgPlayer ID",
                       "Scryfall ID"), _deckbox),
    "dragonshield": Format(("Folder Name", "Quantity", "Trade Quantity", "Card Name", "Set Code", "Set Name",
                            "Card Number", "Condition", "Printing", "Language", "Price Bought", "Date Bought"),
                           _dragonshield),
    "mtggoldfish": Format(("Card", "Set ID", "Set Name", "Quantity", "Foil", "Variation", "Collector Number",
                           "Scryfall ID"), _mtggoldfish),
    "topdecked": Format(("QUANTITY", "NAME", "SETCODE", "SETNAME", "COLLECTOR NUMBER", "FINISH", "PRICE", "RARITY",
                         "ID", "ACQUIRED DATE", "ACQUIRED PRICE", "LANG", "PRICE SALE", "SIGNING", "ALTERATION",
                         "CONDITION", "NOTES", "TAGS"), _topdecked),
    "cardkingdom": Format(("title", "edition", "foil", "quantity"), _cardkingdom),
    "text": TextList()}
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
