"""download_images.py over a network that fails: what is tried again, and how long after."""
from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from conftest import assert_three_lines, image_requests, plain_cards, write_bulk
from network import CountedPace, picture_path, session_to, waits
from PIL import Image

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.replies import FetchError


@pytest.mark.fault("broken-exchange")
@pytest.mark.parametrize("kind, status", [("html", 0), ("empty", 0), ("truncated", 0), ("garbage", 0), ("short", 0),
                                          ("reset", 0), ("status", 500), ("status", 502), ("status", 503),
                                          ("status", 504)])
def test_a_passing_fault_is_retried_and_leaves_nothing_behind(workspace, mirror, kind, status):
    mirror.faults.append(Fault(r"/normal/", kind, times=1, status=status))
    workspace.download("--limit", 3)
    done = workspace.download_statistics()
    assert (done["downloaded"], done["failed"]) == (3, 0) and done["retries"] >= 3
    for path in workspace.pictures():
        Image.open(path).load()


@pytest.mark.fault("server-error")
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_lasting_server_error_is_one_line_with_its_cause_and_attempts(workspace, mirror, status):
    mirror.faults.append(Fault(r"/normal/", "status", status=status))
    workspace.download("--limit", 2, "--max-retries", 1, code=2)
    failures = workspace.lines("download_failures.jsonl")
    assert [(line["http_status"], line["attempts"], line["kind"]) for line in failures] == [(status, 2, "network")] * 2
    assert all(f"HTTP {status}" in line["error"] for line in failures)


@pytest.mark.fault("broken-exchange")
@pytest.mark.parametrize("kind, cause", [("reset", "Connection reset by peer"), ("short", "IncompleteRead"),
                                         ("stall", "timed out")])
def test_a_broken_exchange_is_one_line_with_its_cause_and_attempts(workspace, mirror, kind, cause):
    mirror.faults.append(Fault(r"/normal/", kind, seconds=7))
    workspace.download("--limit", 1, "--max-retries", 1, "--timeout-read", 5, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert cause in failure["error"] and (failure["attempts"], failure["kind"]) == (2, "network")
    assert [path for path in workspace.cache.iterdir() if path.name != "bulk"] == []


@pytest.mark.fault("broken-exchange")
@pytest.mark.parametrize("api_url, cause", [("http://127.0.0.1:9", "refused"),
                                            ("http://no.such.host.invalid", "name")])
def test_a_server_that_is_not_there_is_one_line_with_its_cause_and_attempts(workspace, drawn, api_url, cause):
    path = write_bulk(workspace.path / "mine", plain_cards(drawn)[:1])
    workspace.download("--bulk-file", path, "--api-url", api_url, "--max-retries", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert cause in failure["error"].lower() and (failure["attempts"], failure["kind"]) == (2, "network")


@pytest.mark.fault("server-error")
def test_backoff_waits_one_two_four_seconds(workspace, mirror):
    mirror.faults.append(Fault(r"/normal/", "status", status=500))
    workspace.download("--limit", 1, "--max-retries", 3, code=2)
    for wait, expected in zip(waits(image_requests(mirror)), (1, 2, 4), strict=True):
        assert wait >= expected


@pytest.mark.fault("server-error")
def test_backoff_grows_to_sixty_seconds_and_no_further(mirror):
    pace = CountedPace()
    mirror.faults.append(Fault("/normal/", "reset"))
    with pytest.raises(FetchError) as error:
        session_to(mirror, pace, max_retries=8).fetch(f"{mirror.url}/normal/x", lambda response: None)
    assert error.value.attempts == 9
    for seconds, expected in zip(pace.backed_off, (1, 2, 4, 8, 16, 32, 60, 60), strict=True):
        assert expected <= seconds <= expected * 1.25


@pytest.mark.fault("server-error")
def test_retry_after_of_a_503_is_obeyed(workspace, mirror):
    mirror.faults.append(Fault(r"/normal/", "status", times=1, status=503, retry_after="4"))
    workspace.download("--limit", 1)
    assert waits(image_requests(mirror))[0] >= 4


@pytest.mark.fault("clock")
@pytest.mark.parametrize("clock_ahead", [86400.0, -86400.0])
def test_a_date_in_retry_after_is_read_by_the_servers_clock(drawn, clock_ahead):
    pace = CountedPace()
    with Mirror(drawn, clock_ahead=clock_ahead) as mirror:
        until = formatdate(time.time() + clock_ahead + 20, usegmt=True)
        mirror.faults.append(Fault("/normal/", "status", times=1, status=503, retry_after=until))
        session_to(mirror, pace).fetch(mirror.url + picture_path(mirror, 0).replace("\\", ""), lambda response: None)
    assert len(pace.backed_off) == 1 and 15 <= pace.backed_off[0] <= 25


def many_cards(drawn: Path, count: int) -> list[dict]:
    """A card, again and again, each time with a picture of its own address."""
    card = plain_cards(drawn)[0]
    return [{**card, "id": f"{n:08d}{card['id'][8:]}",
             "image_uris": {"normal": f"https://cards.scryfall.io/normal/front/0/{n % 2}/{n}.jpg?1"}}
            for n in range(count)]


@pytest.mark.fault("outage")
def test_a_lost_network_ends_the_run_with_what_is_left(workspace, drawn):
    """450 pictures of a server that is not there: after 300 in a row the rest are not tried."""
    path = write_bulk(workspace.path / "mine", many_cards(drawn, 450))
    done = workspace.download("--bulk-file", path, "--api-url", "http://127.0.0.1:9", "--max-retries", 0, code=2)
    assert_three_lines(done.stderr, "Network Error")
    assert "300 pictures in a row were lost" in done.stderr and "Connection refused" in done.stderr
    assert done.stderr.count("16 pictures in a row were lost to the network (Connection refused)") == 1
    assert 300 <= len(workspace.lines("download_failures.jsonl")) < 450
    assert (workspace.out / "download_checkpoint.json").exists()


@pytest.mark.fault("outage")
def test_failures_between_successes_are_no_outage(workspace, drawn, mirror):
    """Of 250 pictures half are lost to the network; the others still come."""
    picture = next(drawn.glob("images/normal/front/*/*/*.jpg"))
    mirror.faults += [Fault("/normal/front/0/0/", "status", status=503),
                      Fault("/normal/front/0/1/", "body", file=str(picture))]
    path = write_bulk(workspace.path / "mine", many_cards(drawn, 250))
    workspace.download("--bulk-file", path, "--max-retries", 0, "--workers", 4)
    done = workspace.download_statistics()
    assert (done["downloaded"], done["failed"], done["outage"]) == (125, 125, None)
