"""Faces -> image cache: the workers that fetch pictures, validate them whole and give them their names.

Reads   card images, through http_client.py
Writes  <cache>/<sha1 of the URL>.jpg|.png|.webp, and while it runs <out>/download_checkpoint.json
"""
from __future__ import annotations

import contextlib
import itertools
import json
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from mtg_image_db.common import (
    MAX_PICTURE_BYTES,
    atomic_file,
    check_picture,
    say,
    utc_now,
    write_json,
)
from mtg_image_db.console import Progress
from mtg_image_db.scryfall.faces import Face, cache_name
from mtg_image_db.scryfall.pace import FetchError, HttpClient, Stopped, stream_body

# Threads for each of the --workers, of which that many use the network at a time: the others check their
# picture, sync it to disk, or wait before they try a lost one again.
THREADS = 3
IN_MEMORY = 4 << 20  # bytes of a body; the pictures of Scryfall have up to 2 MB
BODY_TIMEOUTS = 4  # read timeouts a picture's whole body may take: 120 s for at most 2 MB
# Pictures in a row lost to the network: with 16 workers, 48 threads and every retry, nothing has come for 40 s,
# and for 4 minutes.
OUTAGE_WARNING, OUTAGE_FAILURES = 16, 300
CHECKPOINT_SECONDS = 5.0
STOP_SECONDS = 3.0  # what workers get to finish their picture after Ctrl-C
LOCK_FILE = "download.lock"
SHUFFLED = 1024


@dataclass
class DownloadResult:
    """What a download did; the manifest's `statistics`."""
    faces: int = 0
    cached: int = 0
    to_fetch: int = 0
    downloaded: int = 0
    failed: int = 0
    failed_by_kind: dict[str, int] = field(default_factory=dict)
    placeholders_skipped: int = 0
    refused_urls: int = 0
    other_image_size: int = 0
    shared_pictures: int = 0
    bad_bulk_lines: int = 0
    bytes: int = 0
    seconds: float = 0.0
    retries: int = 0
    rate_limit_pauses: int = 0
    interrupted: bool = False
    outage: str | None = None


@dataclass(frozen=True)
class Task:
    """One picture to fetch, and the first face that shows it."""
    face: Face
    path: Path


class _Work:
    """What the workers share: the tasks, one lock, and the tally."""

    def __init__(self, tasks: Iterator[Task], client: HttpClient, failures: BinaryIO,
                 progress: Progress, result: DownloadResult, saved: Callable[[str], None]) -> None:
        self.tasks, self.client, self.failures, self.saved = tasks, client, failures, saved
        self.progress, self.result = progress, result
        self.pace = client.pace
        self.lock = threading.Lock()
        self.lost_in_a_row = 0
        self.error: BaseException | None = None
        # not Thread.join: interrupted by Ctrl-C it takes a running thread for an ended one (Python 3.10 to 3.12)
        self.finished, self._working = threading.Event(), 0

    def start(self, threads: int) -> None:
        self._working = threads
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        """A thread: take tasks until there are none, the run stops, the disk fails or the network is gone."""
        try:
            while not self.pace.stopping.is_set():
                with self.lock:
                    task = next(self.tasks, None)
                if task is None:
                    return
                self._fetch(task)
        except Stopped:
            return
        except BaseException as error:  # noqa: B036 - handed to the main thread, which raises it
            self.error = self.error or error
            self.pace.stop()
        finally:
            with self.lock:
                self._working -= 1
                if not self._working:
                    self.finished.set()

    def _fetch(self, task: Task) -> None:
        if task.path.exists():  # by another download since this one listed the cache
            with self.lock:
                self.progress.update()
                self.result.cached += 1
                self.result.to_fetch -= 1
            return
        try:
            size = fetch_picture(self.client, task.face.image_url, task.path)
        except FetchError as error:
            with self.lock:
                self._count_failure(task.face, error)
            return
        with self.lock:
            self.progress.update()
            self.lost_in_a_row = 0
            self.result.downloaded += 1
            self.result.bytes += size
        self.saved(task.path.name)

    def _count_failure(self, face: Face, failure: FetchError) -> None:
        self.progress.update()
        self.result.failed += 1
        kinds = self.result.failed_by_kind
        kinds[failure.kind] = kinds.get(failure.kind, 0) + 1
        self.failures.write(json.dumps(
            {"name": face.name, "scryfall_id": face.scryfall_id, "face_id": face.face_id,
             "url": face.image_url, "error": failure.cause, "http_status": failure.status,
             "attempts": failure.attempts, "kind": failure.kind}, ensure_ascii=False).encode() + b"\n")
        self.lost_in_a_row = self.lost_in_a_row + 1 if failure.kind == "network" else 0
        if self.lost_in_a_row == OUTAGE_WARNING:
            say(f"{OUTAGE_WARNING} pictures in a row were lost to the network ({failure.cause}); "
                f"{OUTAGE_FAILURES} in a row end the run.")
        if self.lost_in_a_row == OUTAGE_FAILURES:
            self.result.outage = failure.cause
            self.pace.stop()


def fetch_picture(client: HttpClient, url: str, path: Path) -> int:
    """Stream the picture, decode it whole, sync it to disk, then give it its name. Returns its bytes."""
    def save(response) -> int:
        body.seek(0)
        body.truncate()  # of an attempt before this one
        return stream_body(response, body.write, MAX_PICTURE_BYTES, BODY_TIMEOUTS * client.timeout[1])

    def check() -> None:
        body.seek(0)
        check_picture(body.read())

    with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
        size = client.fetch(url, save, check=check)
        body.seek(0)
        with atomic_file(path) as file:
            shutil.copyfileobj(body, file)
    return size


def tasks_of(faces: Iterator[Face], cache: Path, cached: set[str], tally: Counter | None = None) -> Iterator[Task]:
    """A task for each picture not in the cache, once, however many faces show it."""
    tally = Counter() if tally is None else tally
    seen: set[bytes] = set()
    for face in faces:
        if face.left_out:
            tally["placeholders" if face.left_out == "placeholder" else "refused"] += 1
            continue
        name = cache_name(face.image_url)
        key = bytes.fromhex(name[:40])  # half the memory of the text, for 500,000 pictures
        if key in seen:
            tally["shared"] += 1
        elif name in cached:
            tally["cached"] += 1
        else:
            tally["to_fetch"] += 1
            yield Task(face, cache / name)
        seen.add(key)


def fill_cache(tasks: Iterator[Task], cache: Path, client: HttpClient, workers: int, failures: BinaryIO,
               result: DownloadResult, checkpoint: Path, saved: Callable[[str], None]) -> None:
    """Fetch every task's picture; counts in result, a line in failures for each that was lost, and saved, called
    by whatever thread, gets the name of each that is in the cache now.

    On Ctrl-C, a full disk or an outage, pictures in flight finish or are dropped within STOP_SECONDS.
    Raises what the disk or saved raised.
    """
    with _alone(cache) as alone, contextlib.closing(Progress("Downloading", result.to_fetch)) as progress:
        if not alone:
            say("Another download fills the same cache: this one takes other pictures, in an order of its own.")
            tasks = _shuffled(tasks)
        _run(_Work(tasks, client, failures, progress, result, saved), workers, checkpoint)


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[bool]:
    """Whether no other download fills this cache at the moment."""
    (cache / "bulk").mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "bulk" / LOCK_FILE, timeout=0)
    try:
        with lock:
            yield True
    except Timeout:
        yield False


def _shuffled(tasks: Iterator[Task]) -> Iterator[Task]:
    """The tasks, each drawn at random from the next SHUFFLED: two runs then rarely fetch the same at a time."""
    waiting = list(itertools.islice(tasks, SHUFFLED))
    while waiting:
        at = random.randrange(len(waiting))
        waiting[at], waiting[-1] = waiting[-1], waiting[at]
        yield waiting.pop()
        waiting += itertools.islice(tasks, 1)


def _run(work: _Work, workers: int, checkpoint: Path) -> None:
    try:
        work.start(THREADS * workers)
        while not work.finished.wait(CHECKPOINT_SECONDS):
            _write_checkpoint(checkpoint, work)
    except KeyboardInterrupt:
        work.result.interrupted = True
    finally:
        work.pace.stop()
        work.finished.wait(STOP_SECONDS)
    if work.error is not None:
        raise work.error
    if work.result.interrupted or work.result.outage:
        _write_checkpoint(checkpoint, work)
    else:
        checkpoint.unlink(missing_ok=True)


def _write_checkpoint(path: Path, work: _Work) -> None:
    with work.lock:
        write_json(path, {"timestamp": utc_now(), "to_fetch": work.result.to_fetch,
                          "downloaded": work.result.downloaded, "failed": work.result.failed})
