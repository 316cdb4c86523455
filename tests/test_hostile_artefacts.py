"""Artefacts and checkpoints that were damaged: an error of the suite, or the right answer."""
from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from conftest import Workspace, read_bulk, write_bulk

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE, Checkpoint
from mtg_image_db.embedding.models import spec_from_manifest
from mtg_image_db.index.reader import read_index


@pytest.mark.fault("damaged-checkpoint")
def test_no_flipped_bit_of_a_checkpoint_is_more_than_a_line_on_the_terminal(tmp_path, capsys):
    """Each byte of its two small files and of its rows, changed: what is resumed is what was stored."""
    sources = np.array([(f"{n}.jpg", f"{n:032x}", n, n, n, n) for n in range(6)], SOURCE_DTYPE)
    vectors = np.random.default_rng(0).standard_normal((6, 8), np.float32)
    checkpoint = Checkpoint(tmp_path, "model")
    for half in (slice(0, 3), slice(3, 6)):
        checkpoint.append(sources[half], vectors[half], {})
        checkpoint.save()
    checkpoint.close()
    whole = {path: path.read_bytes() for path in tmp_path.glob("checkpoint*")}
    assert len(whole) == 3
    for path, content in whole.items():
        for at in range(len(content)):
            data = bytearray(content)
            data[at] ^= 1 << at % 8
            path.write_bytes(data)
            resumed = Checkpoint(tmp_path, "model")
            assert resumed.resumed in (0, 3, 6)
            assert np.array_equal(resumed.vectors(np.arange(resumed.resumed)), vectors[:resumed.resumed]) \
                if resumed.resumed else True
            resumed.append(sources[:1], vectors[:1], {})
            resumed.close()
            for other, original in whole.items():
                other.write_bytes(original)


@pytest.mark.fault("damaged-artefact")
def test_no_damage_to_an_artefact_gives_another_answer(finished, tmp_path):
    """120 seeded damages to what a query reads: an error of the suite, or the answer of the whole index."""
    vectors = np.load(finished.out / "mtg_embeddings.npy")
    files = ("mtg_cards.faiss", "mtg_meta.jsonl", "mtg_embeddings.npy", "mtg_pictures.npy", "build_manifest.json")
    right = {exact: answer(finished, exact, vectors) for exact in (False, True)}
    whole = {name: (finished.out / name).read_bytes() for name in files}
    space = Workspace(tmp_path)
    shutil.copytree(finished.out, space.out)
    refused = 0
    for seed in range(120):
        rng = random.Random(seed)
        name, exact = rng.choice(files), rng.random() < 0.5
        data = bytearray(whole[name])
        at = rng.randrange(len(data))
        kind = rng.choice(("flip", "cut", "grow", "zero"))
        if kind == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif kind == "zero":
            data[at:at + 64] = bytes(len(data[at:at + 64]))
        data = {"cut": data[:at], "grow": data + b"0"}.get(kind, data)
        (space.out / name).write_bytes(data)
        try:
            assert answer(space, exact, vectors) == right[exact], (seed, name, kind)
        except SuiteError:
            refused += 1
        (space.out / name).write_bytes(whole[name])
    assert refused > 60


def answer(space: Workspace, exact: bool, vectors: np.ndarray) -> list:
    index = read_index(space.out, exact)
    spec_from_manifest(index.manifest)
    scores, rows = index.nearest(vectors[::9], 3)
    faces = [index.described(row) for row in rows.ravel().tolist()]
    return [scores.tolist(), faces, index.sharing, index.hashes.tobytes(), index.art_hashes.tobytes()]


@pytest.fixture(scope="module")
def other_build(finished, drawn, tmp_path_factory) -> Workspace:
    """A build of 20 of the same pictures."""
    space = Workspace(tmp_path_factory.mktemp("other"))
    path = write_bulk(space.path / "mine", read_bulk(drawn)[:20])
    space.build("--bulk-file", path, "--cache", finished.cache, "--fit", "pad")
    return space


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("name, damage", [
    ("mtg_cards.faiss", "cut"), ("mtg_meta.jsonl", "flip"), ("build_manifest.json", "other"),
    ("mtg_embeddings.npy", "other")])
def test_a_build_mends_a_damaged_one(built, other_build, name, damage):
    before = {path.name: path.read_bytes() for path in built.out.iterdir()}
    vectors = np.load(built.out / "mtg_embeddings.npy")
    data = bytearray(before[name])
    data[len(data) // 2] ^= 4
    other = (other_build.out / name).read_bytes()
    (built.out / name).write_bytes({"cut": data[:-7], "flip": data, "other": other}[damage])
    built.build()
    for part in ("mtg_meta.jsonl", "kept_indices.npy", "rejected.jsonl", "mtg_pictures.npy"):
        assert (built.out / part).read_bytes() == before[part], part
    assert (np.load(built.out / "mtg_embeddings.npy") * vectors).sum(axis=1).min() > 0.9999
    built.query(built.pictures()[0])
