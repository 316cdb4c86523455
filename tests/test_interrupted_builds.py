"""Builds that are interrupted, killed, or meet a full disk: what a checkpoint keeps."""
from __future__ import annotations

import contextlib
import json
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from built_files import ARTEFACTS
from conftest import Workspace, assert_three_lines, read_bulk, write_bulk

from mtg_image_db.artefacts import cache_name
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.models import describe_model

FACES, CHECKPOINT, BATCH = 220, 100, 20


@pytest.fixture(scope="module")
def many(tmp_path_factory, drawn) -> Workspace:
    """FACES faces over the drawn pictures, all different bytes: enough for several checkpoints."""
    space = Workspace(tmp_path_factory.mktemp("many"))
    space.cache.mkdir()
    cards = [card for card in read_bulk(drawn) if "image_uris" in card and "scan" in card["image_status"]]
    made = []
    for n in range(FACES):
        source = cards[n % len(cards)]
        face = {**source, "id": f"{n:08d}-{source['id'][9:]}",
                "image_uris": {"normal": f"https://cards.scryfall.io/normal/front/0/0/{n}.jpg?1"}}
        picture = drawn / "images/normal/front" / source["id"][0] / source["id"][1] / f"{source['id']}.jpg"
        data = picture.read_bytes() + n.to_bytes(2, "big")  # trailing bytes: the same picture, other content
        (space.cache / cache_name(face["image_uris"]["normal"])).write_bytes(data)
        made.append(face)
    write_bulk(space.path / "bulk.jsonl", made)
    return space


def start_build(workspace: Workspace, *flags: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(workspace.command(
        "build_embeddings.py", "--model", "efficientnet-lite0", "--bulk-file", workspace.path / "bulk.jsonl",
        "--checkpoint-frequency", CHECKPOINT, "--batch", BATCH, *flags),
        cwd=workspace.path, env=workspace.environment(**environment), stderr=subprocess.PIPE, text=True)


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
    wait_for_checkpoint(process, out, CHECKPOINT)
    process.send_signal(number)
    assert process.wait(20) == code and "Traceback" not in process.stderr.read()
    safe = safe_rows(out)
    assert CHECKPOINT <= safe < FACES and not (out / "mtg_cards.faiss").exists()
    done = start_build(many, "--out", out)
    assert done.wait(120) == 0 and f"{safe} pictures are embedded already" in done.stderr.read()
    manifest = json.loads((out / "build_manifest.json").read_text())
    assert manifest["statistics"]["new_embeddings"] == FACES - safe
    assert not (out / "checkpoint.npz").exists()
    ours, theirs = np.load(out / "mtg_embeddings.npy"), np.load(undisturbed / "mtg_embeddings.npy")
    assert (ours * theirs).sum(axis=1).min() > 0.9999
    assert (out / "mtg_meta.jsonl").read_bytes() == (undisturbed / "mtg_meta.jsonl").read_bytes()


@pytest.fixture(scope="module")
def killed(many, tmp_path_factory):
    """The output directory of a build that dies as soon as its second checkpoint is there: copy before use."""
    hook = tmp_path_factory.mktemp("killed")
    (hook / "sitecustomize.py").write_text(
        "import os, signal\n"
        "fast, written = os.replace, []\n"
        "def replace(source, target):\n"
        "    fast(source, target)\n"
        "    written.append(os.path.basename(target))\n"
        "    if written.count('checkpoint.npz') == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.replace = replace\n")
    process = start_build(many, "--out", hook / "out", PYTHONPATH=str(hook))
    assert process.wait(120) == -9, process.stderr.read()
    return hook / "out"


@pytest.mark.fault("damaged-checkpoint")
@pytest.mark.parametrize("damage, said", [("npz", "is damaged and"), ("meta", ""), ("version", "of another version"),
                                          ("model", "")])
def test_a_checkpoint_that_does_not_fit_is_not_used(killed, tmp_path, capsys, damage, said):
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    path = out / ("checkpoint.npz" if damage == "npz" else "checkpoint_meta.json")
    data = path.read_bytes()
    if damage in ("npz", "meta"):
        path.write_bytes(data[:len(data) // 2])
    elif damage == "version":
        path.write_text(json.dumps(json.loads(data) | {"version": "1.1.0"}))
    fingerprint = describe_model("efficientnet-lite0", fit="squash" if damage == "model" else "crop").fingerprint
    assert rows_used(out, fingerprint) == 0 and said in capsys.readouterr().err


def rows_used(out: Path, fingerprint: str) -> int:
    with contextlib.closing(Checkpoint(out, fingerprint)) as checkpoint:
        return len(checkpoint.sources())


@pytest.mark.fault("damaged-checkpoint")
@pytest.mark.parametrize("damage, held", [("rows", CHECKPOINT), ("version", 0), ("none", 2 * CHECKPOINT),
                                          ("no-resume", 0)])
def test_a_build_embeds_what_no_checkpoint_holds(many, killed, tmp_path, damage, held):
    """A build of the faces whose rows are whole and usable, and 20 more. All others of the checkpoint are not used."""
    out = tmp_path / "out"
    shutil.copytree(killed, out)
    path, meta = out / "checkpoint_rows.bin", out / "checkpoint_meta.json"
    assert safe_rows(out) == 2 * CHECKPOINT
    if damage == "rows":
        data = bytearray(path.read_bytes())
        data[-(len(data) // 3)] ^= 1  # in the second segment
        path.write_bytes(data)
    elif damage == "version":
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"version": "1.1.0"}))
    again = start_build(many, "--out", out, "--limit", held + 20, *(["--no-resume"] if damage == "no-resume" else []))
    assert again.wait(120) == 0, again.stderr.read()
    assert json.loads((out / "build_manifest.json").read_text())["statistics"]["new_embeddings"] == 20


@pytest.mark.fault("two-at-once")
def test_a_second_build_of_the_same_directory_is_refused(many, tmp_path):
    out = tmp_path / "out"
    process = start_build(many, "--out", out)
    wait_for_checkpoint(process, out, CHECKPOINT)
    process.send_signal(signal.SIGSTOP)  # or it might end first
    second = start_build(many, "--out", out)
    assert second.wait(30) == 1
    assert_three_lines(second.stderr.read(), "Build Error")
    process.kill()
    process.wait()
    assert start_build(many, "--out", out, "--limit", CHECKPOINT).wait(120) == 0, "a crash leaves no lock behind"


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
