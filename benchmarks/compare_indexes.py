"""Comparisons of the index: with hnswlib and usearch, and between parameters.

Reads   nothing: vectors are random
Writes  below the folder it is given
"""
from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.comparison import Bench, Figure
from mtg_image_db.console import say
from mtg_image_db.index import hnsw

DIMENSION = 512  # of ViT-B/32
CENTRES, SPREAD, QUERIES = 200, 2.5, 1000
EFFORTS = [16, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512]
EQUAL_RECALL = 0.99
PARAMETERS = ((16, 100), (32, 200), (64, 400))  # M, efConstruction
EF_SEARCH = (16, 64, 128)


def clustered_vectors(rows: int) -> np.ndarray:
    """Unit vectors, float32 [rows, DIMENSION] (seed 0). Each is one of CENTRES centres plus noise SPREAD times as long.
    So they form clusters, as card embeddings do by frame and set."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, DIMENSION), np.float32)
    vectors = centres[random.integers(0, CENTRES, rows)]
    vectors += SPREAD * random.standard_normal(vectors.shape, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _drawn(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vectors, queries, the true rows of the queries)."""
    vectors = clustered_vectors(rows + QUERIES)
    vectors, queries = vectors[:rows], vectors[rows:]
    return vectors, queries, hnsw.search_exact(vectors, queries, hnsw.NEIGHBOURS)[1]


def hnsw_table(rows: int) -> Iterator[str]:
    """Yield the table of build parameters: time, size, and for each efSearch recall@10 and milliseconds a query."""
    yield ("| M | efConstruction | build | index | "
           + " | ".join(f"recall@10 at efSearch {effort}" for effort in EF_SEARCH) + " |")
    yield "|" + "---|" * (4 + len(EF_SEARCH))
    vectors, queries, true = _drawn(rows)
    for m, ef_construction in PARAMETERS:
        started = time.monotonic()
        index = hnsw.build_hnsw(vectors, np.arange(rows), hnsw.HnswParameters(m, ef_construction))
        built = time.monotonic() - started
        with tempfile.TemporaryDirectory() as folder:
            hnsw.save(index, Path(folder) / "index")
            megabytes = (Path(folder) / "index").stat().st_size / 1e6
        searches = [_search(index, queries, true, effort) for effort in EF_SEARCH]
        cells = " | ".join(f"{found:.3f} ({1000 * elapsed / QUERIES:.2f} ms)" for _, found, elapsed in searches)
        yield f"| {m} | {ef_construction} | {built:.0f} s | {megabytes:.0f} MB | {cells} |"


def indexes(bench: Bench) -> Iterator[Figure]:
    if not bench.peers:
        return
    folder, rows = bench.fresh("indexes"), bench.sizes.vectors
    vectors, queries, true = _drawn(rows)
    for name, values in (("vectors", vectors), ("queries", queries), ("true", true)):
        np.save(folder / f"{name}.npy", values)
    parameters = hnsw.HnswParameters()
    started = time.monotonic()
    index = hnsw.build_hnsw(vectors, np.arange(rows), parameters)
    built = time.monotonic() - started
    ours = _at_equal_recall(_search(index, queries, true, effort) for effort in EFFORTS)
    for library in ("hnswlib", "usearch"):
        say(f"{library} over {rows:,} vectors.")
        theirs = peers.vector_index(bench.peers, folder, library, parameters, EFFORTS)
        yield Figure(f"index of {rows:,} x {DIMENSION}, M {parameters.m}, efConstruction "
                     f"{parameters.ef_construction}, against {library}",
                     f"{built:.1f} s", f"{theirs['build']:.1f} s", built / theirs["build"], "<= 1")
        other = _at_equal_recall(iter(theirs["search"]))
        yield Figure(f"  search at recall@10 >= {EQUAL_RECALL} (efSearch {ours[0]} and {other[0]})",
                     f"{1000 * ours[2] / QUERIES:.2f} ms", f"{1000 * other[2] / QUERIES:.2f} ms", ours[2] / other[2],
                     "<= 1.5")


def _search(index: Any, queries: np.ndarray, true: np.ndarray, effort: int) -> tuple[int, float, float]:
    """(efSearch, recall@10, seconds for all queries)."""
    started = time.monotonic()
    _, found = hnsw.search(index, queries, hnsw.NEIGHBOURS, effort)
    return effort, hnsw.recall(found, true), time.monotonic() - started


def _at_equal_recall(searches: Iterator) -> tuple[int, float, float]:
    tried = list(searches)
    return tuple(next((search for search in tried if search[1] >= EQUAL_RECALL), tried[-1]))
