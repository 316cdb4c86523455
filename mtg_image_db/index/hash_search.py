"""Perceptual hashes -> the rows whose hashes are most similar, by comparing every row.

    index = open_hashes(hashes, rows)
    similarity, rows = search(index, queries, k=20)

Reads and writes  nothing
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.index.hnsw import Found


def open_hashes(hashes: NDArray[np.uint8], rows: NDArray[np.int64]) -> Any:
    """A faiss index of the given rows (int64) of hashes (uint8 [N, bytes]). Its ids are these row numbers."""
    import faiss

    index = faiss.IndexBinaryIDMap(faiss.IndexBinaryFlat(8 * hashes.shape[1]))
    index.add_with_ids(np.ascontiguousarray(hashes[rows]), rows)
    return index


def search(index: Any, queries: NDArray[np.uint8], k: int) -> Found:
    """Search for hashes, uint8 [Q, bytes]. Returns (similarity float32 [Q, k], rows int64 [Q, k], -1 for no row).

    The similarity is 1 - 2 x Hamming distance / bits: 1 for equal hashes, about 0 for unrelated ones.
    """
    distances, rows = index.search(queries, min(k, index.ntotal))
    return (1 - distances * np.float32(2 / index.d)).astype(np.float32), rows
