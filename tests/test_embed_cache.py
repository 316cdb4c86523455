"""Cached pictures to vectors: what happens when the device has too little memory for a batch."""
from __future__ import annotations

import numpy as np
import pytest

import embed_cache
from common import SuiteError
from embed_cache import EmbedOptions, embed_pictures
from models import describe_model
from vector_store import VectorStore

OPTIONS = EmbedOptions(batch=16, device="cpu", precision="fp32", verify=True, checkpoint_frequency=0)


class SmallDevice(embed_cache.Embedder):
    """The real model on a device that holds `room` pictures."""
    room = 3

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        if len(pictures) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().embed(pictures)


@pytest.fixture
def pictures(drawn):
    """A folder, and names of 20 pictures in it."""
    return drawn, [str(path.relative_to(drawn)) for path in sorted(drawn.glob("images/normal/front/*/*/*.jpg"))[:20]]


@pytest.mark.fault("out-of-memory")
def test_a_batch_too_large_for_the_device_is_halved(pictures, tmp_path, monkeypatch, capsys):
    spec = describe_model("efficientnet-lite0", size=64)
    plain = VectorStore(tmp_path, spec.fingerprint)
    expected = plain.take(embed_pictures(*pictures, plain, spec, OPTIONS).refs)
    plain.discard_checkpoint()
    monkeypatch.setattr(embed_cache, "Embedder", SmallDevice)
    store = VectorStore(tmp_path, spec.fingerprint)
    done = embed_pictures(*pictures, store, spec, OPTIONS)
    assert (done.refs >= 0).all() and not done.reasons
    assert np.abs(store.take(done.refs) - expected).max() < 1e-5
    said = capsys.readouterr().err
    assert [f"with {n} pictures at once" in said for n in (8, 4, 2, 1)] == [True, True, True, False]


@pytest.mark.fault("out-of-memory")
def test_a_device_without_room_for_one_picture_is_a_build_error(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(SmallDevice, "room", 0)
    monkeypatch.setattr(embed_cache, "Embedder", SmallDevice)
    spec = describe_model("efficientnet-lite0", size=64)
    with pytest.raises(SuiteError, match="failed on 1 pictures"):
        embed_pictures(*pictures, VectorStore(tmp_path, spec.fingerprint), spec, OPTIONS)


def test_another_failure_of_the_model_is_not_taken_for_memory(pictures, tmp_path, monkeypatch):
    def broken(self, pictures):
        raise RuntimeError("expected scalar type Half")

    monkeypatch.setattr(SmallDevice, "embed", broken)
    monkeypatch.setattr(embed_cache, "Embedder", SmallDevice)
    spec = describe_model("efficientnet-lite0", size=64)
    with pytest.raises(SuiteError, match="failed on 16 pictures"):
        embed_pictures(*pictures, VectorStore(tmp_path, spec.fingerprint), spec, OPTIONS)
