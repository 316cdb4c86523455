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

from mtg_image_db.arguments import OUT, ArgumentParser
from mtg_image_db.art_windows import REGIONS
from mtg_image_db.artefacts import META, load_manifest
from mtg_image_db.console import EXIT_OK, entry_point, percent
from mtg_image_db.index.vectors import open_vectors

NEAREST = 10
BLOCK_ROWS = 1024  # rows that are compared with all at a time
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
    parser.add_argument("--index-dir", type=Path, default=OUT, metavar="DIR",
                        help="where the build wrote (default: index_out)")
    args = parser.parse(argv)
    manifest = load_manifest(args.index_dir)
    faces = [json.loads(line) for line in (args.index_dir / META).read_bytes().splitlines()]
    near = {region: nearest(open_vectors(args.index_dir, manifest, region)) for region in REGIONS}
    print(f"Of the {NEAREST} nearest of {len(faces):,} faces, these share with the face its:\n")
    print("| | by chance | " + " | ".join(f"by {region}" for region in REGIONS) + " |\n|---|---|---|---|")
    for name, read in SHARED.items():
        values = np.unique([read(face) for face in faces], return_inverse=True)[1]
        known = np.array([bool(read(face)) for face in faces])
        shares = [shared(values, known, near[region]) for region in REGIONS]
        print(f"| {name} | " + " | ".join(percent(*share) for share in (by_chance(values, known), *shares)) + " |")
    return EXIT_OK


def nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The nearest other rows of each row, int64 [N, at most NEAREST]. There must be two rows."""
    rows, most = [], min(NEAREST, len(vectors) - 1)
    for start in range(0, len(vectors), BLOCK_ROWS):
        cosines = vectors[start:start + BLOCK_ROWS] @ vectors.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        rows.append(np.argpartition(-cosines, most - 1, axis=1)[:, :most])
    return np.concatenate(rows)


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
