"""Cached pictures to vectors: what happens when the device has too little memory for a batch."""
from __future__ import annotations

import copy
import types

import numpy as np
import pytest
import torch

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding import embedder
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_pictures import EmbedOptions, Pictures, embed_pictures
from mtg_image_db.embedding.models import describe_model
from mtg_image_db.embedding.runtimes import RunOptions
from mtg_image_db.embedding.vector_store import KnownVectors, VectorStore

OPTIONS = EmbedOptions(16, RunOptions("torch", "cpu", "fp32"), verify=True, checkpoint_frequency=0)


def on_a_small_device(monkeypatch, room: int, message: str = "CUDA out of memory. Tried to allocate 2.00 GiB") -> None:
    """Run the real model on a device that holds `room` pictures."""
    whole = embedder.load_model

    def load_model(spec):
        model = whole(spec)

        def refuse(module, inputs):
            if len(inputs[0]) > room:
                raise RuntimeError(message)

        model.register_forward_pre_hook(refuse)
        return model

    monkeypatch.setattr(embedder, "load_model", load_model)


def new_store(out, spec) -> VectorStore:
    return VectorStore(KnownVectors(), Checkpoint(out, spec.fingerprint))


@pytest.fixture
def pictures(drawn):
    """20 pictures in a folder."""
    files = sorted(drawn.glob("images/normal/front/*/*/*.jpg"))[:20]
    return Pictures(drawn, [str(path.relative_to(drawn)) for path in files])


@pytest.mark.fault("out-of-memory")
def test_a_batch_too_large_for_the_device_is_halved(pictures, tmp_path, monkeypatch, capsys):
    spec = describe_model("efficientnet-lite0", size=64)
    plain = new_store(tmp_path, spec)
    expected = plain.vectors(embed_pictures(pictures, plain, spec, OPTIONS).refs)
    plain.checkpoint.discard()
    on_a_small_device(monkeypatch, 3)
    store = new_store(tmp_path, spec)
    done = embed_pictures(pictures, store, spec, OPTIONS)
    assert (done.refs >= 0).all() and not done.reasons
    assert np.abs(store.vectors(done.refs) - expected).max() < 1e-5
    said = capsys.readouterr().err
    assert [f"with {n} pictures in a batch" in said for n in (8, 4, 2, 1)] == [True, True, True, False]


@pytest.mark.fault("out-of-memory")
@pytest.mark.parametrize("room, message, failed_on", [
    (0, "CUDA out of memory", 1), (3, "an illegal memory access", 16)])
def test_what_halving_does_not_cure_is_a_build_error(pictures, tmp_path, monkeypatch, room, message, failed_on):
    on_a_small_device(monkeypatch, room, message)
    spec = describe_model("efficientnet-lite0", size=64)
    with pytest.raises(SuiteError, match=f"failed on {failed_on} pictures") as error:
        embed_pictures(pictures, new_store(tmp_path, spec), spec, OPTIONS)
    assert message in error.value.details


@pytest.mark.fault("out-of-memory")
def test_a_check_of_the_precision_without_room_is_repeated(pictures, monkeypatch):
    """The first pass holds the model twice, at both precisions: the moment of most memory."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    tried = []

    def deepcopy(model):
        tried.append(model)
        if len(tried) == 1:
            raise RuntimeError("CUDA out of memory")
        return copy.deepcopy(model)

    monkeypatch.setattr(embedder, "copy", types.SimpleNamespace(deepcopy=deepcopy))
    model = embedder.Embedder(describe_model("efficientnet-lite0", size=64))
    assert np.isfinite(model.embed(np.full((4, 64, 64, 3), 99, np.uint8))).all() and len(tried) == 2


@pytest.mark.fault("interrupt")
def test_a_slow_pass_through_a_cpu_is_made_shorter(monkeypatch, pictures):
    """So that Ctrl-C does not wait for it; never below what a CPU needs to be fast."""
    monkeypatch.setattr(embedder, "PASS_SECONDS", 0.0)
    model, seen = embedder.Embedder(describe_model("efficientnet-lite0", size=64), "cpu", "fp32"), []
    monkeypatch.setattr(model, "_model", lambda pixels: seen.append(len(pixels)) or torch.ones(len(pixels), 2))
    model.embed(np.zeros((64, 64, 64, 3), np.uint8))
    assert seen == [64]
    model.embed(np.zeros((64, 64, 64, 3), np.uint8))
    assert seen == [64, 32, 16, 8, 8]
