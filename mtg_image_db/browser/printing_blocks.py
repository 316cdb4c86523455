"""The printings of an index -> one file in which a page looks artworks up without unpacking all of it.

    data = packed(Path("index_out") / PRINTINGS)

The file: a number (uint32, little-endian), a JSON object of so many bytes, and blocks. A block is gzip of the columns
of about BLOCK printings (metadata.py), with the artwork's key as a field. The object has `first`, the key of each
block's first artwork, and `ends`, where each block ends behind the object. The artworks are in the order of
mtg_printings.jsonl. For 54,000 artworks with 108,000 printings, it has 9 MB, and mtg_printings.jsonl 68 MB.
Reads   mtg_printings.jsonl
Writes  nothing
"""
from __future__ import annotations

import gzip
from pathlib import Path

import orjson

from mtg_image_db.browser import metadata
from mtg_image_db.index.printings import FIELDS

BLOCK = 1000  # printings: a page unpacks one block in a few ms
GZIP_LEVEL = 9


def packed(path: Path) -> bytes:
    """The file for the page, made of an index's mtg_printings.jsonl."""
    first: list[str] = []
    ends: list[int] = []
    blocks = bytearray()
    waiting: list[bytes] = []

    def close_block() -> None:
        blocks.extend(gzip.compress(b"".join(metadata.columns(waiting)), GZIP_LEVEL, mtime=0))
        ends.append(len(blocks))
        waiting.clear()

    with open(path, "rb") as lines:
        for line in map(orjson.loads, lines):
            if not waiting:
                first.append(line["artwork"])
            waiting += [orjson.dumps({"artwork": line["artwork"], **{field: printing.get(field) for field in FIELDS}})
                        for printing in line["printings"]]
            if len(waiting) >= BLOCK:
                close_block()
    if waiting:
        close_block()
    head = orjson.dumps({"first": first, "ends": ends})
    return len(head).to_bytes(4, "little") + head + blocks
