"""What the nearest faces share with a face: its frame, its colours, its artist and its artwork.

    python benchmarks/similar_art.py --index-dir index_out

It compares the vectors of the complete cards with those of the art: neighbours by art shall share fewer frames, and
more artists. "by chance" is the share of all other faces.
Reads   an index that was built with --with-art
Writes  a table to stdout
"""
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import ArgumentParser, add_index_flag
from mtg_image_db.art_windows import CARD, REGIONS
from mtg_image_db.artefacts import load_manifest
from mtg_image_db.console import EXIT_OK, entry_point, percent
from mtg_image_db.index.hnsw import search_exact
from mtg_image_db.index.vectors import open_rows

NEAREST = 10
# What is compared, and how a face has it. "" is unknown, and such faces are left out.
SHARED: dict[str, Callable[[dict[str, Any]], str]] = {
    "frame": lambda face: face["frame"],
    "colours": lambda face: "".join(face["colors"]),
    "artist": lambda face: face["artist"],
    "artwork": lambda face: face["illustration_id"] or "",
}


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_index_flag(parser)
    args = parser.parse(argv)
    manifest = load_manifest(args.index_dir)
    opened = {region: open_rows(args.index_dir, manifest, region) for region in REGIONS}
    faces = [json.loads(line) for line in opened[CARD][1]]
    near = {region: nearest(vectors) for region, (vectors, _) in opened.items()}
    print(f"Of the {NEAREST} nearest of {len(faces):,} faces, these share with the face its:\n")
    print("| | by chance | " + " | ".join(f"by {region}" for region in REGIONS) + " |\n|---|---|---|---|")
    for name, read in SHARED.items():
        values = np.unique([read(face) for face in faces], return_inverse=True)[1]
        known = np.array([bool(read(face)) for face in faces])
        shares = [shared(values, known, near[region]) for region in REGIONS]
        print(f"| {name} | " + " | ".join(percent(*share) for share in (by_chance(values, known), *shares)) + " |")
    return EXIT_OK


def nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest other rows of each row, int64 [N, at most NEAREST]."""
    most = min(NEAREST, len(vectors) - 1)
    _, rows = search_exact(vectors, np.asarray(vectors), most + 1)
    # A row is among its own nearest, unless many others have the same vector.
    others = np.argsort(rows == np.arange(len(rows))[:, None], axis=1, kind="stable")[:, :most]
    return np.take_along_axis(rows, others, axis=1)


def shared(values: NDArray[np.int64], known: NDArray[np.bool_], rows: NDArray[np.int64]) -> tuple[int, int]:
    """(the pairs of a row and a near row with the same value, all pairs whose values are known)."""
    both = known[:, None] & known[rows]
    return int(((values[:, None] == values[rows]) & both).sum()), int(both.sum())


def by_chance(values: NDArray[np.int64], known: NDArray[np.bool_]) -> tuple[int, int]:
    """The same of all pairs of rows."""
    counts = np.bincount(values[known]).astype(int)
    return int((counts * (counts - 1)).sum()), int(counts.sum() * (counts.sum() - 1))


if __name__ == "__main__":
    sys.exit(main())
