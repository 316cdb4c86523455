"""Lines of text in a photo -> titles of cards: the name, and where the card must lie.

    titles = Titles(index)
    for title in titles.among(reader.lines(photo, reader.find(pixels, 512))):
        print(title.name, title.card)

A title alone recognises no card: other games use the same names, and rules text has names in it. titled_cards.py
asks for the art beside it.
Reads and writes  nothing
"""
from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from mtg_image_db.index.name_search import plain
from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.finder import CARD_RATIO, Quad
from mtg_image_db.recognition.fitting import on_card
from mtg_image_db.recognition.text_reader import Line

# The numbers were chosen on the development photos: docs/reading.md.
LETTERS_PER_ERROR = 8  # a name may have an error for each so many letters. "Flying" is not Fling
MIN_LETTERS = 3  # "Opt" is the shortest name that is a word
# Where a title is on its card, as shares of the width and the height, from 129 titles of frames since 2003: its left
# end, and its middle. They vary by 0.005.
LEFT, MIDDLE = 0.077, 0.076
# The width of a title, as a share of the card's, is the sum of these: for any title, for each narrow, wide, capital,
# empty and other letter. Fitted to the same 129 titles. It is right to 2% in the median, and to 6% for 95 of 100.
WIDTHS = 0.0103, 0.019, 0.0448, 0.0317, 0.0151, 0.028
NARROW, WIDE, CAPITAL, EMPTY = "iljtfrI'-,.", "mwMW", "ABCDEFGHJKLNOPQRSTUVXYZ", " "
# A line is the title of a card at a place if it begins so near to where the title of that card would be.
AT_TITLE = 0.06
MIN_HEIGHT = 0.036  # of a title, as a share of its card's height: 0.039 to 0.051. Rules text has about 0.030
DECISION = {"letters_per_error": LETTERS_PER_ERROR, "min_letters": MIN_LETTERS, "left": LEFT, "middle": MIDDLE,
            "widths": WIDTHS, "letters": (NARROW, WIDE, CAPITAL, EMPTY), "at_title": AT_TITLE, "min_height": MIN_HEIGHT}
NOT_A_TITLE = re.compile(r"^[^A-ZÀ-Þ\"“‘'0-9]|[.,;:)]$")  # a line of rules text, or of a flavour text's author


@dataclass(frozen=True)
class Title:
    """The title of a card. name: that of the face. strip: the corners of the text in the photo, clockwise from its top
    left. card: those of the card that has it there, whose far side may be off by a few percent."""
    name: str
    strip: Quad
    card: Quad


class Titles:
    """The names of an index's faces. Making it takes 10 µs a face."""

    def __init__(self, index: CardIndex) -> None:
        self._rows: dict[str, list[int]] = {}
        for row in index.nodes.rows.tolist():  # the other rows share the picture of one of these
            self._rows.setdefault(index.face(row)["name"], []).append(row)
        self._names = {letters_of(first_part(name)): name for name in reversed(self._rows)}
        self._keys = list(self._names)

    def without(self, names: Collection[str]) -> Titles:
        """The same, without some names."""
        other = copy.copy(self)
        other._names = {key: name for key, name in self._names.items() if name not in names}
        other._keys = list(other._names)
        return other

    def rows(self, name: str) -> list[int]:
        """The rows of the faces with this name."""
        return self._rows[name]

    def among(self, lines: Iterable[Line]) -> list[Title]:
        """The lines that are names of indexed faces, as titles."""
        return [Title(name, line.quad, card_at(line.quad, first_part(name)))
                for line in lines if (name := self.name_of(line.text))]

    def name_of(self, text: str) -> str | None:
        """The name that a line of text is, or None."""
        from rapidfuzz import process
        from rapidfuzz.distance import Levenshtein

        read = letters_of(text)
        if len(read) < MIN_LETTERS:
            return None
        if self._names.get(read) == text.strip():
            return text.strip()
        if NOT_A_TITLE.search(text.strip()):
            return None
        found = process.extractOne(read, self._keys, scorer=Levenshtein.distance,
                                   score_cutoff=len(read) // LETTERS_PER_ERROR)
        return self._names[found[0]] if found else None


def first_part(name: str) -> str:
    """The name that stands at the top of a card with two names, like an adventure."""
    return name.partition(" // ")[0]


def letters_of(text: str) -> str:
    """The letters and digits of a text without accents and capitals: names are compared so."""
    return "".join(letter for letter in plain(text) if letter.isalnum())


def card_at(strip: Quad, name: str) -> Quad:
    """The corners of the card whose title is here, if the card is seen from straight above."""
    left, right = (strip[0] + strip[3]) / 2, (strip[1] + strip[2]) / 2
    across = (right - left) / width_of(name)
    down = np.array([-across[1], across[0]], np.float32) / np.float32(CARD_RATIO)
    corner = left - LEFT * across - MIDDLE * down
    return np.stack([corner, corner + across, corner + across + down, corner + down])


def width_of(name: str) -> float:
    """The width of a title as a share of its card's width."""
    counts = [sum(letter in kind for letter in name) for kind in (NARROW, WIDE, CAPITAL, EMPTY)]
    return float(np.dot(WIDTHS, [1, *counts, len(name) - sum(counts)]))


def is_title_of(strip: Quad, card: Quad) -> bool:
    """True if a line of text is where the title of a card with these corners is."""
    first = on_card(np.asarray((strip[:1] + strip[3:]) / 2, np.float32), card)[0]
    return bool(np.abs(first - [LEFT, MIDDLE]).max() < AT_TITLE)


def is_on(strip: Quad, card: Quad) -> bool:
    """True if the middle of a line of text is on a card."""
    middle = on_card(strip, card).mean(axis=0)
    return bool((middle > 0).all() and (middle < 1).all())


def is_small_on(strip: Quad, card: Quad) -> bool:
    """True if a line of text is on a card, and too small to be the title of a card of this size."""
    if not is_on(strip, card):
        return False
    corners = on_card(strip, card)
    height = float(np.linalg.norm((corners[3] + corners[2] - corners[0] - corners[1]) / 2 * [CARD_RATIO, 1]))
    return height < MIN_HEIGHT
