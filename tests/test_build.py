"""build_embeddings.py on drawn cards: the files it writes, and what it rejects."""
from __future__ import annotations

import json

import faiss
import numpy as np
import pytest
from built_files import ARTEFACTS, faces_of, picture_of, vectors_of
from conftest import assert_three_lines

META_KEYS = ["name", "scryfall_id", "face_id", "set", "collector_number", "frame", "layout", "lang", "colors",
             "image_url", "card_url", "scryfall_uri", "oracle_id", "illustration_id", "artist", "released_at",
             "image_status", "card_name", "set_name", "rarity", "finishes", "printed_name", "type_line", "tcgplayer_id",
             "cardmarket_id", "color_identity", "art_window", "same_image_as"]




# Artefacts

def test_vectors_are_unit_float32_rows(finished):
    vectors = vectors_of(finished)
    assert vectors.dtype == np.float32 and vectors.flags.c_contiguous and vectors.shape == (53, 1008)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_metadata_describes_every_row(finished):
    faces, meta = faces_of(finished), finished.lines("mtg_meta.jsonl")
    kept = np.load(finished.out / "kept_indices.npy", allow_pickle=False)
    assert kept.dtype == np.int64 and len(meta) == len(kept) == len(vectors_of(finished))
    for line, position in zip(meta, kept, strict=True):
        assert list(line) == META_KEYS
        assert (line["face_id"], line["image_url"]) == (faces[position].face_id, faces[position].image_url)
    assert any(line["face_id"].endswith(":face:1") for line in meta)


def test_the_index_has_the_promised_type_and_stored_effort(finished):
    index = faiss.read_index(str(finished.out / "mtg_cards.faiss"))
    graph = faiss.downcast_index(index.index)
    assert isinstance(index, faiss.IndexIDMap) and isinstance(graph, faiss.IndexHNSWFlat)
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    assert (graph.hnsw.efSearch, graph.hnsw.efConstruction, graph.hnsw.nb_neighbors(1)) == (128, 200, 32)
    vectors = vectors_of(finished)
    ids = faiss.vector_to_array(index.id_map)
    for position, row in enumerate(ids):
        assert np.allclose(graph.reconstruct(position), vectors[row])


def test_byte_identical_pictures_are_one_node(finished):
    meta = finished.lines("mtg_meta.jsonl")
    sharing = {row: line["same_image_as"] for row, line in enumerate(meta) if line["same_image_as"]}
    (row, face_id), = sharing.items()
    first = next(line for line in meta if line["face_id"] == face_id)
    assert first["name"] == meta[row]["name"] and first["set"] != meta[row]["set"]
    index = faiss.read_index(str(finished.out / "mtg_cards.faiss"))
    ids = faiss.vector_to_array(index.id_map)
    assert row not in ids and len(ids) == len(meta) - 1
    assert finished.manifest()["statistics"]["identical_images"] == 1


def test_identical_pictures_score_one_and_others_clearly_lower(finished):
    vectors, meta = vectors_of(finished), finished.lines("mtg_meta.jsonl")
    scores = vectors @ vectors.T
    assert np.diag(scores).min() >= 0.99
    shared = next(row for row, line in enumerate(meta) if line["same_image_as"])
    original = next(row for row, line in enumerate(meta) if line["face_id"] == meta[shared]["same_image_as"])
    assert scores[shared, original] >= 0.99
    np.fill_diagonal(scores, 0)
    scores[shared, original] = scores[original, shared] = 0
    assert scores.max() < 0.95


def test_the_manifest_is_complete_and_true(finished):
    import hashlib

    manifest = finished.manifest()
    assert manifest["version"] == "1.1.0" and manifest["timestamp"].endswith("Z")
    assert set(manifest["parameters"]) >= {"kind", "batch_size", "target_size", "hnsw_m", "hnsw_ef_construction",
                                           "hnsw_ef_search", "image_size", "fit", "model", "pretrained", "precision",
                                           "device"}
    done = manifest["statistics"]
    assert (done["total_records"], done["successful_embeddings"], done["failed_embeddings"]) == (55, 53, 0)
    assert (done["success_rate"], done["missing_from_cache"], done["validation_failures"]) == (1.0, 0, 0)
    assert (done["placeholders_skipped"], done["new_embeddings"], done["reused_embeddings"]) == (2, 52, 0)
    assert done["images_per_second"] > 0 and set(done["seconds"]) >= {"embed", "index"}
    assert manifest["quality"]["self_recall_at_1"] == 1.0 and manifest["quality"]["recall_at_10"] >= 0.99
    assert abs(manifest["quality"]["min_norm"] - 1) < 1e-5 and manifest["quality"]["sample_size"] == 52
    assert set(manifest["environment"]) == {"python_version", "numpy_version", "torch_version", "open_clip_version",
                                            "faiss_version", "clip_model", "cpu_capability"}
    assert all(manifest["environment"].values())
    assert manifest["source"]["updated_at"] and manifest["download"]["statistics"]["downloaded"] == 53
    assert set(manifest["outputs"]) == set(ARTEFACTS)
    for name, expected in manifest["outputs"].items():
        data = (finished.out / name).read_bytes()
        assert expected == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_placeholders_are_rejected_with_their_reason(finished):
    rejected = finished.lines("rejected.jsonl")
    assert [line["reason"] for line in rejected] == ["placeholder", "placeholder"]
    assert set(rejected[0]) == {"name", "scryfall_id", "face_id", "file", "reason"}


def test_nothing_unfinished_is_left(finished):
    assert not [path.name for path in finished.out.iterdir()
                if path.name.startswith("checkpoint") or path.suffix in (".next", ".part")]


# Rejections

@pytest.mark.fault("no-picture")
@pytest.mark.parametrize("damage, reason", [
    (lambda data: b"", "empty"), (lambda data: data[:len(data) // 2], "truncated"),
    (lambda data: b"<html><body>502</body></html>", "web page"), (lambda data: b"\0" * 999, "not a picture")])
def test_a_broken_cache_file_is_a_rejection_not_a_crash(built, damage, reason):
    path = picture_of(built, built.lines("mtg_meta.jsonl")[10]["name"])
    path.write_bytes(damage(path.read_bytes()))
    done = built.build()
    line, = (line for line in built.lines("rejected.jsonl") if line["reason"] != "placeholder")
    assert line["file"] == path.name and line["reason"].startswith("invalid: ") and reason in line["reason"]
    assert "1 invalid" in done.stderr
    assert built.manifest()["statistics"]["validation_failures"] == 1
    assert line["face_id"] not in {row["face_id"] for row in built.lines("mtg_meta.jsonl")}
    built.build("--strict", code=4)


def test_a_missing_picture_is_rejected_as_missing(built):
    picture_of(built, built.lines("mtg_meta.jsonl")[3]["name"]).unlink()
    built.build()
    assert [line["reason"] for line in built.lines("rejected.jsonl")].count("missing") == 1
    done = built.manifest()["statistics"]
    assert (done["missing_from_cache"], done["failed_embeddings"], done["successful_embeddings"]) == (1, 1, 52)
    assert done["success_rate"] == round(52 / 53, 6)


@pytest.mark.fault("nothing")
def test_no_valid_picture_is_exit_2_before_any_index(built):
    for path in built.pictures():
        path.write_bytes(b"x")
    before = (built.out / "mtg_cards.faiss").read_bytes()
    assert_three_lines(built.build("--rebuild", code=2).stderr, "Validation Error")
    for path in built.pictures():
        path.unlink()
    assert_three_lines(built.build(code=2).stderr, "Validation Error")
    assert (built.out / "mtg_cards.faiss").read_bytes() == before


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("damage", [
    lambda manifest: manifest.update(outputs=dict.fromkeys(manifest["outputs"], "x")),
    lambda manifest: manifest.pop("parameters"), lambda manifest: manifest.update(model_fingerprint=None),
    lambda manifest: manifest.update(parameters=[]), lambda manifest: manifest["parameters"].pop("fit")])
def test_a_malformed_manifest_is_no_build(built, damage):
    manifest = built.manifest()
    damage(manifest)
    (built.out / "build_manifest.json").write_text(json.dumps(manifest))
    assert_three_lines(built.query(built.pictures()[0], code=1).stderr, "Configuration Error")


@pytest.mark.fault("killed")
def test_a_crash_while_files_are_put_in_place_is_mended(built):
    """As after a kill between two renames: some files have their final name, the rest are staged."""
    for name in ("build_manifest.json", "mtg_cards.faiss"):
        (built.out / name).rename(built.out / f"{name}.next")
    photo = built.pictures()[0]
    assert_three_lines(built.query(photo, code=1).stderr, "Configuration Error")
    assert built.build().returncode == 0
    assert built.manifest()["statistics"]["new_embeddings"] == 0
    assert built.query(photo).stdout
