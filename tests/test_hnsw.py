"""The HNSW index: its parameters do what they say, and its figures are true."""
from __future__ import annotations

import faiss
import numpy as np
import pytest

from mtg_image_db.console import SuiteError
from mtg_image_db.index import hnsw
from mtg_image_db.index.hnsw import HnswParameters

ROWS, DIMENSION = 4000, 64


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def true_neighbours(vectors: np.ndarray, queries: np.ndarray, k: int = 10) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1)[:, :k]


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, true, strict=True)]))


def test_ef_search_changes_recall_without_rebuilding(vectors, tmp_path):
    hnsw.save(hnsw.build_hnsw(vectors, np.arange(ROWS), HnswParameters(4, 16, 10)), tmp_path / "index")
    index = hnsw.load(tmp_path / "index")
    queries = vectors[:200] + 0.02
    true = true_neighbours(vectors, queries)
    stored, low, high = (recall(hnsw.search(index, queries, 10, ef)[1], true) for ef in (None, 10, 2000))
    assert stored == low < high - 0.1


def test_more_links_and_effort_find_more(vectors):
    queries = vectors[:200] + 0.02
    true = true_neighbours(vectors, queries)
    poor = hnsw.build_hnsw(vectors, np.arange(ROWS), HnswParameters(4, 8, 16))
    good = hnsw.build_hnsw(vectors, np.arange(ROWS), HnswParameters(32, 200, 16))
    assert recall(hnsw.search(poor, queries, 10)[1], true) < \
        recall(hnsw.search(good, queries, 10)[1], true) - 0.1


@pytest.mark.parametrize("block", [7, 1000, 1 << 16])
def test_exact_search_is_exact_in_any_block(vectors, monkeypatch, block):
    monkeypatch.setattr(hnsw, "EXACT_ROWS", block)
    rows = np.arange(0, 500, 3)
    scores, found = hnsw.search_exact(vectors, vectors[:20], 5, rows)
    expected = rows[true_neighbours(vectors[rows], vectors[:20], 5)]
    assert np.array_equal(found, expected)
    assert np.allclose(scores, np.take_along_axis(vectors[:20] @ vectors.T, expected, 1), atol=1e-6)


def test_the_quality_figures_are_true(vectors):
    rows = np.arange(0, ROWS, 2)
    index = hnsw.build_hnsw(vectors, rows, HnswParameters(4, 8, 10))
    quality = hnsw.measure(index, vectors, rows)
    sample = np.sort(np.random.default_rng(0).choice(len(rows), 1000, replace=False))
    queries = vectors[rows[sample]]
    _, found = hnsw.search(index, queries, 10)
    assert quality.sample_size == 1000
    assert abs(quality.recall_at_10 - recall(found, rows[true_neighbours(vectors[rows], queries)])) < 1e-3
    assert quality.self_recall_at_1 == round(float((found[:, 0] == rows[sample]).mean()), 4) < 1
    assert abs(quality.min_norm - 1) < 1e-5 and abs(quality.max_norm - 1) < 1e-5


def test_a_stored_index_grows_into_one_as_good_as_new(vectors, tmp_path):
    """The rows move, some are new: every node has its own vector, and searches find what exact ones do."""
    old, path = ROWS - 300, tmp_path / "index"
    hnsw.save(hnsw.build_hnsw(vectors[:old], np.arange(old), HnswParameters(16, 100, 10)), path)
    order = np.random.default_rng(3).permutation(ROWS)
    new_row_of = np.argsort(order)[:old]
    moved, rows = np.ascontiguousarray(vectors[order]), np.arange(ROWS)
    grown = hnsw.extend_hnsw(path, moved, new_row_of, rows, 77)
    graph = faiss.downcast_index(grown.index)
    assert (graph.hnsw.efSearch, graph.hnsw.efConstruction, grown.ntotal) == (77, 100, ROWS)
    ids = faiss.vector_to_array(grown.id_map)
    assert sorted(ids) == rows.tolist()
    assert np.array_equal(graph.reconstruct_n(0, ROWS), moved[ids])
    fresh = hnsw.build_hnsw(moved, rows, HnswParameters(16, 100, 77))
    grown, fresh = (hnsw.measure(index, moved, rows) for index in (grown, fresh))
    assert grown.self_recall_at_1 == 1.0 and grown.recall_at_10 > fresh.recall_at_10 - 0.01


def test_an_index_with_nothing_new_is_the_same_graph(vectors, tmp_path):
    path, rows = tmp_path / "index", np.arange(ROWS)
    hnsw.save(hnsw.build_hnsw(vectors, rows, HnswParameters(8, 40, 10)), path)
    hnsw.save(hnsw.extend_hnsw(path, vectors, rows, rows, 10), tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_a_row_that_is_gone_cannot_leave_the_index(vectors, tmp_path):
    path, rows = tmp_path / "index", np.arange(ROWS)
    hnsw.save(hnsw.build_hnsw(vectors, rows, HnswParameters(8, 40, 10)), path)
    gone = rows.copy()
    gone[7] = -1
    assert hnsw.extend_hnsw(path, vectors, gone, rows, 10) is None


def test_an_empty_array_never_reaches_faiss(vectors):
    with pytest.raises(SuiteError, match="no vectors"):
        hnsw.build_hnsw(vectors, np.empty(0, np.int64), HnswParameters(32, 200, 128))


def test_what_is_no_index_is_an_error(tmp_path):
    (tmp_path / "index").write_bytes(b"nothing")
    with pytest.raises(SuiteError, match="cannot be read"):
        hnsw.load(tmp_path / "index")
