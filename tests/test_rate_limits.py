"""429: who waits how long, and how many send requests afterwards."""
from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from conftest import USABLE, image_requests
from network import Clock, CountedPace, picture_path, session_to, waits

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.scryfall.pace import API_PAUSE, QUIET_SECONDS, RELEASE_JITTER, Pace


@pytest.mark.fault("api-limit")
@pytest.mark.parametrize("retry_after, limits, paused", [
    (None, 1, [30]), ("1", 1, [30]), ("45", 1, [45]), (None, 3, [30, 60, 120])])
def test_a_429_from_the_api_pauses_for_thirty_seconds_doubled_each_time(mirror, capsys, retry_after, limits, paused):
    mirror.faults.append(Fault(r"/bulk-data", "status", times=limits, status=429, retry_after=retry_after))
    pace = CountedPace()
    session_to(mirror, pace).fetch(f"{mirror.url}/bulk-data/unique_artwork", lambda response: None, api=True)
    assert pace.paused == paused and pace.pauses == limits and pace.backed_off == []
    assert API_PAUSE == 30 and len(mirror.requests) == limits + 1
    assert capsys.readouterr().err.count("Rate limited: every worker pauses") == limits


@pytest.mark.fault("api-limit")
def test_nobody_gets_a_turn_during_a_pause():
    clock = Clock()
    pace = Pace(4, clock)
    pace.rate_limited(0, api=True)
    clock.now += 29.9
    assert 0 < pace.seconds_to_wait() <= 0.1 + RELEASE_JITTER
    clock.now += 0.2
    assert pace.seconds_to_wait() == 0


@pytest.mark.fault("api-limit")
def test_a_download_goes_on_after_a_429_of_the_api(workspace, mirror):
    mirror.faults.append(Fault(r"/bulk-data/unique_artwork", "status", times=1, status=429))
    done = workspace.run("download_images.py", "--limit", 1, PYTHONPATH=str(fast_clock(workspace.path)))
    assert done.stderr.count("Rate limited") == 1 and workspace.download_statistics()["rate_limit_pauses"] == 1
    assert [request.status for request in mirror.requests if request.path.startswith("/bulk-data")] == [429, 200, 200]


def fast_clock(folder: Path) -> Path:
    """A folder for PYTHONPATH in which a script's clock runs 60 times as fast: 30 s are half a second."""
    (folder / "fast").mkdir()
    (folder / "fast" / "sitecustomize.py").write_text(
        "import time, threading\nreal, wait = time.monotonic, threading.Condition.wait\n"
        "time.monotonic = lambda: 60 * real()\n"
        "threading.Condition.wait = lambda self, seconds=None: wait(self, seconds and seconds / 60)\n")
    return folder / "fast"


def count_at_once(mirror: Mirror) -> list[int]:
    """From now on every reply takes a moment; the list gets how many requests are being answered, at each one."""
    answer, lock, running, seen = mirror.reply_to, threading.Lock(), [0], []

    def reply_to(target: str, headers) -> object:
        with lock:
            running[0] += 1
            seen.append(running[0])
        time.sleep(0.05)
        reply = answer(target, headers)
        with lock:
            running[0] -= 1
        return reply

    mirror.reply_to = reply_to
    return seen


def test_no_more_requests_are_sent_at_the_same_time_than_there_are_workers(workspace, mirror):
    seen = count_at_once(mirror)
    workspace.download("--workers", 3)
    assert max(seen) == 3


def test_a_picture_that_waits_to_be_tried_again_holds_up_no_other(workspace, mirror):
    mirror.faults.append(Fault(picture_path(mirror, 0), "status", times=2, status=503))
    workspace.download("--workers", 1, "--limit", 30)
    lost = [at for at, request in enumerate(image_requests(mirror)) if request.status == 503]
    assert lost[1] - lost[0] > 5, "others were asked for in the second between"


@pytest.mark.fault("image-limit")
@pytest.mark.parametrize("retry_after, paused", [(None, [1, 2]), ("7", [7, 7])])
def test_a_429_of_the_image_host_pauses_for_retry_after_or_the_back_off_step(mirror, retry_after, paused):
    mirror.faults.append(Fault(r"/normal/", "status", times=2, status=429, retry_after=retry_after))
    pace = CountedPace()
    address = mirror.url + picture_path(mirror, 0).replace("\\", "")
    session_to(mirror, pace).fetch(address, lambda response: None)
    assert pace.paused == paused and pace.backed_off == []


@pytest.mark.fault("image-limit")
def test_a_429_pauses_the_run_even_on_the_last_attempt(workspace, mirror):
    mirror.faults.append(Fault(r"/normal/", "status", status=429, retry_after="2"))
    workspace.download("--limit", 1, "--max-retries", 0, code=2)
    assert workspace.download_statistics()["rate_limit_pauses"] == 1


@pytest.mark.fault("image-limit")
def test_a_429_from_the_image_host_pauses_every_worker(workspace, mirror):
    mirror.latency = 0.05
    mirror.faults.append(Fault(picture_path(mirror, 6), "status", times=1, status=429, retry_after="3"))
    workspace.download("--workers", 4)
    assert max(waits(image_requests(mirror))) > 2.5, "nobody sends a request while Retry-After lasts"
    assert workspace.download_statistics()["downloaded"] == USABLE


@pytest.mark.fault("image-limit")
def test_after_a_429_half_as_many_workers_send_requests_and_twice_as_many_after_each_quiet_time(capsys):
    clock = Clock()
    pace = Pace(16, clock)
    pace.rate_limited(3, api=False)
    pace.rate_limited(3, api=False)  # an answer to a request from before the pause
    assert pace.pauses == 1 and pace.allowed(clock.now) == 8
    assert "then at most 8 send requests at the same time" in capsys.readouterr().err
    clock.now += 3
    pace.rate_limited(1, api=False)
    allowed = [pace.allowed(clock.now + 1 + quiet) for quiet in (0, QUIET_SECONDS - 1, QUIET_SECONDS, 2 * QUIET_SECONDS,
                                                                 1e6)]
    assert allowed == [4, 4, 8, 16, 16] and pace.pauses == 2


@pytest.mark.fault("image-limit")
def test_no_more_workers_hold_a_turn_than_are_allowed():
    clock, entered, leave = Clock(), threading.Semaphore(0), threading.Event()
    pace = Pace(8, clock)
    pace.pause(0)

    def work() -> None:
        with pace.turn():
            entered.release()
            leave.wait(60)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(entered.acquire(timeout=30) for _ in range(4))
    assert not entered.acquire(timeout=0.2) and pace.seconds_to_wait() > 0
    clock.now += QUIET_SECONDS
    assert all(entered.acquire(timeout=30) for _ in range(4)), "all of them, after the quiet time"
    leave.set()
