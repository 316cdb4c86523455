"""Words -> the rows whose name, set and number have them, compared as people type them.

    rows = NameSearch(index.metadata).rows("bolt lea")

Texts are compared as the page's web/index/names.js does: without accents, capitals, punctuation or ligatures.
Reads and writes  nothing
"""
from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import orjson

END = "|"  # ends the name in a key. It is in no plain text
# Straight and curly apostrophes, primes, and the letters that look like them: people leave them out.
APOSTROPHES = re.compile("['`\u00b4\u02b9-\u02bf\u2018\u2019\u201b\u2032]")
LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "ß": "ss", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th",
                           "ı": "i"})


class NameSearch:
    """The keys of all rows of an index. Making them takes 10 µs a row."""

    def __init__(self, metadata: Sequence[bytes]) -> None:
        """metadata has a JSON object for each row."""
        self._keys = [_key(orjson.loads(line)) for line in metadata]

    def rows(self, text: str) -> list[int]:
        """The rows that have every word of the text, the best first. No words, no rows."""
        wanted = plain(text)
        words = wanted.split()
        found = [row for row, key in enumerate(self._keys) if all(word in key for word in words)] if words else []
        return sorted(found, key=lambda row: _order(self._keys[row], wanted))


def plain(text: str) -> str:
    """The form in which texts are compared."""
    return " ".join("".join(" " if _is_punctuation(letter) else letter for letter in _folded(text)).split())


def _key(face: dict[str, str]) -> str:
    """What a row is found by: its name, its set and number, and words with a hyphen written as one."""
    joined = " ".join(joined for word in _folded(face["name"]).split() if (joined := _joined(word)) != word)
    return f" {plain(face['name'])} {END} {plain(face['set'] + ' ' + face['collector_number'])} {END} {plain(joined)} "


def _order(key: str, wanted: str) -> int:
    """How well a key fits the plain text. 0: the text is the complete name. 1: the name begins with it. 2: the key has
    all its words. 3: it has words that begin with them. 4: it has them anywhere."""
    if key.startswith(f" {wanted} {END}"):
        return 0
    if key.startswith(f" {wanted}"):
        return 1
    words = wanted.split()
    if all(f" {word} " in key for word in words):
        return 2
    return 3 if all(f" {word}" in key for word in words) else 4


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", APOSTROPHES.sub("", text))
    kept = "".join(letter for letter in decomposed if not unicodedata.category(letter).startswith("M"))
    return kept.lower().translate(LIGATURES)


def _joined(word: str) -> str:
    """The word without punctuation between two letters."""
    return "".join(letter for at, letter in enumerate(word) if not (
        _is_punctuation(letter) and 0 < at < len(word) - 1 and word[at - 1].isalpha() and word[at + 1].isalpha()))


def _is_punctuation(letter: str) -> bool:
    return letter == END or (letter != "_" and unicodedata.category(letter)[0] == "P") \
        or unicodedata.category(letter) == "Sk"  # not _: a card is named _____
