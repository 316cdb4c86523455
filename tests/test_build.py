"""build_embeddings.py on drawn cards: the artefacts, what is reused, what survives an interruption."""
from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import faiss
import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines, read_bulk, write_bulk
from filelock import FileLock

from mirror.drawn_cards import write_mirror
from mirror.faults import Fault
from mtg_image_db.artefacts import cache_name
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.scryfall.faces import read_faces

ARTEFACTS = ("mtg_embeddings.npy", "mtg_meta.jsonl", "mtg_cards.faiss", "kept_indices.npy", "mtg_pictures.npy",
             "rejected.jsonl")
META_KEYS = ["name", "scryfall_id", "face_id", "set", "collector_number", "frame", "layout", "lang", "colors",
             "image_url", "card_url", "scryfall_uri", "oracle_id", "illustration_id", "artist", "released_at",
             "image_status", "same_image_as"]


def faces_of(workspace: Workspace) -> list:
    return list(read_faces(workspace.cache / "bulk" / "unique_artwork.jsonl.gz"))


def vectors_of(workspace: Workspace) -> np.ndarray:
    return np.load(workspace.out / "mtg_embeddings.npy", allow_pickle=False)


def picture_of(workspace: Workspace, name: str):
    return next(workspace.cache / cache_name(face.image_url) for face in faces_of(workspace) if face.name == name)


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


# Reuse

def test_a_second_build_embeds_nothing_and_gives_the_same_files(built):
    before = {name: (built.out / name).read_bytes() for name in ARTEFACTS if name != "mtg_cards.faiss"}
    done = built.build()
    assert "53 already embedded, 0 to read" in done.stderr and "Model " not in done.stderr
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


def assert_nodes_are_rows(workspace: Workspace, nodes: int) -> None:
    """Every node of the index has the vector of the row its id names."""
    index = faiss.read_index(str(workspace.out / "mtg_cards.faiss"))
    graph, ids = faiss.downcast_index(index.index), faiss.vector_to_array(index.id_map)
    assert len(set(ids.tolist())) == len(ids) == nodes
    assert np.array_equal(graph.reconstruct_n(0, nodes), vectors_of(workspace)[ids])
    assert workspace.manifest()["quality"]["self_recall_at_1"] == 1.0


def test_new_cards_are_added_to_the_stored_index(built):
    cards = read_bulk_of(built)
    built.build("--bulk-file", write_bulk(built.path / "few", cards[:25]), "--out", "grown")
    built = Workspace(built.path, built.api_url, out_name="grown")
    done = built.build("--bulk-file", write_bulk(built.path / "all", cards[::-1]), "--out", "grown")
    assert "vectors are in the stored index, " in done.stderr and " 0 to add" not in done.stderr
    assert_nodes_are_rows(built, 52)


@pytest.mark.parametrize("flags, why", [
    (["--bulk-file", "few"], "a card is gone"), (["--hnsw-m", "16"], ""), (["--hnsw-ef-construction", "100"], ""),
    (["--rebuild"], ""), (["--size", "192"], "")])
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
    assert "0 already embedded, 53 to read" in built.build().stderr
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


def read_bulk_of(workspace: Workspace) -> list[dict]:
    (workspace.cache / "bulk" / "unique-artwork.jsonl.gz").write_bytes(
        (workspace.cache / "bulk" / "unique_artwork.jsonl.gz").read_bytes())
    return read_bulk(workspace.cache / "bulk")


@pytest.mark.parametrize("flags", [["--rebuild"], ["--fit", "pad"], ["--size", "192"]])
def test_another_model_fingerprint_or_rebuild_embeds_everything(built, flags):
    built.build(*flags)
    done = built.manifest()
    assert done["statistics"]["new_embeddings"] == 52
    assert done["parameters"]["fit"] == ("pad" if "pad" in flags else "crop")
    assert done["parameters"]["target_size"] == (192 if "192" in flags else 224)


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


# Interruption

@pytest.fixture(scope="module")
def many(tmp_path_factory, drawn) -> Workspace:
    """300 faces over the drawn pictures, all different bytes: enough for several checkpoints."""
    space = Workspace(tmp_path_factory.mktemp("many"))
    space.cache.mkdir()
    cards = [card for card in read_bulk(drawn) if "image_uris" in card and "scan" in card["image_status"]]
    made = []
    for n in range(300):
        source = cards[n % len(cards)]
        face = {**source, "id": f"{n:08d}-{source['id'][9:]}",
                "image_uris": {"normal": f"https://cards.scryfall.io/normal/front/0/0/{n}.jpg?1"}}
        picture = drawn / "images/normal/front" / source["id"][0] / source["id"][1] / f"{source['id']}.jpg"
        data = picture.read_bytes() + n.to_bytes(2, "big")  # trailing bytes: the same picture, other content
        (space.cache / cache_name(face["image_uris"]["normal"])).write_bytes(data)
        made.append(face)
    write_bulk(space.path / "bulk.jsonl", made)
    return space


def start_build(workspace: Workspace, *flags: object) -> subprocess.Popen:
    return subprocess.Popen(workspace.command(
        "build_embeddings.py", "--model", "efficientnet-lite0", "--bulk-file", workspace.path / "bulk.jsonl",
        "--checkpoint-frequency", 100, "--batch", 20, "--size", 64, "--precision", "fp32", *flags),
        cwd=workspace.path, env=workspace.environment(), stderr=subprocess.PIPE, text=True)


def safe_rows(out) -> int:
    with np.load(out / "checkpoint.npz", allow_pickle=False) as saved:
        return int(saved["ends"][-1])


def wait_for_checkpoint(process: subprocess.Popen, out, rows: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "checkpoint.npz").exists() and safe_rows(out) >= rows:
            return
        time.sleep(0.02)
    raise AssertionError(f"no checkpoint of {rows} rows: {process.stderr.read()}")


@pytest.fixture(scope="module")
def undisturbed(many, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert start_build(many, "--out", out).wait(120) == 0
    return out


@pytest.mark.fault("interrupt")
@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_an_interrupted_build_continues(many, undisturbed, tmp_path, number, code):
    out = tmp_path / "out"
    process = start_build(many, "--out", out)
    wait_for_checkpoint(process, out, 100)
    process.send_signal(number)
    assert process.wait(20) == code and "Traceback" not in process.stderr.read()
    safe = safe_rows(out)
    assert 100 <= safe < 300 and not (out / "mtg_cards.faiss").exists()
    done = start_build(many, "--out", out)
    assert done.wait(120) == 0 and f"{safe} pictures are embedded already" in done.stderr.read()
    manifest = json.loads((out / "build_manifest.json").read_text())
    assert manifest["statistics"]["new_embeddings"] == 300 - safe
    assert not (out / "checkpoint.npz").exists()
    ours, theirs = np.load(out / "mtg_embeddings.npy"), np.load(undisturbed / "mtg_embeddings.npy")
    assert (ours * theirs).sum(axis=1).min() > 0.9999
    assert (out / "mtg_meta.jsonl").read_bytes() == (undisturbed / "mtg_meta.jsonl").read_bytes()


@pytest.fixture(scope="module")
def killed(many, tmp_path_factory):
    """The output directory of a build killed after its second checkpoint: copy before use."""
    out = tmp_path_factory.mktemp("killed") / "out"
    process = start_build(many, "--out", out)
    wait_for_checkpoint(process, out, 200)
    process.kill()
    process.wait()
    return out


@pytest.mark.fault("damaged-checkpoint")
@pytest.mark.parametrize("damage", ["npz", "meta", "rows", "model", "no-resume"])
def test_a_checkpoint_that_does_not_fit_is_not_used(many, killed, tmp_path, damage):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    path = out / {"npz": "checkpoint.npz", "meta": "checkpoint_meta.json"}.get(damage, "checkpoint_rows.bin")
    data = bytearray(path.read_bytes())
    if damage in ("npz", "meta"):
        path.write_bytes(data[:len(data) // 2])
    elif damage == "rows":
        data[-(len(data) // 3)] ^= 1  # in the second segment
        path.write_bytes(data)
    flags = {"model": ["--fit", "squash"], "no-resume": ["--no-resume"]}.get(damage, [])
    again = start_build(many, "--out", out, *flags)
    assert again.wait(120) == 0, again.stderr.read()
    new = json.loads((out / "build_manifest.json").read_text())["statistics"]["new_embeddings"]
    assert new == (200 if damage == "rows" else 300)


def test_a_sound_checkpoint_is_used_whole(many, killed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    safe = safe_rows(out)
    assert start_build(many, "--out", out).wait(120) == 0
    new = json.loads((out / "build_manifest.json").read_text())["statistics"]["new_embeddings"]
    assert safe >= 200 and new == 300 - safe


@pytest.mark.fault("two-at-once")
def test_a_second_build_of_the_same_directory_is_refused(many, tmp_path):
    out = tmp_path / "out"
    process = start_build(many, "--out", out)
    wait_for_checkpoint(process, out, 100)
    second = start_build(many, "--out", out)
    assert second.wait(30) == 1
    assert_three_lines(second.stderr.read(), "Build Error")
    process.kill()
    process.wait()
    assert start_build(many, "--out", out).wait(120) == 0, "a crash leaves no lock behind"


@pytest.mark.fault("disk-full")
@pytest.mark.parametrize("megabytes", [0.05, 0.2])
def test_a_full_disk_is_a_disk_error_and_harms_nothing(built, megabytes):
    """A limit on file size stands for the full disk: in the checkpoint's rows, and in the index."""
    before = {name: (built.out / name).read_bytes() for name in (*ARTEFACTS, "build_manifest.json")}
    flags = ["--rebuild"] if megabytes < 0.1 else ["--hnsw-m", "64"]
    limit = int(megabytes * 1e6)
    done = subprocess.run(
        built.command("build_embeddings.py", "--model", "efficientnet-lite0", *flags), cwd=built.path,
        env=built.environment(), capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert_three_lines(done.stderr, "Disk Error")
    assert before == {name: (built.out / name).read_bytes() for name in before}
    built.build(*flags)
    built.query(built.pictures()[0])


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


def test_pictures_are_embedded_while_the_next_ones_download(workspace, mirror, finished):
    mirror.latency = 0.3
    precision = finished.manifest()["parameters"]["precision"]  # auto looks at the pictures that come first
    done = workspace.run("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 4, "--batch", 8,
                         "--precision", precision)
    kept = re.search(r"(\d+) already embedded, (\d+) to read", done.stderr)
    assert int(kept[1]) >= 16, "two batches at least, while the others were on their way"
    assert "Continuing" not in done.stderr
    manifest, other = workspace.manifest(), finished.manifest()
    statistics = manifest["statistics"]
    assert (statistics["new_embeddings"], statistics["reused_embeddings"]) == (52, 0)
    assert statistics["seconds"]["embed_during_download"] > 0 and statistics["images_per_second"] > 0
    assert manifest["parameters"] == other["parameters"] | {"batch_size": 8}
    assert manifest["environment"] == other["environment"]
    assert workspace.lines("mtg_meta.jsonl") == finished.lines("mtg_meta.jsonl")
    assert (vectors_of(workspace) * vectors_of(finished)).sum(1).min() > 0.9999
    assert not list(workspace.out.glob("checkpoint*"))


def test_what_was_embedded_ahead_is_kept_however_slow_the_model_is(workspace, mirror):
    """The last pass is under way when the download ends, and pictures wait for a full batch: none of the work is lost,
    and none of the waiting is done twice."""
    mirror.latency = 0.2
    (workspace.path / "slow").mkdir()
    (workspace.path / "slow" / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('embed_arrivals' in word for word in sys.orig_argv):\n"
        "    import time\n"
        "    from mtg_image_db.embedding import embedder\n"
        "    whole = embedder.Embedder.embed\n"
        "    embedder.Embedder.embed = lambda self, pictures: time.sleep(4) or whole(self, pictures)\n")
    done = workspace.run("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 4, "--batch", 10,
                         PYTHONPATH=f"{workspace.path / 'slow'}:{ROOT}")
    assert "Continuing" not in done.stderr
    assert int(re.search(r"(\d+) already embedded", done.stderr)[1]) >= 10
    statistics = workspace.manifest()["statistics"]
    assert (statistics["new_embeddings"], statistics["reused_embeddings"]) == (52, 0)


@pytest.mark.fault("interrupt")
@pytest.mark.fault("killed")
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_build_in_one_call_keeps_what_it_embedded(workspace, mirror, number, code):
    mirror.latency = 0.3
    command = ("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 1, "--batch", 4,
               "--checkpoint-frequency", 100, "--limit", 25)
    process = workspace.start(*command)
    lines = iter(process.stderr.readline, "")
    assert any(line.startswith("Model ") for line in lines)
    time.sleep(1)
    process.send_signal(number)
    assert process.wait(10) == code and "Traceback" not in process.stderr.read()
    mirror.latency = 0.0
    done = workspace.run(*command)
    kept = re.search(r"([\d,]+) reused", done.stderr)
    assert int(kept[1]) >= 4
    assert workspace.manifest()["statistics"]["successful_embeddings"] == 25
    assert not list(workspace.out.glob("checkpoint*"))


def test_a_ctrl_c_in_a_terminal_reaches_both_processes_and_is_no_traceback(workspace, mirror):
    """Just after the first picture: the second process is still importing."""
    mirror.latency = 0.2
    process = subprocess.Popen(
        workspace.command("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 1), cwd=workspace.path,
        env=workspace.environment(), text=True, stderr=subprocess.PIPE, start_new_session=True)
    while not any(workspace.cache.glob("*.jpg")):
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 130 and "Traceback" not in process.stderr.read()


def leave_a_checkpoint(workspace: Workspace) -> None:
    """As an interrupted --rebuild does: of five pictures, with vectors that are not the build's."""
    checkpoint = Checkpoint(workspace.out, workspace.manifest()["model_fingerprint"])
    checkpoint.append(np.load(workspace.out / "mtg_pictures.npy")[:5], -vectors_of(workspace)[:5], {})
    checkpoint.save()
    checkpoint.close()


@pytest.mark.parametrize("flags, new", [([], 47), (["--no-resume"], 52)])
def test_one_call_continues_an_interrupted_build_unless_told_not_to(built, flags, new):
    leave_a_checkpoint(built)
    done = built.run("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--rebuild", "--bulk-file",
                     built.cache / "bulk" / "unique_artwork.jsonl.gz", *flags)
    assert ("Continuing an interrupted build: 5 pictures" in done.stderr) == (not flags)
    assert built.manifest()["statistics"]["new_embeddings"] == new


def test_rows_and_index_are_of_the_same_vectors_after_an_unfinished_rebuild(built):
    leave_a_checkpoint(built)
    built.build()
    assert_nodes_are_rows(built, 52)


def test_a_build_that_failed_in_a_program_lets_go_of_the_folder(built):
    from mtg_image_db.index.build import build
    from mtg_image_db.index.manifest import BuildOptions
    from mtg_image_db.scryfall.faces import Source

    for path in built.pictures():
        path.write_bytes(b"x")
    options = BuildOptions(Source(cache=built.cache), built.out, model="efficientnet-lite0", rebuild=True)
    with pytest.raises(SuiteError, match="no cached picture is valid") as kept:
        build(options)
    assert FileLock(built.out / ".checkpoint.lock", timeout=0).acquire(), kept


def test_a_build_waits_for_an_interrupted_one_that_still_ends(built):
    held = FileLock(built.out / ".checkpoint.lock")
    held.acquire()
    process = built.start("build_embeddings.py", "--model", "efficientnet-lite0")
    assert any("still ending" in line for line in iter(process.stderr.readline, ""))
    held.release()
    assert process.wait(30) == 0


def test_a_model_that_fails_during_the_download_is_the_builds_error(workspace, mirror, tmp_path):
    mirror.latency = 0.05
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    done = workspace.run("build_mtg_faiss.py", "--pretrained", tmp_path / "weights.pt", "--batch", 4, code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert len(workspace.pictures()) == 53, "the download went on"
    assert not workspace.out.joinpath("build_manifest.json").exists()


def test_a_wrong_model_is_said_before_the_download(workspace, mirror):
    done = workspace.run("build_mtg_faiss.py", "--model", "no-such-model", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert not mirror.requests


def test_both_steps_in_one_call(own_mirror, workspace):
    workspace.api_url = own_mirror.url
    flags = ("--model", "efficientnet-lite0", "--workers", 8)
    assert workspace.run("build_mtg_faiss.py", "--dry-run", *flags).stdout.startswith("faces: 55\n")
    own_mirror.faults.append(Fault("/back/", "status", status=404))
    done = workspace.run("build_mtg_faiss.py", "--strict", *flags, code=4)
    assert "Downloaded 38 of 53" in done.stderr and "Indexed 38 of 53" in done.stderr
    own_mirror.faults.clear()
    workspace.run("build_mtg_faiss.py", "--strict", *flags)
    statistics = workspace.manifest()["statistics"]
    assert (statistics["successful_embeddings"], statistics["new_embeddings"]) == (53, 15)
    own_mirror.faults.append(Fault("/front/", "status", status=404))
    workspace.run("build_mtg_faiss.py", "--cache", "other", "--out", "other_out", "--limit", 3, *flags, code=2)


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
