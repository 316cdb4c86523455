"""A second build: what is reused, what is embedded again, and when the index is built anew."""
from __future__ import annotations

import os

import faiss
import numpy as np
import pytest
from built_files import ARTEFACTS, assert_nodes_are_rows, read_bulk_of, vectors_of
from conftest import Workspace, write_bulk

from mirror.drawn_cards import write_mirror
from mtg_image_db.artefacts import cache_name


def test_a_second_build_embeds_nothing_and_gives_the_same_files(built):
    before = {name: (built.out / name).read_bytes() for name in ARTEFACTS if name != "mtg_cards.faiss"}
    done = built.build()
    assert "53 unchanged, 0 to read" in done.stderr and "Model " not in done.stderr
    assert built.manifest()["statistics"]["new_embeddings"] == 0
    assert before == {name: (built.out / name).read_bytes() for name in before}


def test_ten_new_cards_cost_ten_embeddings(own_mirror, workspace):
    workspace.api_url = own_mirror.url
    workspace.download()
    workspace.build()
    write_mirror(own_mirror.root, 50)
    (workspace.cache / "bulk" / "unique_artwork.json").unlink()
    workspace.download()
    workspace.build()
    done = workspace.manifest()["statistics"]
    assert (done["new_embeddings"], done["reused_embeddings"], done["successful_embeddings"]) == (10, 53, 63)
    assert_nodes_are_rows(workspace, 62)


def test_new_cards_are_added_to_the_stored_index(built):
    cards = read_bulk_of(built)
    built.build("--bulk-file", write_bulk(built.path / "few", cards[:25]), "--out", "grown")
    built = Workspace(built.path, built.api_url, out_name="grown")
    done = built.build("--bulk-file", write_bulk(built.path / "all", cards[::-1]), "--out", "grown")
    assert "vectors are in the stored index, " in done.stderr and " 0 to add" not in done.stderr
    assert_nodes_are_rows(built, 52)


@pytest.mark.parametrize("flags, why", [
    (["--bulk-file", "few"], "a card is gone"), (["--hnsw-m", "16"], ""), (["--hnsw-ef-construction", "100"], ""),
    (["--rebuild"], ""), (["--fit", "pad"], "")])
def test_an_index_of_other_rows_or_parameters_is_built_anew(built, flags, why):
    write_bulk(built.path / "few", read_bulk_of(built)[1:])
    assert "stored index" not in built.build(*flags).stderr, why
    assert_nodes_are_rows(built, 51 if why else 52)


@pytest.mark.fault("damaged-artefact")
def test_a_damaged_index_is_built_anew(built):
    data = bytearray((built.out / "mtg_cards.faiss").read_bytes())
    data[len(data) // 2] ^= 1
    (built.out / "mtg_cards.faiss").write_bytes(data)
    assert "previous build's index is not used" in built.build().stderr
    assert_nodes_are_rows(built, 52)


def test_a_touched_file_is_read_but_not_embedded_again(built):
    for path in built.pictures():
        os.utime(path)
    assert "0 unchanged, 53 to read" in built.build().stderr
    done = built.manifest()["statistics"]
    assert (done["new_embeddings"], done["reused_embeddings"]) == (0, 53)


def test_a_changed_picture_is_embedded_again(built):
    one, other = built.pictures()[:2]
    row = next(row for row, line in enumerate(built.lines("mtg_meta.jsonl"))
               if cache_name(line["image_url"]) == one.name)
    before = vectors_of(built)[row]
    one.write_bytes(other.read_bytes())
    built.build()
    assert not np.allclose(vectors_of(built)[row], before, atol=1e-3)
    assert built.manifest()["statistics"]["identical_images"] == 2


def test_reordered_and_removed_cards_keep_their_vectors(built):
    cards = read_bulk_of(built)
    before = {line["face_id"]: vector for line, vector in zip(built.lines("mtg_meta.jsonl"), vectors_of(built),
                                                              strict=True)}
    built.build("--bulk-file", write_bulk(built.path / "mine", cards[:20:-1]))
    assert built.manifest()["statistics"]["new_embeddings"] == 0
    for line, vector in zip(built.lines("mtg_meta.jsonl"), vectors_of(built), strict=True):
        assert np.array_equal(vector, before[line["face_id"]])


@pytest.mark.parametrize("flags", [["--rebuild"], ["--fit", "pad"]])
def test_another_model_fingerprint_or_rebuild_embeds_everything(built, flags):
    built.build(*flags)
    done = built.manifest()
    assert done["statistics"]["new_embeddings"] == 52
    assert done["parameters"]["fit"] == ("pad" if "pad" in flags else "crop")
    assert done["parameters"]["target_size"] == 224


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("name", ["mtg_embeddings.npy", "mtg_pictures.npy"])
def test_a_damaged_previous_build_is_not_reused(built, name):
    data = bytearray((built.out / name).read_bytes())
    data[-5] ^= 1
    (built.out / name).write_bytes(data)
    assert "previous build's vectors are not used" in built.build().stderr
    assert built.manifest()["statistics"]["new_embeddings"] == 52


def test_hnsw_flags_reach_the_index(built):
    built.build("--hnsw-m", 8, "--hnsw-ef-construction", 50, "--hnsw-ef-search", 33)
    index = faiss.read_index(str(built.out / "mtg_cards.faiss"))
    graph = faiss.downcast_index(index.index)  # a view: index must outlive it
    assert (graph.hnsw.nb_neighbors(1), graph.hnsw.efConstruction, graph.hnsw.efSearch) == (8, 50, 33)
    assert built.manifest()["statistics"]["new_embeddings"] == 0
