"""Pairs of cards that look alike -> groups of one kind each, a CSV file and a page that show them.

    groups = groups_of(pairs, cards)
    write_csv(Path("near_duplicates.csv"), groups, cards)
    write_page(Path("near_duplicates.html"), groups, cards, "1,537 cards")

Reads   nothing
Writes  the two files
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.common import atomic_file
from mtg_image_db.exploration.cards import Cards
from mtg_image_db.exploration.near_duplicates import Pairs, group_pairs
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition import html_report
from mtg_image_db.recognition.collection import csv_text

# What two cards have in common by Scryfall's metadata, from the least to the most. The first are news. A kind is known
# by the field that is equal.
DIFFERENT, SAME_ARTIST, SAME_NAME, SAME_ARTWORK = "different cards", "same artist", "same name", "same artwork"
KINDS = {DIFFERENT: "", SAME_ARTIST: "artist", SAME_NAME: "name", SAME_ARTWORK: "illustration_id"}
GROUPS_SHOWN = 100  # of each kind on the page: a browser loads their pictures as one scrolls
MEMBERS_SHOWN = 24  # of a group
CARD_COLUMNS = ("name", "set", "collector_number", "artist", "released_at", "type_line", "illustration_id", "oracle_id",
                "scryfall_id", "face_id", "image_url", "scryfall_uri")
COLUMNS = ("group", "kind", "cosine", "row", *CARD_COLUMNS)


@dataclass(frozen=True)
class ListedGroup:
    """The rows of cards that look like the first of them, each with its cosine to it: the first has 1. kind is one of
    KINDS: what each of them has in common with the first."""
    kind: str
    members: list[tuple[int, float]]


def groups_of(pairs: Pairs, cards: Cards) -> list[ListedGroup]:
    """The pairs in groups, in the order of KINDS, then those most alike. Each kind has its own groups: an artwork that
    is used again does not vanish among cards that look a little like it."""
    kinds = _kinds(pairs, cards)
    listed = []
    for number, kind in enumerate(KINDS):
        groups = group_pairs(pairs.only(kinds == number))
        listed += [ListedGroup(kind, [(group.first, 1.0), *group.others])
                   for group in sorted(groups, key=lambda group: (-group.others[0][1], group.first))]
    return listed


def write_csv(path: Path, groups: Sequence[ListedGroup], cards: Cards) -> None:
    """Write a line for each card of each group."""
    remove_leftovers(path.parent)
    with atomic_file(path) as file:
        file.write(csv_text([COLUMNS]).encode())
        for number, group in enumerate(groups, 1):
            described = ((cards.card(row), cosine) for row, cosine in group.members)
            file.write(csv_text([[number, group.kind, f"{cosine:.4f}", card.row,
                                  *(getattr(card, name) for name in CARD_COLUMNS)]
                                 for card, cosine in described]).encode())


def write_page(path: Path, groups: Sequence[ListedGroup], cards: Cards, subtitle: str) -> None:
    """Write the page, with at most GROUPS_SHOWN groups of each kind. It links the pictures."""
    numbered = list(enumerate(groups, 1))
    shown = [entry for kind in KINDS for entry in [each for each in numbered if each[1].kind == kind][:GROUPS_SHOWN]]
    more = f" At most {GROUPS_SHOWN} of each kind are shown; the CSV file has all." if len(shown) < len(groups) else ""
    sections = [_section(number, group, cards) for number, group in shown]
    html_report.write(path, subtitle + more, sections, "Near-duplicates")


def summary(groups: Sequence[ListedGroup]) -> str:
    """How many groups there are of each kind, as a sentence's part."""
    counted = Counter(group.kind for group in groups)
    return ", ".join(f"{counted[kind]:,} {kind}" for kind in KINDS if counted[kind])


def _kinds(pairs: Pairs, cards: Cards) -> NDArray[np.int8]:
    """The kind of each pair, as its place in KINDS (int8 [P])."""
    kinds = np.zeros(len(pairs.first), np.int8)
    for number, field in enumerate(KINDS.values()):
        if field:
            values = np.array([value or "" for value in cards.column(field)], object)
            mine, theirs = values[pairs.first], values[pairs.second]
            kinds[(mine == theirs) & (mine != "")] = number
    return kinds


def _section(number: int, group: ListedGroup, cards: Cards) -> str:
    left = len(group.members) - MEMBERS_SHOWN
    more = f", and {left:,} more" if left > 0 else ""
    shown = [(cards.card(row), None, f"cosine {cosine:.3f}" if at else "compared with the others")
             for at, (row, cosine) in enumerate(group.members[:MEMBERS_SHOWN])]
    return html_report.gallery(f"{number}. {shown[0][0].name}: {group.kind}{more}", shown)
