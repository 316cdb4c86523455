"""The vectors and the metadata of an index, row by row, for programs that look at all of it.

    cards = read_cards(Path("index_out"))
    print(cards.card(0).name, cards.vectors[0])

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <index-dir>
Writes  nothing
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.artefacts import EMBEDDINGS, META, load_manifest, verify
from mtg_image_db.console import SuiteError
from mtg_image_db.index.reader import ABSENT, DESCRIBED, Face

COLOURS = {"W": "White", "U": "Blue", "B": "Black", "R": "Red", "G": "Green"}
MULTICOLOUR, COLOURLESS, LAND = "Multicolour", "Colourless", "Land"


@dataclass(frozen=True)
class Card(Face):
    """A face of the index, with what is compared and shown here besides. card_url is the picture for display."""
    card_url: str
    released_at: str
    type_line: str
    frame: str
    colors: list[str]

    @property
    def colour(self) -> str:
        """One of COLOURS' words, Multicolour, Colourless or Land: a land has no colours of its own."""
        if not self.colors:
            return LAND if "Land" in self.type_line.split() else COLOURLESS
        return MULTICOLOUR if len(self.colors) > 1 else COLOURS.get(self.colors[0], COLOURLESS)


SHOWN = "card_url", "released_at", "type_line", "frame", "colors"
UNKNOWN: dict[str, Any] = {**ABSENT, "card_url": "", "released_at": "", "type_line": "", "frame": "", "colors": []}


@dataclass(frozen=True)
class Cards:
    """The rows of an index. vectors: float32 [N, D], every row of norm 1, mapped from the file. lines: the JSON of each
    row."""
    manifest: dict[str, Any]
    vectors: NDArray[np.float32]
    lines: list[bytes]

    def __len__(self) -> int:
        return len(self.lines)

    def card(self, row: int) -> Card:
        """The metadata of a row."""
        told = {key: value for key, value in orjson.loads(self.lines[row]).items() if value is not None}
        known = {**dict.fromkeys(DESCRIBED), **UNKNOWN, **told}
        return Card(row=row, **{name: known[name] for name in (*DESCRIBED, *SHOWN)})

    def column(self, name: str) -> list[str | None]:
        """A text of the metadata, of each row. None or empty if it is not known."""
        return [orjson.loads(line).get(name) for line in self.lines]


def read_cards(index_dir: Path, vectors_file: str = EMBEDDINGS) -> Cards:
    """Read an index. vectors_file is a file of the index with a unit vector for each row, in the order of the rows.

    Raises SuiteError if the index is missing, or if a file does not match the manifest.
    """
    manifest = load_manifest(index_dir)
    verify(index_dir, manifest, (vectors_file, META))
    vectors = np.load(index_dir / vectors_file, mmap_mode="r", allow_pickle=False)
    lines = (index_dir / META).read_bytes().splitlines()
    if len(lines) != len(vectors):
        raise SuiteError("Validation Error", "vectors and metadata do not belong together",
                         f"{len(vectors)} vectors, {len(lines)} lines", "Run python build_embeddings.py again.")
    return Cards(manifest, vectors, lines)
