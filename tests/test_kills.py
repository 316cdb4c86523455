"""kill -9 at seeded moments, over a network that misbehaves: what is left is whole, and a rerun ends as if nothing
had happened.

A seed gives the moments, after the start of a run, after a number of requests, or after a file is written.
"""
from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace, plain_cards, write_bulk
from PIL import Image

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.artefacts import OUTPUTS, cache_name
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE

pytestmark = pytest.mark.fault("killed")

PICTURES, CHECKPOINT, BATCH = 160, 100, 20
DOWNLOAD_SEEDS, BUILD_SEEDS = (1, 2, 3), (11, 12, 13)
KILLS = 4  # of each seed, before the run that is left alone: 24 in all


def seeds_of(seeds: tuple[int, ...]) -> list:
    """The first is killed in every run of the tests, and the others in make test-long."""
    return [seeds[0], *(pytest.param(seed, marks=pytest.mark.long) for seed in seeds[1:])]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, drawn) -> tuple[Path, Path]:
    """(a mirror's folder, a bulk file) of PICTURES cards, each with a picture of its own bytes."""
    root = tmp_path_factory.mktemp("kills")
    shutil.copy(drawn / "unique-artwork.jsonl.gz", root)
    cards, made = plain_cards(drawn), []
    for n in range(PICTURES):
        card = cards[n % len(cards)]
        key = f"{n % 10}/{n // 10 % 10}/{n:08x}{card['id'][8:]}.jpg"
        picture = Image.open(drawn / "images/normal/front" / card["id"][0] / card["id"][1] / f"{card['id']}.jpg")
        picture.paste((n, 255 - n, 99), (8, 8, 24 + n % 400, 24 + n // 4))
        data = io.BytesIO()
        picture.save(data, "JPEG")
        path = root / "images/normal/front" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())
        made.append({**card, "id": key[4:-4], "image_uris": {"normal": f"https://cards.scryfall.io/normal/front/{key}?1"}})
    return root, write_bulk(root / "bulk.jsonl", made)


def start_download(space: Workspace, bulk: Path) -> subprocess.Popen:
    return space.start("download_images.py", "--bulk-file", bulk, "--workers", 4, "--max-retries", 2)


@pytest.fixture(scope="module")
def downloads(pictures, tmp_path_factory) -> tuple[Mirror, Path, Workspace]:
    """(a mirror with faults, the bulk file, a download from it that nothing disturbed)."""
    root, bulk = pictures
    with Mirror(root, latency=0.03, seed=5, faults=[
            Fault(r"/0/[1-3]/", "status", status=404), Fault(r"/7/7/", "html"),
            Fault("/normal/", "reset", times=1, probability=0.05),
            Fault("/normal/", "truncated", times=1, probability=0.05)]) as mirror:
        space = Workspace(tmp_path_factory.mktemp("undisturbed"), mirror.url)
        assert start_download(space, bulk).wait(120) == 0
        yield mirror, bulk, space


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def failures_of(space: Workspace) -> set[tuple]:
    return {(line["face_id"], line["kind"], line["http_status"]) for line in space.lines("download_failures.jsonl")}


@pytest.mark.parametrize("seed", seeds_of(DOWNLOAD_SEEDS))
def test_a_download_killed_again_and_again_ends_like_an_undisturbed_one(downloads, tmp_path, seed):
    mirror, bulk, undisturbed = downloads
    space, rng, killed = Workspace(tmp_path, mirror.url), random.Random(seed), 0
    whole = digests(undisturbed.cache)
    for _ in range(KILLS):
        served = len(mirror.requests) + rng.randint(5, 35)
        process = start_download(space, bulk)
        while process.poll() is None and len(mirror.requests) < served:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        process.kill()
        killed += process.wait() == -9
        have = {name: digest for name, digest in digests(space.cache).items() if not name.endswith(".part")}
        assert have.items() <= whole.items(), "a torn file has a final name"
    print(f"seed {seed}: {killed} kills, {len(have)} of {len(whole)} pictures before the last run")
    assert killed == KILLS and 0 < len(have) < len(whole)
    last = start_download(space, bulk)
    assert last.wait(120) == 0, last.stderr.read()
    assert digests(space.cache) == whole, "pictures and nothing else: the leftovers are gone"
    assert failures_of(space) == failures_of(undisturbed) and len(failures_of(space)) > 5
    assert {path.name for path in space.out.iterdir()} == {path.name for path in undisturbed.out.iterdir()}


# Build

def start_slow(space: Workspace, script: str, *flags: object, seconds: float = 0.05) -> subprocess.Popen:
    """A script on a disk that takes this long to rename a file, so that there is a moment between two."""
    (space.path / "slow").mkdir(exist_ok=True)
    (space.path / "slow" / "sitecustomize.py").write_text(
        f"import os, time; fast = os.replace; os.replace = lambda *a: (time.sleep({seconds}), fast(*a))")
    return space.start(script, *flags, PYTHONPATH=str(space.path / "slow"))


def start_build(space: Workspace, bulk: Path, *flags: object) -> subprocess.Popen:
    return start_slow(space, "build_embeddings.py", "--model", "efficientnet-lite0", "--bulk-file", bulk,
                      "--checkpoint-frequency", CHECKPOINT, "--batch", BATCH, *flags)


@pytest.fixture(scope="module")
def builds(downloads, tmp_path_factory) -> tuple[Workspace, Path, Workspace]:
    """(an older build of fewer faces, the bulk file, the same after a build that nothing disturbed)."""
    _, bulk, downloaded = downloads
    older = Workspace(tmp_path_factory.mktemp("older"))
    shutil.copytree(downloaded.cache, older.cache)
    (older.cache / cache_name(json.loads(bulk.read_text().splitlines()[50])["image_uris"]["normal"])).write_bytes(b"x")
    (older.cache / "bulk").mkdir(exist_ok=True)
    shutil.copy(bulk, older.cache / "bulk" / "default_cards.jsonl.gz")  # for its printings
    assert start_build(older, bulk, "--limit", 40).wait(120) == 0
    undisturbed = Workspace(tmp_path_factory.mktemp("undisturbed") / "work")
    shutil.copytree(older.path, undisturbed.path)
    assert start_build(undisturbed, bulk).wait(120) == 0
    return older, bulk, undisturbed


def sha256_of(manifest: Path) -> dict[str, str]:
    if not manifest.exists():
        return {}
    return {name: output["sha256"] for name, output in json.loads(manifest.read_text())["outputs"].items()}


def assert_nothing_torn(out: Path, older: dict[str, str]) -> None:
    """Every artefact is that of the older build, or that of a manifest that is on disk."""
    known = [older, sha256_of(out / "build_manifest.json"), sha256_of(out / "build_manifest.json.next")]
    found = digests(out)
    for name in OUTPUTS:
        assert found.get(name) in [build.get(name) for build in known], f"{name} is torn"


def written_at(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def kill_at(process: subprocess.Popen, written: Path | None, before: int, seconds: float) -> bool:
    """Kill some seconds after the start, or after a file is written; False where the process ended before."""
    while written is not None and process.poll() is None and written_at(written) in (0, before):
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    return process.wait() == -9


@pytest.mark.parametrize("seed", seeds_of(BUILD_SEEDS))
def test_a_build_killed_again_and_again_ends_like_an_undisturbed_one(builds, tmp_path, seed):
    older, bulk, undisturbed = builds
    space, rng, killed, reached = Workspace(tmp_path / "work"), random.Random(seed), 0, 0
    shutil.copytree(older.path, space.path)
    before = sha256_of(space.out / "build_manifest.json")
    moments = [(None, rng.uniform(0.3, 1.8)), ("checkpoint_meta.json", rng.uniform(0, 0.04)),  # the npz comes next
               (rng.choice(["mtg_embeddings.npy.next", "mtg_cards.faiss.next"]), rng.uniform(0, 0.05)),
               ("build_manifest.json.next", rng.uniform(0, 0.3))]
    for name, seconds in moments:
        before_run = written_at(space.out / (name or ""))
        process = start_build(space, bulk)
        killed += kill_at(process, name and space.out / name, before_run, seconds)
        resumed = re.search(r"(\d+) pictures are embedded already", process.stderr.read())
        assert resumed is None or int(resumed[1]) >= reached, "what a checkpoint held is lost"
        assert_nothing_torn(space.out, before)
        reached = safe_rows(space.out, reached)
        print(f"seed {seed}: killed {seconds:.3f} s after {name or 'the start'}, {reached} pictures in the checkpoint, "
              f"{sum(path.suffix == '.next' for path in space.out.iterdir())} files staged")
    assert killed == KILLS and reached > 0
    last = start_build(space, bulk)
    assert last.wait(120) == 0, last.stderr.read()
    for name in ("mtg_meta.jsonl", "kept_indices.npy", "rejected.jsonl", "mtg_printings.jsonl"):
        assert (space.out / name).read_bytes() == (undisturbed.out / name).read_bytes(), name
    ours, theirs = (np.load(each.out / "mtg_embeddings.npy") for each in (space, undisturbed))
    assert (ours * theirs).sum(axis=1).min() > 0.9999
    assert {path.name for path in space.out.iterdir()} == {path.name for path in undisturbed.out.iterdir()}
    assert any("invalid" in line["reason"] for line in space.lines("rejected.jsonl"))


def safe_rows(out: Path, otherwise: int) -> int:
    """How many pictures the checkpoint holds; no more than a checkpoint and a batch may wait beyond it."""
    if not (out / "checkpoint.npz").exists():
        return otherwise
    with np.load(out / "checkpoint.npz", allow_pickle=False) as saved:
        safe = int(saved["ends"][-1])
    dimension = json.loads((out / "checkpoint_meta.json").read_text())["dimension"]
    written = (out / "checkpoint_rows.bin").stat().st_size // (SOURCE_DTYPE.itemsize + 4 * dimension)
    assert safe <= written <= safe + CHECKPOINT + BATCH
    return safe


# The other scripts

@pytest.mark.parametrize("script, flags, made", [
    ("export_for_browser.py", ["--output-dir", "web"], "web"),
    ("scripts/validate_cache.py", ["--fix", "--report", "report/r.json"], "report"),
    ("query_index.py", ["photo.jpg", "--html", "page/p.html"], "page")])
def test_the_other_scripts_leave_nothing_torn_either(built, script, flags, made):
    (built.path / made).mkdir()
    shutil.copy(built.pictures()[0], built.path / "photo.jpg")
    built.run(script, *flags)
    whole, rng = digests(built.path / made), random.Random(21)
    for _ in range(3):
        process = start_slow(built, script, *flags, seconds=0.3)
        its_own = f".*-{process.pid}-*.part"
        while process.poll() is None and not list((built.path / made).glob(its_own)):
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.25))
        process.kill()
        assert process.wait() == -9 and list((built.path / made).glob(its_own))
        for name in whole:
            content = (built.path / made / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == whole[name] or json.loads(content)["timestamp"]
    built.run(script, *flags)
    assert {path.name for path in (built.path / made).iterdir()} == set(whole)
    assert len(built.pictures()) == 53
