"""build_mtg_faiss.py: download and build in one call, and what its second process leaves."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from built_files import assert_nodes_are_rows, vectors_of
from conftest import ROOT, Workspace, assert_three_lines

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.locks import hold


def hold_the_download(mirror: Mirror, workspace: Workspace, after: int, rows: int) -> None:
    """Let the requests after the first ones wait until the checkpoint has this many rows. So no time decides."""
    pause, checkpoint = mirror.pause, workspace.out / "checkpoint_rows.bin"

    def wait(seconds: float) -> bool:
        while len(mirror.requests) > after and not (
                checkpoint.exists() and checkpoint.stat().st_size >= rows * 4 * 1280):  # float32 of efficientnet-lite0
            if pause(0.1):
                return True
        return pause(seconds)

    mirror.pause = wait


def test_pictures_are_embedded_while_the_next_ones_download(workspace, mirror, finished):
    hold_the_download(mirror, workspace, after=35, rows=16)
    precision = finished.manifest()["parameters"]["precision"]  # auto looks at the pictures that come first
    done = workspace.run("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 4, "--batch", 8,
                         "--precision", precision)
    kept = re.search(r"(\d+) unchanged, (\d+) to read", done.stderr)
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
        "    from mtg_image_db.embedding.onnx_embedder import OnnxEmbedder\n"
        "    whole = OnnxEmbedder.embed\n"
        "    OnnxEmbedder.embed = lambda self, pictures: time.sleep(4) or whole(self, pictures)\n")
    done = workspace.run("build_mtg_faiss.py", "--model", "efficientnet-lite0", "--workers", 4, "--batch", 10,
                         PYTHONPATH=f"{workspace.path / 'slow'}:{ROOT}")
    assert "Continuing" not in done.stderr
    assert int(re.search(r"(\d+) unchanged", done.stderr)[1]) >= 10
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
    with hold(built.out / ".checkpoint.lock"):  # raises if the failed build still holds it
        assert kept


def test_a_build_waits_for_an_interrupted_one_that_still_ends(built):
    with hold(built.out / ".checkpoint.lock"):
        process = built.start("build_embeddings.py", "--model", "efficientnet-lite0")
        named = f"Waiting for process {os.getpid()} on"
        assert any(line.startswith(named) for line in iter(process.stderr.readline, ""))
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
