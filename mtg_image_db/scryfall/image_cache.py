"""Faces -> image cache: workers fetch pictures, check that each is complete, then give it its final name.

    counts = fill_cache(tasks_of(faces, cache, cached_names(cache)), FillJob(cache, session, pace, ...))

Reads   card images, through the session
Writes  <cache>/<sha1 of the URL>.jpg|.png|.webp, and while it runs <out>/download_checkpoint.json
"""
from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mtg_image_db.artefacts import cache_name, is_cache_name, write_json
from mtg_image_db.common import (
    MAX_PICTURE_BYTES,
    RetryingSession,
    atomic_file,
    check_picture,
)
from mtg_image_db.console import Progress, say, utc_now
from mtg_image_db.leftovers import TEMPORARY_SUFFIX, delete_abandoned
from mtg_image_db.locks import HeldElsewhere, hold
from mtg_image_db.replies import FetchError, stream_body
from mtg_image_db.scryfall.faces import Face
from mtg_image_db.scryfall.pace import Pace, Stopped

if TYPE_CHECKING:
    from requests import Response

# Threads for each worker. Only --workers of them use the network at the same time. The others check their picture,
# sync it to disk, or wait before they retry.
THREADS_PER_WORKER = 3
FILES_PER_WORKER = 1 + THREADS_PER_WORKER  # a connection, and for each thread the picture that it writes
IN_MEMORY = 4 << 20  # bytes of a body kept in memory. Scryfall's pictures have up to 2 MB
BODY_TIMEOUTS = 4  # limit for a picture's complete body, in read timeouts: 120 s for at most 2 MB
# Pictures in a row lost to the network. With 16 workers, 48 threads and every retry, the warning comes after 40 s
# without a picture, and the end after 4 minutes.
OUTAGE_WARNING, OUTAGE_FAILURES = 16, 300
CHECKPOINT_SECONDS = 5.0
STOP_SECONDS = 3.0  # for the workers to finish their pictures after Ctrl-C
LOCK_FILE = "download.lock"
SHUFFLED = 1024  # the next task is drawn from this many


def cached_names(cache: Path, clean: bool = False) -> set[str]:
    """The file names of the cache's pictures. Each of them was written completely. Other files in the folder are not
    listed. With clean, the leftovers of interrupted writes are deleted too, with the same listing of the folder."""
    if not cache.is_dir():
        return set()
    with os.scandir(cache) as entries:
        names = [entry.name for entry in entries]
    if clean:
        delete_abandoned(cache, (name for name in names if name.endswith(TEMPORARY_SUFFIX)))
    return set(filter(is_cache_name, names))


@dataclass(frozen=True)
class Task:
    """A picture to fetch, and the first of the faces that show it."""
    face: Face
    path: Path


@dataclass(frozen=True)
class FillJob:
    """The folder, the session and the outputs of fill_cache. to_fetch is the number of tasks.

    on_saved gets the file name of each picture that is now in the cache. Any thread may call it. failures gets a JSON
    line for each lost picture. lock=False does not look for another download of the same cache.
    """
    cache: Path
    session: RetryingSession
    pace: Pace
    workers: int
    to_fetch: int
    failures: BinaryIO
    checkpoint: Path
    on_saved: Callable[[str], None] = lambda _: None
    lock: bool = True


@dataclass(frozen=True)
class FillCounts:
    """The outcome of the tasks. already_there counts pictures that another download fetched meanwhile. outage is the
    last cause if the network was gone, else None."""
    downloaded: int = 0
    failed: int = 0
    failed_by_kind: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    already_there: int = 0
    outage: str | None = None


class FillInterrupted(KeyboardInterrupt):
    """Ctrl-C while the cache was filled. filled has the counts until then."""

    def __init__(self, filled: FillCounts) -> None:
        super().__init__()
        self.filled = filled


def tasks_of(faces: Iterator[Face], cache: Path, cached: set[str], tally: Counter[str] | None = None) -> Iterator[Task]:
    """Yield a task for each picture that is not in the cache. Faces that share a picture share its task. tally counts
    the faces while this iterates."""
    tally = Counter() if tally is None else tally
    seen: set[bytes] = set()
    for face in faces:
        if face.skip_reason:
            tally["placeholders" if face.skip_reason == "placeholder" else "refused"] += 1
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


def fill_cache(tasks: Iterator[Task], filling: FillJob) -> FillCounts:
    """Fetch every task's picture.

    After Ctrl-C, on a full disk or in an outage, the pictures in flight have STOP_SECONDS to finish. Later ones
    are dropped. Raises FillInterrupted on Ctrl-C, and the errors of the disk or of on_saved.
    """
    progress = Progress("Downloading", filling.to_fetch)
    with contextlib.closing(progress), contextlib.ExitStack() as held:
        try:
            (filling.cache / "bulk").mkdir(parents=True, exist_ok=True)
            held.enter_context(hold(filling.cache / "bulk" / LOCK_FILE, lock=filling.lock))
        except HeldElsewhere as error:
            say(f"Another download fills the same cache ({error}). This one fetches pictures in a random order.")
            tasks = _shuffled(tasks)
        work, interrupted = _Work(tasks, filling, progress), False
        try:
            work.start()
            while not work.finished.wait(CHECKPOINT_SECONDS):
                work.write_checkpoint()
        except KeyboardInterrupt:
            interrupted = True
        finally:  # also if writing the checkpoint fails on a full disk: no worker may outlive this call
            filling.pace.stop()
            work.finished.wait(STOP_SECONDS)
        if work.error is not None:
            raise work.error
        filled = work.filled()
        if interrupted:
            work.write_checkpoint()
            raise FillInterrupted(filled)
        if filled.outage:
            work.write_checkpoint()
        else:
            filling.checkpoint.unlink(missing_ok=True)
        return filled


def fetch_picture(session: RetryingSession, url: str, path: Path) -> int:
    """Fetch the picture, decode it completely, sync it to disk, then name it. Returns its size in bytes."""
    def save(response: Response) -> int:
        body.seek(0)
        body.truncate()  # removes the bytes of an earlier attempt
        return stream_body(response, body.write, MAX_PICTURE_BYTES, BODY_TIMEOUTS * session.options.timeout[1])

    def check() -> None:
        body.seek(0)
        check_picture(body.read())

    with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
        size = session.fetch(url, save, check=check)
        body.seek(0)
        with atomic_file(path) as file:
            shutil.copyfileobj(body, file)
    return size


def _shuffled(tasks: Iterator[Task]) -> Iterator[Task]:
    """Yield the tasks, each drawn at random from the next SHUFFLED. So two runs rarely fetch the same picture."""
    waiting = list(itertools.islice(tasks, SHUFFLED))
    while waiting:
        at = random.randrange(len(waiting))
        waiting[at], waiting[-1] = waiting[-1], waiting[at]
        yield waiting.pop()
        waiting += itertools.islice(tasks, 1)


class _Work:
    """The state that the workers share: the tasks, one lock, and the counts."""

    def __init__(self, tasks: Iterator[Task], filling: FillJob, progress: Progress) -> None:
        self.tasks, self.filling, self.progress = tasks, filling, progress
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.failed_by_kind: Counter[str] = Counter()
        self.lost_in_a_row, self.outage = 0, ""
        self.error: BaseException | None = None
        # not Thread.join: after Ctrl-C it reports a running thread as ended (Python 3.10 to 3.12)
        self.finished, self.running = threading.Event(), 0

    def start(self) -> None:
        self.running = THREADS_PER_WORKER * self.filling.workers
        for _ in range(self.running):
            threading.Thread(target=self._work, daemon=True).start()

    def filled(self) -> FillCounts:
        with self.lock:
            counts, by_kind = self.counts, dict(sorted(self.failed_by_kind.items()))
            return FillCounts(counts["downloaded"], counts["failed"], by_kind, counts["bytes"],
                              counts["already_there"], self.outage or None)

    def write_checkpoint(self) -> None:
        filled = self.filled()
        write_json(self.filling.checkpoint, {
            "timestamp": utc_now(), "to_fetch": self.filling.to_fetch - filled.already_there,
            "downloaded": filled.downloaded, "failed": filled.failed})

    def _work(self) -> None:
        """Run one thread: take tasks until none is left, the run stops, the disk fails or the network is gone."""
        try:
            while not self.filling.pace.stopping.is_set():
                with self.lock:
                    task = next(self.tasks, None)
                if task is None:
                    return
                self._fetch(task)
        except Stopped:
            return
        except BaseException as error:
            self.error = self.error or error
            self.filling.pace.stop()
        finally:
            with self.lock:
                self.running -= 1
                if not self.running:
                    self.finished.set()

    def _fetch(self, task: Task) -> None:
        if task.path.exists():  # another download fetched it since this one listed the cache
            with self.lock:
                self.progress.update()
                self.counts["already_there"] += 1
            return
        try:
            size = fetch_picture(self.filling.session, task.face.image_url, task.path)
        except FetchError as error:
            with self.lock:
                self._count_failure(task.face, error)
            return
        with self.lock:
            self.progress.update()
            self.lost_in_a_row = 0
            self.counts.update(downloaded=1, bytes=size)
        self.filling.on_saved(task.path.name)

    def _count_failure(self, face: Face, failure: FetchError) -> None:
        self.progress.update()
        self.counts["failed"] += 1
        self.failed_by_kind[failure.kind] += 1
        self.filling.failures.write(json.dumps(
            {"name": face.name, "scryfall_id": face.scryfall_id, "face_id": face.face_id,
             "url": face.image_url, "error": failure.cause, "http_status": failure.status,
             "attempts": failure.attempts, "kind": failure.kind}, ensure_ascii=False).encode() + b"\n")
        self.lost_in_a_row = self.lost_in_a_row + 1 if failure.kind == "network" else 0
        if self.lost_in_a_row == OUTAGE_WARNING:
            say(f"{OUTAGE_WARNING} pictures in a row were lost to the network ({failure.cause}); "
                f"{OUTAGE_FAILURES} in a row end the run.")
        if self.lost_in_a_row == OUTAGE_FAILURES:
            self.outage = failure.cause
            self.filling.pace.stop()
