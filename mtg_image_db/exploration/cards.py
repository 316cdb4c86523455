"""The vectors and the metadata of an index, row by row, for programs that look at all of it.

    cards = read_cards(Path("index_out"), ART)
    print(cards.card(0).name, cards.vectors[0])

Reads   build_manifest.json, mtg_embeddings.npy or mtg_art_embeddings.npy, and mtg_meta.jsonl in <index-dir>
Writes  nothing
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, CARD
from mtg_image_db.artefacts import load_manifest
from mtg_image_db.index.reader import ABSENT, DESCRIBED, Face
from mtg_image_db.index.vectors import has_art, open_rows

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
    color_identity: list[str]

    @property
    def colour(self) -> str:
        """The colour identity as one of COLOURS' words, Multicolour, Colourless or Land: a land without one."""
        colours = self.color_identity or self.colors  # an index of an earlier version knows the colours only
        if not colours:
            return LAND if "Land" in self.type_line.split() else COLOURLESS
        return MULTICOLOUR if len(colours) > 1 else COLOURS.get(colours[0], COLOURLESS)


SHOWN = "card_url", "released_at", "type_line", "frame", "colors", "color_identity"
UNKNOWN: dict[str, Any] = {**ABSENT, "card_url": "", "released_at": "", "type_line": "", "frame": "", "colors": [],
                           "color_identity": []}


@dataclass(frozen=True)
class Cards:
    """The rows of an index. vectors: float32 [N, D], every row of norm 1, mapped from the file. They are of the region:
    CARD or ART. lines: the JSON of each row."""
    manifest: dict[str, Any]
    region: str
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


def read_cards(index_dir: Path, region: str | None = None) -> Cards:
    """Read an index with the vectors of a region, CARD or ART (None: ART, if the index has vectors of the art).

    Raises SuiteError if the index is missing or has no such vectors, or if a file does not match the manifest.
    """
    manifest = load_manifest(index_dir)
    region = region or (ART if has_art(manifest) else CARD)
    return Cards(manifest, region, *open_rows(index_dir, manifest, region))
