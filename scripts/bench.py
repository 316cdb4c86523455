"""Measure what the README states: HNSW parameters against build time, size and recall.

    python scripts/bench.py --rows 54000

Reads   nothing: vectors are drawn around random centres (seed 0), as card embeddings cluster by frame and set
Writes  a Markdown table to stdout
"""
from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import search_index  # noqa: E402
from cli import ArgumentParser, number, script  # noqa: E402
from common import EXIT_OK  # noqa: E402

DIMENSION = 512  # of ViT-B/32
CENTRES, SPREAD = 200, 2.5
QUERIES = 1000
PARAMETERS = ((16, 100), (32, 200), (64, 400))  # M, efConstruction
EF_SEARCH = (16, 64, 128)


def clustered_vectors(rows: int) -> np.ndarray:
    """Unit float32 [rows, DIMENSION]: a centre each, plus noise SPREAD times as long."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, DIMENSION), np.float32)
    vectors = centres[random.integers(0, CENTRES, rows)]
    vectors += SPREAD * random.standard_normal(vectors.shape, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hnsw_table(rows: int) -> Iterator[str]:
    """A line of the table for each pair of build parameters; recall@10 is against exact search."""
    vectors = clustered_vectors(rows + QUERIES)
    vectors, queries = vectors[:rows], vectors[rows:]
    _, true = search_index.search_exact(vectors, queries, search_index.NEIGHBOURS)
    for m, ef_construction in PARAMETERS:
        started = time.monotonic()
        index = search_index.build_hnsw(vectors, np.arange(rows), m, ef_construction, search_index.EF_SEARCH)
        seconds = time.monotonic() - started
        with tempfile.TemporaryDirectory() as folder:
            search_index.save(index, Path(folder) / "index")
            megabytes = (Path(folder) / "index").stat().st_size / 1e6
        cells = []
        for ef_search in EF_SEARCH:
            started = time.monotonic()
            _, found = search_index.search(index, queries, search_index.NEIGHBOURS, ef_search)
            milliseconds = 1000 * (time.monotonic() - started) / QUERIES
            hits = [len(np.intersect1d(mine, exact)) for mine, exact in zip(found, true, strict=True)]
            cells.append(f"{np.mean(hits) / search_index.NEIGHBOURS:.3f} ({milliseconds:.2f} ms)")
        yield f"| {m} | {ef_construction} | {seconds:.0f} s | {megabytes:.0f} MB | {' | '.join(cells)} |"


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--rows", type=number(int, 1000), default=54_000, metavar="N",
                        help="vectors in the index (default: 54000)")
    args = parser.parse(argv)
    print("| M | efConstruction | build | index | "
          + " | ".join(f"recall@10 at efSearch {ef}" for ef in EF_SEARCH) + " |")
    print("|" + "---|" * (4 + len(EF_SEARCH)))
    for line in hnsw_table(args.rows):
        print(line, flush=True)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
