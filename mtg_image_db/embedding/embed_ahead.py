"""Downloaded pictures -> vectors, in a second process while the next pictures download.

    with EmbedAhead(Job(cache, out, spec, EmbedOptions(), resume=True, rebuild=False, lock=True)) as ahead:
        download(options, on_saved=ahead.add)
    build(options, spec, ahead.result)

A thread would wait for the interpreter lock behind the download: 24 pictures/s instead of 90 on 2 cores.
Reads and writes  nothing. The process (embed_arrivals.py) leaves a checkpoint that the build resumes
"""
from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from mtg_image_db.embedding import embed_arrivals
from mtg_image_db.embedding.embed_arrivals import Job

INTERRUPT_SECONDS = 3.0  # time for the process after Ctrl-C, to finish its pass and save a checkpoint


class AheadResult(NamedTuple):
    """The number of pictures in the checkpoint, and the seconds of work for them without waiting for pictures."""
    embedded: int = 0
    seconds: float = 0.0


class EmbedAhead:
    """The second process. The first picture starts it. After the block, result says what it did."""

    def __init__(self, job: Job) -> None:
        self.result, self._job, self._lock, self._ended = AheadResult(), job, threading.Lock(), False
        self._process: subprocess.Popen[str] | None = None

    def add(self, name: str) -> None:
        """Tell the process that a picture is in the cache. Any thread may call this."""
        with self._lock, contextlib.suppress(BrokenPipeError):  # it failed: the build meets and reports the same error
            if self._process is None and not self._ended:
                self._process = self._start()
                name = f"{pickle.dumps(self._job).hex()}\n{name}"
            if self._process and self._process.stdin and not self._ended:
                self._process.stdin.write(f"{name}\n")
                self._process.stdin.flush()

    def __enter__(self) -> EmbedAhead:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        with self._lock:
            self._ended = True
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired, ValueError):  # ValueError: it failed and said so
                answer, _stderr = self._process.communicate(timeout=INTERRUPT_SECONDS if error else None)
                embedded, seconds = answer.split()[-2:]
                self.result = AheadResult(int(embedded), float(seconds))
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
        # In a separate session, Ctrl-C in the terminal does not reach it. It ends when its input is closed.
        return subprocess.Popen([sys.executable, "-m", embed_arrivals.__name__], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, start_new_session=True,
                                env={**os.environ, "PYTHONPATH": path})
