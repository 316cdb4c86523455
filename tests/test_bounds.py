"""What the scripts may take of a machine: memory per face, and looks at the cache.

The bounds are for 500,000 faces (download under 300 MB, build under 1.5 GB above the model). What MANY faces take
beyond FEW is compared with their share of that.
"""
from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Workspace, plain_cards

from mtg_image_db.artefacts import cache_name
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE
from mtg_image_db.embedding.models import describe_model

FEW, MANY, DIMENSION = 10_000, 60_000, 512  # of ViT-B/32
M = 8  # of the default 32: the links of the others are subtracted from the bound, 8 bytes each
DOWNLOAD_BYTES, BUILD_BYTES = 240e6 / 500_000, 1.5e9 / 500_000 - 8 * (32 - M)  # a face; the rest is Python and faiss

pytestmark = pytest.mark.fault("many-faces")
PEAK = """
import atexit, re, runpy, sys
from pathlib import Path
def report():
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    Path("peak").write_text(peak)
atexit.register(report)
sys.argv = sys.argv[1:]
sys.path.insert(0, str(Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def made_up_build(space: Workspace, card: dict, faces: int) -> Workspace:
    """A finished build: pictures of one byte, random vectors, and a manifest that fits them."""
    space.cache.mkdir()
    space.out.mkdir()
    pictures = np.zeros(faces, SOURCE_DTYPE)
    with open(space.path / "bulk.jsonl", "w") as bulk:
        for n in range(faces):
            url = f"https://cards.scryfall.io/normal/front/{n % 10}/0/{n:08x}{card['id'][8:]}.jpg?1562894979"
            bulk.write(json.dumps({**card, "id": f"{n:08x}{card['id'][8:]}", "image_uris": {"normal": url}}) + "\n")
            name = cache_name(url)
            (space.cache / name).write_bytes(b"x")
            os.utime(space.cache / name, (1000, 1000))
            pictures[n] = name, hashlib.blake2b(name.encode(), digest_size=16).hexdigest(), 1, 1000 * 10**9, n % 256, 1
    vectors = np.random.default_rng(0).standard_normal((faces, DIMENSION), np.float32)
    np.save(space.out / "mtg_pictures.npy", pictures)
    np.save(space.out / "mtg_embeddings.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    outputs = {path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
               for path in space.out.iterdir()}
    parameters = dict.fromkeys(("model", "pretrained", "fit", "target_size", "precision", "device"))
    (space.out / "build_manifest.json").write_text(json.dumps({
        "model_fingerprint": describe_model("efficientnet-lite0").fingerprint, "parameters": parameters,
        "outputs": outputs}))
    return space


@pytest.fixture(scope="module")
def few_and_many(drawn, tmp_path_factory) -> list[Workspace]:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here: the peak of a child process alone cannot be read")
    card = plain_cards(drawn)[0]
    return [made_up_build(Workspace(tmp_path_factory.mktemp("made_up")), card, faces) for faces in (FEW, MANY)]


def peak_of(space: Workspace, script: str, *flags: object) -> float:
    """Bytes of memory at the script's peak, mapped files included."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(ROOT / script), *map(str, flags)], cwd=space.path,
                          env=space.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int((space.path / "peak").read_text()) * 1024.0


@pytest.mark.parametrize("flags", [[], ["--dry-run", "--cache", "empty_cache"]])
def test_the_memory_of_a_download(few_and_many, flags):
    few, many = (peak_of(space, "download_images.py", "--bulk-file", "bulk.jsonl", *flags) for space in few_and_many)
    assert few < 60e6 and (many - few) / (MANY - FEW) < DOWNLOAD_BYTES


@pytest.mark.long
def test_the_memory_of_a_build(few_and_many):
    # twice: a system short of memory may take pages back, and the peak is then less than what was asked for
    few, many = (max(peak_of(space, "build_embeddings.py", "--model", "efficientnet-lite0", "--bulk-file",
                             "bulk.jsonl", "--hnsw-m", M, "--hnsw-ef-construction", M) for _ in range(2))
                 for space in few_and_many)
    done = few_and_many[1].manifest()["statistics"]
    assert (done["reused_embeddings"], done["new_embeddings"]) == (MANY, 0)
    assert few < 200e6 and (many - few) / (MANY - FEW) < BUILD_BYTES


def test_a_download_with_nothing_to_do_lists_the_folder_once_and_opens_no_picture(finished, tmp_path):
    code = ("import sys; seen = open('seen', 'w');"
            "sys.addaudithook(lambda event, args: event in ('open', 'os.scandir', 'os.listdir', 'glob.glob')"
            " and print(event, args[0], file=seen));"
            "import download_images; sys.exit(download_images.main(sys.argv[1:]))")
    done = subprocess.run(
        [sys.executable, "-c", code, "--cache", str(finished.cache), "--out", "out", "--bulk-file",
         str(finished.cache / "bulk" / "unique_artwork.jsonl.gz")], cwd=tmp_path, text=True,
        env=finished.environment(PYTHONPATH=str(ROOT)), capture_output=True, check=False)
    assert done.returncode == 0 and "Nothing to download" in done.stderr, done.stderr
    seen = (tmp_path / "seen").read_text().splitlines()
    assert [line for line in seen if line.split(" ", 1)[1] == str(finished.cache)] == [f"os.scandir {finished.cache}"]
    assert not [line for line in seen if line.endswith((".jpg", ".png", ".webp"))]
    assert any("unique_artwork.jsonl.gz" in line for line in seen), "the hook sees what is opened"
