"""Downloads that are interrupted, and two at the same time."""
from __future__ import annotations

import signal
import subprocess
import time

import pytest
from conftest import USABLE, image_requests
from network import picture_path

from mirror.faults import Fault
from mtg_image_db.leftovers import TEMPORARY_SUFFIX


@pytest.mark.fault("interrupt")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_soon_with_130_and_the_next_run_continues(workspace, mirror, number):
    mirror.latency = 0.3
    process = subprocess.Popen(workspace.command("download_images.py", "--workers", 2), cwd=workspace.path,
                               env=workspace.environment(), stderr=subprocess.PIPE, text=True)
    while len(image_requests(mirror)) < 6:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(20) == 130
    assert "Traceback" not in process.stderr.read()
    have = len(workspace.pictures())
    assert 0 < have < USABLE and (workspace.out / "download_checkpoint.json").exists()
    mirror.latency = 0
    workspace.download()
    assert workspace.download_statistics()["cached"] == have and len(workspace.pictures()) == USABLE


@pytest.mark.fault("interrupt")
def test_a_picture_that_hangs_does_not_hold_up_an_interrupt(workspace, mirror):
    mirror.faults.append(Fault(picture_path(mirror, 2), "stall", seconds=60))
    process = workspace.start("download_images.py", "--workers", 4, "--limit", 8)
    while len(image_requests(mirror)) < 8:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, "the mirror would hold the picture for a minute"
    assert "Downloaded 7 of 8" in process.stderr.read() and (workspace.out / "download_manifest.json").exists()
    mirror.faults.clear()
    workspace.download("--limit", 8)
    assert len(workspace.pictures()) == 8 and not list(workspace.cache.glob(f".*{TEMPORARY_SUFFIX}"))


@pytest.mark.fault("interrupt")
def test_a_second_interrupt_ends_at_once(workspace, mirror):
    mirror.faults.append(Fault("/normal/", "stall", seconds=60))
    process = workspace.start("download_images.py", "--limit", 4)
    while len(image_requests(mirror)) < 4:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first waits for the pictures in flight"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 130


@pytest.mark.fault("two-at-once")
def test_two_downloads_at_once_share_the_folder_and_the_work(workspace, mirror):
    mirror.latency = 0.1
    first, second = (workspace.start("download_images.py", "--workers", 2, "--out", f"out{n}") for n in (1, 2))
    assert [first.wait(60), second.wait(60)] == [0, 0]
    assert len(workspace.pictures()) == USABLE
    bulk = [request.path.split("/")[1] for request in mirror.requests if ".jsonl.gz" in request.path]
    assert sorted(bulk) == ["default-cards", "unique-artwork"], "each bulk file is fetched by one of them"
    assert len(image_requests(mirror)) < 1.7 * USABLE  # some are on their way in both; 2.0 would be no sharing
    assert (first.stderr.read() + second.stderr.read()).count("Another download fills the same cache") == 1
