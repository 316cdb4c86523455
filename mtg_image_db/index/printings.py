"""The printings of an artwork, as a finished index lists them: with and without a picture in the index.

    printings = Printings(Path("index_out"), load_manifest(Path("index_out")))
    for printing in printings.of_artwork(illustration_id, name):
        print(printing.set, printing.collector_number)

Reads   <index-dir>/mtg_printings.jsonl, one line of it for each artwork that is asked for
Writes  nothing: printings_file.py writes the file
"""
from __future__ import annotations

import hashlib
import mmap
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from mtg_image_db.artefacts import PRINTINGS, artwork_key, wrong_artefact

LINE_START, AFTER_KEY = b'{"artwork":', b',"printings":'  # of each line, around the artwork's key


@dataclass(frozen=True, slots=True)
class PaperPrinting:
    """A face of a card as it was printed in paper. name is that of the face, card_name that of the card. The other
    fields are as in Scryfall's card object, and face_id as in mtg_meta.jsonl. printed_name is None if the card bears
    the name itself."""
    name: str
    card_name: str
    set: str
    set_name: str
    collector_number: str
    lang: str
    released_at: str | None
    frame: str
    border_color: str
    layout: str
    finishes: list[str]
    promo: bool
    promo_types: list[str]
    full_art: bool
    rarity: str
    scryfall_id: str
    face_id: str
    oracle_id: str | None
    printed_name: str | None
    tcgplayer_id: int | None
    cardmarket_id: int | None
    scryfall_uri: str


FIELDS = tuple(part.name for part in fields(PaperPrinting))


class Printings:
    """The printings that an index lists. Any thread may ask.

    The file is opened at once, so that a later build cannot put its own in this place. It is compared with the manifest
    when the first artwork is asked for. manifest is the index's, or None for no printings.
    """

    def __init__(self, index_dir: Path, manifest: dict[str, Any] | None) -> None:
        self._index_dir, self._manifest = index_dir, manifest or {"outputs": {}}
        self._expected: Mapping[str, Any] | None = self._manifest["outputs"].get(PRINTINGS)
        self._data = _mapped(index_dir / PRINTINGS) if self._expected else b""
        self._lock, self._verified = threading.Lock(), self._expected is None

    def of_artwork(self, illustration_id: str | None, name: str) -> list[PaperPrinting]:
        """Every printing in paper of an artwork, the newest first. name is the face's: it stands for an artwork without
        illustration_id. Empty if the index lists none.

        Raises SuiteError if the file is not the one of the build.
        """
        with self._lock:
            if not self._verified:
                self._verify()
                self._verified = True
        line = _find(self._data, artwork_key(illustration_id, name).encode(errors="replace"))
        if line is None:
            return []
        return [PaperPrinting(**{field: record.get(field) for field in FIELDS})
                for record in orjson.loads(line)["printings"]]

    def _verify(self) -> None:
        digest = hashlib.sha256(self._data).hexdigest()
        if isinstance(self._data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            self._data.madvise(mmap.MADV_DONTNEED)  # the pages that were read count as memory of this process
        if {"bytes": len(self._data), "sha256": digest} != self._expected:
            raise wrong_artefact(self._index_dir, self._manifest, PRINTINGS)


def _mapped(path: Path) -> mmap.mmap | bytes:
    """The file's bytes, read when they are needed. Empty if the file is empty or missing."""
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):  # ValueError: an empty file cannot be mapped
        return b""


def _find(data: mmap.mmap | bytes, key: bytes) -> bytes | None:
    """The line of the artwork with this key, by binary search: the lines are in the order of their keys' bytes."""
    low, high = 0, len(data)  # the line begins at low or later, and before high
    while low < high:
        middle = (low + high) // 2
        start = data.rfind(b"\n", low, middle) + 1 or low
        end = data.find(b"\n", middle)
        found = orjson.loads(data[start + len(LINE_START):data.find(AFTER_KEY, start)]).encode()
        if found == key:
            return data[start:end]
        low, high = (end + 1, high) if found < key else (low, start)
    return None
