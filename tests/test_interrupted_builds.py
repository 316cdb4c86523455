"""Builds that are interrupted, killed, or meet a full disk: what a checkpoint keeps."""
from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from built_files import ARTEFACTS
from conftest import Workspace, assert_three_lines, read_bulk, write_bulk

from mtg_image_db.artefacts import cache_name


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
        "--checkpoint-frequency", 100, "--batch", 20, *flags),
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
@pytest.mark.parametrize("damage", ["npz", "meta", "rows", "version", "model", "no-resume"])
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
    elif damage == "version":
        meta = json.loads((out / "checkpoint_meta.json").read_text())
        (out / "checkpoint_meta.json").write_text(json.dumps(meta | {"version": "1.1.0"}))
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
