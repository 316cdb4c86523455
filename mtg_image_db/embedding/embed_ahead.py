"""Downloaded pictures -> vectors, in a second process while the next pictures download.

    with contextlib.closing(EmbedAhead(Job(cache, out, spec, EmbedOptions(), resume=True))) as ahead:
        download(options, on_saved=ahead.add)

The process reads names from its standard input and stops when that is closed: the build embeds what is left. A thread
would wait for the interpreter lock behind the download (24 pictures/s instead of 90 on 2 cores).
Reads the pictures in the cache; writes the checkpoint in <out>, which the build resumes.
"""
from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mtg_image_db.artefacts import read_manifest
from mtg_image_db.console import SuiteError, say
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_pictures import EmbedOptions, Loaded, embed_stream, read_pictures
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.vector_store import VectorStore, previous_vectors

END_SECONDS = 3.0  # for the pass through the model that is under way, and a checkpoint
class Job(NamedTuple):
    cache: Path
    out: Path
    spec: ModelSpec
    embed: EmbedOptions
    resume: bool


class EmbedAhead:
    """The process. The first picture starts it. Once it is closed, embedded and seconds say what it did."""

    def __init__(self, job: Job) -> None:
        self.job, self.embedded, self.seconds, self._lock = job, 0, 0.0, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, name: str) -> None:
        """A picture is in the cache now. Any thread may call this."""
        with self._lock, contextlib.suppress(BrokenPipeError):  # it failed: the build meets the same error, and says so
            if self._process is None:  # in a session of its own, a Ctrl-C in the terminal does not reach it
                path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
                self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE,
                                                 stdout=subprocess.PIPE, start_new_session=True,
                                                 env={**os.environ, "PYTHONPATH": path})
                name = pickle.dumps(self.job).hex() + "\n" + name
            assert self._process.stdin is not None
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End it. What it has embedded is kept."""
        if self._process is not None:
            with contextlib.suppress(IndexError, subprocess.TimeoutExpired):  # no answer: it failed, and said so
                answer = self._process.communicate(timeout=END_SECONDS)[0].split()
                self.embedded, self.seconds = int(answer[0]), float(answer[1])
            self._process.kill()


def embed_names(job: Job) -> None:
    """The process: embed the pictures whose names arrive, until the other end closes."""
    names, ended, started = queue.SimpleQueue[str](), threading.Event(), time.monotonic()

    def receive() -> None:
        for line in sys.stdin:
            names.put(line.strip())
        ended.set()
        names.put("")

    def arrived() -> Iterator[tuple[int, Loaded]]:
        while not ended.is_set():
            chunk = [names.get(), *(names.get() for _ in range(names.qsize()))]
            for loaded in read_pictures(job.cache, chunk, range(len(chunk)), store, job.spec, job.embed):
                if ended.is_set():
                    return
                yield loaded

    checkpoint = Checkpoint(job.out, job.spec.fingerprint, job.resume)
    store = VectorStore(previous_vectors(job.out, read_manifest(job.out), job.spec.fingerprint), checkpoint)
    threading.Thread(target=receive, daemon=True).start()
    for _ in embed_stream(arrived(), store, job.spec, job.embed):
        pass
    checkpoint.save()
    print(checkpoint.rows - checkpoint.resumed, time.monotonic() - started)


if __name__ == "__main__":
    try:
        embed_names(pickle.loads(bytes.fromhex(sys.stdin.readline())))
    except (SuiteError, OSError, MemoryError) as failure:
        say(f"Nothing more is embedded during the download. {(str(failure) or 'out of memory').splitlines()[0]}")
