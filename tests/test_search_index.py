"""The HNSW index: its parameters do what they say, and its figures are true."""
from __future__ import annotations

import faiss
import numpy as np
import pytest

import search_index
from common import SuiteError

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
    search_index.save(search_index.build_hnsw(vectors, np.arange(ROWS), 4, 16, 10), tmp_path / "index")
    index = search_index.load(tmp_path / "index")
    queries = vectors[:200] + 0.02
    true = true_neighbours(vectors, queries)
    stored, low, high = (recall(search_index.search(index, queries, 10, ef)[1], true) for ef in (None, 10, 2000))
    assert stored == low < high - 0.1


def test_more_links_and_effort_find_more(vectors):
    queries = vectors[:200] + 0.02
    true = true_neighbours(vectors, queries)
    poor = search_index.build_hnsw(vectors, np.arange(ROWS), 4, 8, 16)
    good = search_index.build_hnsw(vectors, np.arange(ROWS), 32, 200, 16)
    assert recall(search_index.search(poor, queries, 10)[1], true) < \
        recall(search_index.search(good, queries, 10)[1], true) - 0.1


@pytest.mark.parametrize("block", [7, 1000, 1 << 16])
def test_exact_search_is_exact_in_any_block(vectors, monkeypatch, block):
    monkeypatch.setattr(search_index, "EXACT_ROWS", block)
    rows = np.arange(0, 500, 3)
    scores, found = search_index.search_exact(vectors, vectors[:20], 5, rows)
    expected = rows[true_neighbours(vectors[rows], vectors[:20], 5)]
    assert np.array_equal(found, expected)
    assert np.allclose(scores, np.take_along_axis(vectors[:20] @ vectors.T, expected, 1), atol=1e-6)


def test_the_quality_figures_are_true(vectors):
    rows = np.arange(0, ROWS, 2)
    index = search_index.build_hnsw(vectors, rows, 4, 8, 10)
    quality = search_index.measure(index, vectors, rows)
    sample = np.sort(np.random.default_rng(0).choice(len(rows), 1000, replace=False))
    queries = vectors[rows[sample]]
    _, found = search_index.search(index, queries, 10)
    assert quality.sample_size == 1000
    assert abs(quality.recall_at_10 - recall(found, rows[true_neighbours(vectors[rows], queries)])) < 1e-3
    assert quality.self_recall_at_1 == round(float((found[:, 0] == rows[sample]).mean()), 4) < 1
    assert abs(quality.min_norm - 1) < 1e-5 and abs(quality.max_norm - 1) < 1e-5


def test_an_empty_array_never_reaches_faiss(vectors):
    with pytest.raises(SuiteError, match="no vectors"):
        search_index.build_hnsw(vectors, np.empty(0, np.int64), 32, 200, 128)


def test_what_is_no_index_is_an_error(tmp_path):
    (tmp_path / "index").write_bytes(b"nothing")
    with pytest.raises(SuiteError, match="cannot be read"):
        search_index.load(tmp_path / "index")


def test_every_node_can_be_reached_from_another():
    """With few links pruning leaves nodes that none leads to: no effort of a search would find them."""
    vectors = np.random.default_rng(3).standard_normal((3000, 64), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = search_index.build_hnsw(vectors, np.arange(3000), 4, 20, 64)
    hnsw = faiss.downcast_index(index.index).hnsw
    links = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    first = faiss.vector_to_array(hnsw.offsets)[:-1].astype(int)
    lowest = links[first[:, None] + np.arange(hnsw.nb_neighbors(0))]
    led_to = set(lowest[lowest >= 0].tolist()) | {hnsw.entry_point}
    assert len(led_to) == 3000
