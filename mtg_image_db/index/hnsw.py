"""Vectors -> FAISS HNSW index; searching it, and how good it is.

Reads and writes  mtg_cards.faiss: IndexIDMap over IndexHNSWFlat, inner product, ids are row numbers
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtg_image_db.common import SuiteError, let_go, naming, say
from mtg_image_db.console import Progress

HNSW_M, EF_CONSTRUCTION, EF_SEARCH = 32, 200, 128
MAX_EF = (1 << 31) - 1  # faiss keeps it in 32 bits
ADD_ROWS = 2048  # between two steps of the progress bar
EXACT_ROWS = 1 << 12
WRITE_BYTES = 1 << 20
QUALITY_SAMPLE = 1000
NEIGHBOURS = 10


@dataclass(frozen=True)
class Quality:
    """Measured on sample_size rows drawn at random (seed 0). None where there was nothing to measure."""
    min_norm: float | None
    max_norm: float | None
    self_recall_at_1: float | None
    recall_at_10: float | None
    sample_size: int


def build_hnsw(vectors: np.ndarray, rows: np.ndarray, m: int, ef_construction: int, ef_search: int):
    """A faiss index over vectors[rows] (float32 [N, D]), ids = rows (int64); stores ef_search.

    Raises SuiteError for no rows: an empty array never reaches faiss.
    """
    import faiss

    if not len(rows):
        raise SuiteError("Build Error", "there are no vectors to index", "0 rows",
                         "Run python scripts/validate_cache.py to see what is in the cache.")
    graph = faiss.IndexHNSWFlat(vectors.shape[1], m, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = ef_construction, ef_search
    _make_room(faiss.downcast_index(graph.storage), len(rows))
    index = faiss.IndexIDMap(graph)
    _add(index, vectors, rows)
    return index


def extend_hnsw(path: Path, vectors: np.ndarray, row_now: np.ndarray, rows: np.ndarray, ef_search: int):
    """The index in the file with the nodes it lacks added: as build_hnsw(vectors, rows, ...) with its parameters,
    for the work of the new nodes alone.

    row_now (int64) is the row that each row of the file's build is now, -1 where it is gone. Returns None where
    a node of the file is gone: HNSW cannot take one out. Raises SuiteError where faiss cannot read the file.
    """
    import faiss

    index = load(path)
    graph = faiss.downcast_index(index.index)
    kept = row_now[faiss.vector_to_array(index.id_map)]
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


def _make_room(storage, count: int) -> None:
    """Room for all vectors at once: growing by doubling holds them twice while it copies."""
    storage.codes.resize(count * storage.code_size)
    storage.codes.resize(0)


def _move_vectors(graph, vectors: np.ndarray, kept: np.ndarray, count: int) -> None:
    """Put the graph's vectors, which are vectors[kept], where there is room for count, the old ones freed first."""
    import faiss

    old, room = graph.storage, faiss.IndexFlat(graph.d, graph.metric_type)
    room.this.disown()
    graph.storage = room
    old.this.own(True)
    del old
    _make_room(room, count)
    for start in range(0, len(kept), ADD_ROWS):
        room.add(np.ascontiguousarray(vectors[kept[start:start + ADD_ROWS]]))
        let_go(vectors)


def _add(index, vectors: np.ndarray, rows: np.ndarray) -> None:
    import faiss

    progress = Progress("Indexing", len(rows), "vectors")
    for start in range(0, len(rows), ADD_ROWS):
        ids = rows[start:start + ADD_ROWS]
        index.add_with_ids(np.ascontiguousarray(vectors[ids]), ids)
        let_go(vectors)
        progress.update(len(ids))
    progress.close()
    _link_orphans(faiss.downcast_index(index.index), vectors, faiss.vector_to_array(index.id_map))


def _link_orphans(graph, vectors: np.ndarray, rows: np.ndarray) -> None:
    """Give every node a link that leads to it: pruning leaves some with none, and no effort of a search
    finds those. An orphan takes the place of the farthest link of its nearest neighbour that is not the
    only way to another node.
    """
    import faiss

    hnsw, width = graph.hnsw, graph.hnsw.nb_neighbors(0)
    links = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())  # in place
    first = faiss.vector_to_array(hnsw.offsets)[:-1].astype(np.int64)  # a node's links on the lowest level
    leading_to = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), ADD_ROWS):
        block = links[first[start:start + ADD_ROWS, None] + np.arange(width)]
        leading_to += np.bincount(block[block >= 0], minlength=len(rows))
    leading_to[hnsw.entry_point] += 1
    for orphan in np.flatnonzero(leading_to == 0):
        near = links[first[orphan]:first[orphan] + width]
        near = near[near >= 0]
        for neighbour in near[np.argsort(-(vectors[rows[near]] @ vectors[rows[orphan]]))]:
            its = links[first[neighbour]:first[neighbour] + width]
            scores = np.where(its < 0, -2.0, vectors[rows[its]] @ vectors[rows[neighbour]])  # free places first
            replaceable = (its < 0) | (leading_to[its] > 1)
            if replaceable.any():
                place = np.flatnonzero(replaceable)[np.argmin(scores[replaceable])]
                if its[place] >= 0:
                    leading_to[its[place]] -= 1
                its[place] = orphan
                leading_to[orphan] += 1
                break
        let_go(vectors)  # scattered rows: each touches 64 kB


def save(index, path: Path) -> None:
    """Write the index. Raises OSError where the disk does not take it.

    Through a file of Python's: faiss's own ignores an error at closing, which is when a full disk
    refuses the last bytes.
    """
    import faiss

    with naming(path), open(path, "wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, WRITE_BYTES))


def load(path: Path):
    """The index in the file. Raises SuiteError where faiss cannot read it."""
    import faiss

    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise SuiteError("Validation Error", "the index file cannot be read", f"{path}: {error}",
                         "Run python build_embeddings.py again.") from error


def search(index, queries: np.ndarray, k: int, ef_search: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(scores float32 [Q, k], rows int64 [Q, k], -1 where there is none) for unit queries [Q, D].

    ef_search overrides the stored one for this search; the index is not rebuilt.
    """
    import faiss

    k = min(k, index.ntotal)
    stored = faiss.downcast_index(index.index).hnsw.efSearch
    effort = max(k, min(ef_search or stored, index.ntotal))  # more than every row finds nothing more
    parameters = faiss.SearchParametersHNSW(efSearch=effort)
    return index.search(np.ascontiguousarray(queries), k, params=parameters)


def search_exact(vectors: np.ndarray, queries: np.ndarray, k: int,
                 rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """As search, by comparing with every row of vectors (any number type), or with the given rows only.

    Holds a block of EXACT_ROWS rows in memory at a time.
    """
    import faiss

    rows = np.arange(len(vectors)) if rows is None else rows
    scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(rows), EXACT_ROWS):
        ids = rows[start:start + EXACT_ROWS]
        block_scores, block = faiss.knn(np.ascontiguousarray(queries), np.ascontiguousarray(vectors[ids], np.float32),
                                        min(k, len(ids)), metric=faiss.METRIC_INNER_PRODUCT)
        scores, found = np.hstack([scores, block_scores]), np.hstack([found, ids[block]])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
        let_go(vectors)
    return scores, found


def measure(index, vectors: np.ndarray, rows: np.ndarray) -> Quality:
    """How often a row finds itself first, and how many of its true 10 nearest rows the graph finds."""
    sample = np.sort(np.random.default_rng(0).choice(len(rows), min(QUALITY_SAMPLE, len(rows)), replace=False))
    norms, queries = np.empty(len(vectors), np.float32), np.empty((len(sample), vectors.shape[1]), np.float32)
    for start in range(0, len(vectors), EXACT_ROWS):
        block = vectors[start:start + EXACT_ROWS]
        norms[start:start + EXACT_ROWS] = np.linalg.norm(block, axis=1)
        inside = slice(*np.searchsorted(rows[sample], (start, start + EXACT_ROWS)))
        queries[inside] = block[rows[sample[inside]] - start]
        let_go(vectors)
    _, found = search(index, queries, NEIGHBOURS)
    _, exact = search_exact(vectors, queries, NEIGHBOURS, rows)
    itself = found[:, 0] == rows[sample]
    return Quality(round(float(norms.min()), 7), round(float(norms.max()), 7),
                   round(float(itself.mean()), 4), round(recall(found, exact), 4), len(sample))


def recall(found: np.ndarray, true: np.ndarray) -> float:
    """The mean share of each query's true rows that are among those found, int64 [Q, k] both."""
    return float(np.mean([len(np.intersect1d(mine, exact)) / len(exact)
                          for mine, exact in zip(found, true, strict=True)]))
