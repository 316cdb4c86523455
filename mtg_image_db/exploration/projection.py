"""Vectors -> places on a map, so that cards that look alike lie beside each other.

    places = project(cards.vectors)    # float32 [N, 2]

umap-learn (BSD-3) lays them out. It is an extra of this package: with what it needs, it takes 410 MB.
Reads and writes  nothing
"""
from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.console import SuiteError

SEED = 42  # the same index gives the same map, on the same machine with the same versions
NEIGHBOURS, LEAST_DISTANCE = 15, 0.1  # UMAP's own defaults
FEWEST = 10  # cards that UMAP lays out. Fewer lie in a row


def has_umap() -> bool:
    """True if UMAP is installed. It is not imported yet: that takes seconds."""
    return importlib.util.find_spec("umap") is not None


def require_umap() -> None:
    """Raise SuiteError, before the work, if UMAP is not installed."""
    if not has_umap():
        raise SuiteError("Configuration Error", "the map needs the package umap-learn", "it is not installed",
                         "pip install umap-learn, or leave the map out: --only near-duplicates or --only clusters")


def project(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The places of unit vectors (float32 [N, D]) on a map: float32 [N, 2], of any scale."""
    count = len(vectors)
    if count < FEWEST:
        return np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32)
    umap = _umap()
    import faiss

    rows = np.ascontiguousarray(vectors, np.float32)
    # Exact neighbours: UMAP would search for them on one core, and compile that search first.
    cosines, nearest = faiss.knn(rows, rows, min(NEIGHBOURS, count - 1), metric=faiss.METRIC_INNER_PRODUCT)
    distances = np.maximum(0, 1 - cosines).astype(np.float32)
    model = umap.UMAP(n_neighbors=nearest.shape[1], min_dist=LEAST_DISTANCE, metric="cosine", init="pca",
                      random_state=SEED, n_jobs=1, precomputed_knn=(nearest, distances),
                      tqdm_kwds={"disable": not sys.stderr.isatty(), "desc": "Layout"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no search index came with the neighbours: none is needed
        return np.asarray(model.fit_transform(rows), np.float32)


def _umap() -> Any:
    try:
        import umap
    except ImportError as error:
        raise SuiteError("Configuration Error", "the package umap-learn cannot be used", error,
                         "pip install --force-reinstall umap-learn") from error
    return umap
