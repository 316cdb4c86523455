"""download_images.py against a mirror that misbehaves: what is tried again, what is not asked for."""
from __future__ import annotations

import io
import itertools
import signal
import subprocess
import threading
import time
import zlib
from pathlib import Path

import pytest
from conftest import USABLE, assert_three_lines, image_requests, plain_cards, write_bulk
from PIL import Image

from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db.common import TEMPORARY_SUFFIX, FetchError, NetworkOptions, RetryingSession, open_picture, stream_body
from mtg_image_db.scryfall.faces import read_faces
from mtg_image_db.scryfall.hosts import API_URL, open_session, request_address
from mtg_image_db.scryfall.pace import API_PAUSE, QUIET_SECONDS, RELEASE_JITTER, Pace


def picture_path(mirror: Mirror, number: int) -> str:
    """The path of a face's picture, as an expression that matches it alone."""
    faces = [face for face in read_faces(Path(mirror.root) / "unique-artwork.jsonl.gz") if not face.skip_reason]
    return "/" + faces[number].image_url.split("/", 3)[3].split("?")[0].replace(".", r"\.")


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CountedPace(Pace):
    """A pace that writes down how long it would pause and back off, and waits for neither."""

    def __init__(self) -> None:
        super().__init__(16, Clock())
        self.paused: list[float] = []
        self.backed_off: list[float] = []

    def pause(self, seconds: float, fewer: bool = True) -> None:
        super().pause(seconds, fewer)
        self.paused.append(seconds)
        self._clock.now += seconds + RELEASE_JITTER

    def back_off(self, seconds: float, why: str) -> None:
        self.backed_off.append(seconds)


def session_to(mirror: Mirror, pace: Pace, max_retries: int = 5) -> RetryingSession:
    return open_session(mirror.url, NetworkOptions(max_retries=max_retries), pace)


def waits(requests: list) -> list[float]:
    times = [request.time_monotonic for request in requests]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


# Tried again

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


# Rate limits

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
    mirror.faults.append(Fault(r"/bulk-data", "status", times=1, status=429))
    done = workspace.run("download_images.py", "--limit", 1, PYTHONPATH=str(fast_clock(workspace.path)))
    assert done.stderr.count("Rate limited") == 1 and workspace.download_statistics()["rate_limit_pauses"] == 1
    assert [request.status for request in mirror.requests if request.path.startswith("/bulk-data")] == [429, 200]


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


# Not tried again, or not for long

@pytest.mark.fault("missing")
@pytest.mark.parametrize("status", [404, 410, 403])
def test_a_missing_picture_is_not_retried(workspace, mirror, status):
    mirror.faults.append(Fault(r"/back/", "status", status=status))
    done = workspace.download(code=0)
    failures = workspace.lines("download_failures.jsonl")
    assert len(failures) == 15 and "15 failed (15 missing)" in done.stderr
    assert {(line["http_status"], line["attempts"], line["kind"]) for line in failures} == {(status, 1, "missing")}
    if status == 404:
        workspace.download("--strict", code=4)


@pytest.mark.fault("no-picture")
@pytest.mark.parametrize("kind, named", [("html", "web page"), ("empty", "empty"), ("truncated", "truncated"),
                                         ("garbage", "not a picture")])
def test_what_is_no_picture_never_gets_a_final_name(workspace, mirror, kind, named):
    mirror.faults.append(Fault(r"/normal/", kind))
    done = workspace.download("--limit", 2, "--max-retries", 1, code=2)
    assert_three_lines(done.stderr, "Network Error")
    failures = workspace.lines("download_failures.jsonl")
    assert len(failures) == 2 and all(named in failure["error"] for failure in failures)
    assert {"name", "scryfall_id", "face_id", "url", "error", "http_status", "attempts"} <= failures[0].keys()
    assert failures[0]["attempts"] == 2
    assert [path for path in workspace.cache.iterdir() if path.name != "bulk"] == []


@pytest.mark.fault("no-picture")
def test_what_is_no_picture_is_asked_for_three_times_at_most(workspace, mirror):
    mirror.faults.append(Fault(r"/normal/", "html"))
    workspace.download("--limit", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert (failure["attempts"], failure["kind"], len(image_requests(mirror))) == (3, "invalid", 3)


@pytest.mark.fault("no-picture")
def test_an_invalid_body_after_network_faults_is_still_asked_for_again(mirror):
    address = mirror.url + picture_path(mirror, 0).replace("\\", "")
    mirror.faults += [Fault("/normal/", "reset", times=2), Fault("/normal/", "html", times=1)]
    client = session_to(mirror, CountedPace())

    def consume(response) -> None:
        data = io.BytesIO()
        stream_body(response, data.write, 1 << 20, 10)
        open_picture(data.getvalue())

    client.fetch(address, consume)
    assert [request.status for request in mirror.requests] == [0, 0, 200, 200]


@pytest.mark.fault("slow-or-large")
def test_a_body_that_drips_or_never_ends_is_dropped_and_the_rest_goes_on(workspace, mirror):
    mirror.faults += [Fault(picture_path(mirror, 1), "drip", seconds=60),
                      Fault(picture_path(mirror, 3), "endless")]
    done = workspace.download("--limit", 6, "--timeout-read", 5)
    causes = {line["kind"]: (line["error"], line["attempts"]) for line in workspace.lines("download_failures.jsonl")}
    assert causes == {"too slow": ("too slow: not complete after 20 s", 1),
                      "too large": (f"too large: more than {64 << 20:,} bytes", 1)}
    assert "2 failed (1 too large, 1 too slow)" in done.stderr
    assert len(workspace.pictures()) == 4 and not list(workspace.cache.glob(f".*{TEMPORARY_SUFFIX}"))


@pytest.mark.fault("address")
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://[bad",
                                      "/normal/front/0/0/x.jpg"])
def test_redirects_elsewhere_or_without_end_are_refused(workspace, mirror, location):
    mirror.faults.append(Fault(r"/normal/", "redirect", location=location))
    workspace.download("--limit", 1, code=2)
    failure, = workspace.lines("download_failures.jsonl")
    assert failure["kind"] == "refused" and failure["attempts"] == 1


@pytest.mark.fault("address")
def test_a_redirect_on_the_same_host_is_followed_without_reading_its_body(workspace, mirror):
    """The body of the redirect never ends, and nobody reads it."""
    target = picture_path(mirror, 1).replace("\\", "")
    mirror.faults.append(Fault(picture_path(mirror, 0), "endless-redirect", location=target))
    workspace.download("--limit", 1)
    assert workspace.download_statistics()["downloaded"] == 1
    assert image_requests(mirror)[-1].path.startswith(target)


@pytest.mark.fault("address")
def test_another_scheme_or_port_of_the_mirror_is_refused():
    for url, api_url in (("http://mirror.example/a", "https://mirror.example"),
                         ("https://mirror.example:22/a", "https://mirror.example"),
                         ("http://api.scryfall.com/a", API_URL), ("https://api.scryfall.com:22/a", API_URL)):
        with pytest.raises(FetchError, match="refused address"):
            request_address(url, api_url)
    assert request_address("https://cards.scryfall.io/a?1", "https://mirror.example") == "https://mirror.example/a?1"


@pytest.mark.fault("address")
def test_a_picture_on_a_strange_host_is_never_asked_for(workspace, drawn, mirror):
    addresses = ["http://169.254.169.254/a.jpg", "https://evil.example/a.jpg",
                 "https://cards.scryfall.io@evil.example/a.jpg", "https://cards.scryfall.io:8443/a.jpg"]
    cards = plain_cards(drawn)[:5]
    for card, address in zip(cards, addresses, strict=False):
        card["image_uris"]["normal"] = address
    workspace.download("--bulk-file", write_bulk(workspace.path / "mine", cards))
    failures = workspace.lines("download_failures.jsonl")
    assert [failure["kind"] for failure in failures] == ["refused"] * len(addresses)
    assert len(image_requests(mirror)) == workspace.download_statistics()["downloaded"] == 1


@pytest.mark.fault("address")
def test_what_is_no_address_of_a_picture_is_no_face_to_fetch(workspace, drawn, mirror):
    addresses = ["file:///etc/passwd", "ftp://cards.scryfall.io/a.jpg", "no address", "http://[bad",
                 "https://backs.scryfall.io/normal/a.jpg"]
    cards = plain_cards(drawn)[:6]
    for card, address in zip(cards, addresses, strict=False):
        card["image_uris"] = {"normal": address}
    path = write_bulk(workspace.path / "mine", cards)
    workspace.download("--bulk-file", path)
    done = workspace.download_statistics()
    assert (done["refused_urls"], done["to_fetch"], len(image_requests(mirror))) == (len(addresses), 1, 1)
    workspace.build("--bulk-file", path, "--size", 64)
    reasons = [rejected["reason"] for rejected in workspace.lines("rejected.jsonl")]
    assert len(reasons) == len(addresses) and all(reason.startswith("invalid: ") for reason in reasons)


@pytest.mark.fault("other-format")
def test_the_bytes_decide_the_format(workspace, mirror, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (488, 680), "red").save(data, "WEBP")
    (tmp_path / "card.webp").write_bytes(data.getvalue())
    mirror.faults.append(Fault(r"/normal/", "body", file=str(tmp_path / "card.webp")))
    workspace.download("--limit", 1)
    path, = workspace.pictures()
    assert path.suffix == ".jpg" and path.read_bytes() == data.getvalue()


# Hostile pictures

def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds no pixels: to decode it would fail in another way."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    """A small JPEG whose frame header is changed to say that it is this large."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG")
    return data.getvalue().replace(b"\0\x11\x08\0\x10\0\x10", b"\0\x11\x08" + height.to_bytes(2, "big")
                                   + width.to_bytes(2, "big"))


@pytest.fixture(scope="module")
def bombs(tmp_path_factory) -> list[Path]:
    """A real bomb, 110 kB that decode to 900 million pixels, and two that only claim to be."""
    folder = tmp_path_factory.mktemp("bombs")
    Image.new("1", (30_000, 30_000)).save(folder / "real.png")
    (folder / "claims.png").write_bytes(png_header(10_001, 10_000))  # below Pillow's own limit
    (folder / "claims.jpg").write_bytes(jpeg_header(30_000, 30_000))
    return sorted(folder.iterdir())


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_is_not_cached(workspace, mirror, bombs):
    mirror.faults += [Fault(picture_path(mirror, n), "body", file=str(bomb)) for n, bomb in enumerate(bombs)]
    workspace.download("--limit", 4, "--max-retries", 0)
    failures = workspace.lines("download_failures.jsonl")
    assert [line["error"] for line in failures] == ["too many pixels: more than 100,000,000"] * 3
    assert len(workspace.pictures()) == 1


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_in_the_cache_is_a_rejection(built, bombs):
    for path, bomb in zip(built.pictures(), bombs, strict=False):
        path.write_bytes(bomb.read_bytes())
    assert built.run("scripts/validate_cache.py", code=1).stdout.count("too many pixels: more than 100,000,000") == 3
    built.build()
    reasons = [line["reason"] for line in built.lines("rejected.jsonl") if line["reason"] != "placeholder"]
    assert reasons == ["invalid: too many pixels: more than 100,000,000"] * 3


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_is_no_query(finished, bombs):
    done = finished.query(*bombs, code=2)
    assert done.stderr.count("too many pixels: more than 100,000,000") == 3


# Interruptions and company

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
    assert len([request for request in mirror.requests if ".jsonl.gz" in request.path]) == 1
    assert len(image_requests(mirror)) < 1.4 * USABLE  # a few are on their way in both
    assert (first.stderr.read() + second.stderr.read()).count("Another download fills the same cache") == 1
