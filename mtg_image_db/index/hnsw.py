"""Vectors -> FAISS HNSW index: build it, add to it, search it, and measure its quality.

    index = build_hnsw(vectors, np.arange(len(vectors)), HnswParameters())
    cosines, rows = search(index, queries, k=10)

Reads and writes  mtg_cards.faiss: IndexIDMap over IndexHNSWFlat, inner product, ids are row numbers
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.artefacts import release_pages
from mtg_image_db.common import name_errors
from mtg_image_db.console import Progress, SuiteError, say

MAX_EF = (1 << 31) - 1  # faiss stores it as a 32-bit integer
ADD_ROWS = 2048  # rows added between two steps of the progress bar
EXACT_ROWS = 1 << 12
WRITE_BYTES = 1 << 20
QUALITY_SAMPLE = 1000
NEIGHBOURS = 10

Found = tuple[NDArray[np.float32], NDArray[np.int64]]  # cosines float32 [Q, k] and rows int64 [Q, k]


@dataclass(frozen=True)
class HnswParameters:
    """m: links of a node. ef_construction: build effort. ef_search: search effort, stored in the index."""
    m: int = 32
    ef_construction: int = 200
    ef_search: int = 128


@dataclass(frozen=True)
class Nodes:
    """The vectors that an index compares: float32 [n, D], and their rows, int64 [n]."""
    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these rows, float32 [len(rows), D]. Each has to be one of self.rows."""
        return self.vectors[self._place[rows]]

    @cached_property
    def _place(self) -> NDArray[np.int64]:
        place = np.full(self.rows.max(initial=-1) + 1, -1, np.int64)
        place[self.rows] = np.arange(len(self.rows))
        return place


@dataclass(frozen=True)
class Quality:
    """Norms of all rows, and recall measured on sample_size random rows (seed 0). self_recall_at_1 is the share of
    rows that find themselves first. recall_at_10 is the share of the true 10 nearest rows that the index finds."""
    min_norm: float
    max_norm: float
    self_recall_at_1: float
    recall_at_10: float
    sample_size: int


def build_hnsw(vectors: NDArray[np.float32], rows: NDArray[np.int64], parameters: HnswParameters) -> Any:
    """Build a faiss IndexIDMap over the given rows (int64) of vectors (float32 [N, D]). Its ids are these row numbers.

    Raises SuiteError if there are no rows.
    """
    import faiss

    if not len(rows):
        raise SuiteError("Build Error", "there are no vectors to index", "0 rows",
                         "Run python scripts/validate_cache.py to see what is in the cache.")
    graph = faiss.IndexHNSWFlat(vectors.shape[1], parameters.m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = parameters.ef_construction, parameters.ef_search
    _reserve(faiss.downcast_index(graph.storage), len(rows))
    index = faiss.IndexIDMap(graph)
    _add(index, vectors, rows)
    return index


def extend_hnsw(path: Path, vectors: NDArray[np.float32], new_row_of: NDArray[np.int64], rows: NDArray[np.int64],
                ef_search: int) -> Any | None:
    """Load the index and add the rows that it lacks. It keeps the M and efConstruction of the file.

    new_row_of (int64) gives the present row of each row of the file's build, or -1 if it is gone. Returns None if a
    node of the file is gone, because HNSW cannot remove one. Raises SuiteError if faiss cannot read the file.
    """
    import faiss

    index = load(path)
    graph = faiss.downcast_index(index.index)
    kept = new_row_of[faiss.vector_to_array(index.id_map)]
    if (kept < 0).any():
        return None
    faiss.copy_array_to_vector(kept, index.id_map)
    graph.hnsw.efSearch = ef_search
    new = np.setdiff1d(rows, kept)
    say(f"{len(kept):,} vectors are in the stored index, {len(new):,} to add.")
    if len(new):
        _move_vectors(graph, vectors, kept, len(rows))
        _add(index, vectors, new)
    return index


def _reserve(storage: Any, count: int) -> None:
    """Reserve memory for all vectors at once. To grow by doubling, faiss holds them twice while it copies."""
    storage.codes.resize(count * storage.code_size)
    storage.codes.resize(0)


def _move_vectors(graph: Any, vectors: NDArray[np.float32], kept: NDArray[np.int64], count: int) -> None:
    """Put the graph's vectors, which are vectors[kept], into memory reserved for count vectors.

    To grow them, faiss holds them twice while it copies: 871 MB at the peak instead of 524 for 200,000 vectors of 512
    numbers. So the old ones are freed first. For that, this function takes over their ownership.
    """
    import faiss

    old, storage = graph.storage, faiss.IndexFlat(graph.d, graph.metric_type)
    storage.this.disown()
    graph.storage = storage
    old.this.own(True)
    del old
    _reserve(storage, count)
    for start in range(0, len(kept), ADD_ROWS):
        storage.add(np.ascontiguousarray(vectors[kept[start:start + ADD_ROWS]]))
        release_pages(vectors)


def _add(index: Any, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    progress = Progress("Indexing", len(rows), "vectors")
    for start in range(0, len(rows), ADD_ROWS):
        ids = rows[start:start + ADD_ROWS]
        index.add_with_ids(np.ascontiguousarray(vectors[ids]), ids)
        release_pages(vectors)
        progress.update(len(ids))
    progress.close()


def save(index: Any, path: Path) -> None:
    """Write the index. Raises OSError if the disk does not take it.

    It is written through a Python file. faiss ignores an error when it closes its own file, and a full disk may refuse
    the last bytes only then.
    """
    import faiss

    with name_errors(path), open(path, "wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, WRITE_BYTES))


def load(path: Path, mapped: bool = False) -> Any:
    """Load an index file. mapped=True maps its vectors instead of copying them: for searching alone, 0.01 s instead of
    0.15 for 54,000. A build puts a new file in its place, so the mapped one stays. Raises SuiteError if faiss cannot
    read it."""
    import faiss

    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        raise SuiteError("Validation Error", "the index file cannot be read", f"{path}: {error}",
                         "Run python build_embeddings.py again.") from error


def nodes_of(index: Any) -> Nodes:
    """The nodes of a loaded index. The vectors are its own memory: they are valid as long as it is."""
    import faiss

    storage = faiss.downcast_index(faiss.downcast_index(index.index).storage)
    vectors = faiss.rev_swig_ptr(storage.get_xb(), storage.ntotal * storage.d).reshape(storage.ntotal, storage.d)
    return Nodes(vectors, faiss.vector_to_array(index.id_map))


def search(index: Any, queries: NDArray[np.float32], k: int, ef_search: int | None = None) -> Found:
    """Search for unit queries, float32 [Q, D]. Returns (cosines float32 [Q, k], rows int64 [Q, k], -1 for no row).

    ef_search overrides the stored value for this search. The index is not rebuilt.
    """
    import faiss

    k = min(k, index.ntotal)
    stored = faiss.downcast_index(index.index).hnsw.efSearch
    effort = max(k, min(ef_search or stored, index.ntotal))  # an effort above the number of rows finds nothing more
    parameters = faiss.SearchParametersHNSW(efSearch=effort)
    cosines, rows = index.search(np.ascontiguousarray(queries), k, params=parameters)
    return cosines, rows


def search_exact(vectors: NDArray[Any], queries: NDArray[np.float32], k: int,
                 rows: NDArray[np.int64] | None = None) -> Found:
    """Like search, but compares with every row of vectors (of any number type), or with the given rows only.

    Holds one block of EXACT_ROWS rows in memory at a time.
    """
    import faiss

    rows = np.arange(len(vectors)) if rows is None else rows
    cosines, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(rows), EXACT_ROWS):
        ids = rows[start:start + EXACT_ROWS]
        block_cosines, block = faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(vectors[ids], np.float32),
                                        min(k, len(ids)), metric=faiss.METRIC_INNER_PRODUCT)
        cosines, found = np.hstack([cosines, block_cosines]), np.hstack([found, ids[block]])
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        cosines, found = np.take_along_axis(cosines, best, 1), np.take_along_axis(found, best, 1)
        release_pages(vectors)
    return cosines, found


def measure(index: Any, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> Quality:
    """Measure the quality of an index over the given rows of vectors."""
    sample = np.sort(np.random.default_rng(0).choice(len(rows), min(QUALITY_SAMPLE, len(rows)), replace=False))
    norms, queries = np.empty(len(vectors), np.float32), np.empty((len(sample), vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), EXACT_ROWS):
        block = vectors[start:start + EXACT_ROWS]
        norms[start:start + EXACT_ROWS] = np.linalg.norm(block, axis=1)
        inside = slice(*np.searchsorted(rows[sample], (start, start + EXACT_ROWS)))
        queries[inside] = block[rows[sample[inside]] - start]
        release_pages(vectors)
    _, found = search(index, queries, NEIGHBOURS)
    _, exact = search_exact(vectors, queries, NEIGHBOURS, rows)
    finds_itself = found[:, 0] == rows[sample]
    return Quality(round(float(norms.min()), 7), round(float(norms.max()), 7),
                   round(float(finds_itself.mean()), 4), round(recall(found, exact), 4), len(sample))


def recall(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The mean share of each query's true rows that were found. Both arrays are int64 [Q, k]."""
    return float(np.mean([len(np.intersect1d(mine, exact)) / len(exact)
                          for mine, exact in zip(found, true, strict=True)]))
