"""Downloaded pictures -> vectors, in a process of its own while the next ones download.

    with contextlib.closing(EmbedAhead(args, spec)) as ahead:
        download(args, ahead.take)
        ahead.finish()

A process: in a thread the model would wait for the interpreter lock behind the download's workers (24 pictures/s
instead of 90 on 2 cores).

Reads   the pictures in the cache
Writes  through the vector store: the checkpoint in <out>, which the build then finds
"""
from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection

from cli import Progress
from common import SuiteError, say
from embed_cache import EmbedOptions, embed_arrived
from models import ModelSpec
from vector_store import VectorStore

END_SECONDS = 4.0  # that the process gets after Ctrl-C: for a pass through the model and a checkpoint


class EmbedAhead:
    """The process, started by the first picture. made counts the vectors it left in the checkpoint, seconds how
    long it was at it, waiting for pictures included."""

    def __init__(self, args: argparse.Namespace, spec: ModelSpec) -> None:
        self.spec, self.made, self.seconds = spec, 0, 0.0
        self._args, self._lock = args, threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def take(self, name: str) -> None:
        """A picture that is in the cache now. May be called by any thread."""
        with self._lock:
            if self._process is None:
                self._start()
            self._send(name)

    def finish(self) -> None:
        """Wait until every picture taken is embedded. What it could not do is left to the build."""
        if self._process is None:
            return
        self._send(None)
        try:
            self.made, self.seconds = self._connection.recv()
        except (EOFError, OSError):  # it failed: the build meets the same error, and says so
            pass

    def close(self) -> None:
        """End it; what it has embedded is kept."""
        if self._process is not None:
            self._connection.close()
            self._process.join(END_SECONDS)
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of the download's threads
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(self._args, self.spec, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def _send(self, name: str | None) -> None:
        try:
            self._connection.send(name)
        except OSError:  # it has ended: the build embeds what is left
            pass


def _work(args: argparse.Namespace, spec: ModelSpec, connection: Connection) -> None:
    """The process: embed what arrives until all has, or the other end is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the closed connection ends it
    arrivals, options = _Arrivals(connection), EmbedOptions.of(args)
    try:
        store = VectorStore(args.out, spec.fingerprint, use_previous=not args.rebuild, resume=args.resume)
        model, started = None, time.monotonic()
        while names := arrivals.next(options.batch):
            model = embed_arrived(args.cache, names, store, spec, options, model, arrivals.ended, arrivals.took)
        store.checkpoint()
        with contextlib.suppress(OSError):  # nobody waits for it after Ctrl-C
            connection.send((store.fresh - store.resumed, time.monotonic() - started))
    except (SuiteError, OSError) as error:
        say(f"Nothing more is embedded during the download: {str(error).splitlines()[0]}")


class _Arrivals:
    """The names that come through the connection, read by a thread; None says that all have come. From then on a bar
    shows how many are left. ended is set where the connection was closed before."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.ended = connection, threading.Event()
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._arrived = self._taken = 0
        self._complete, self._progress = False, None
        threading.Thread(target=self._receive, daemon=True).start()

    def next(self, batch: int) -> list[str]:
        """What has arrived, a batch at least or the rest of all; empty at the end."""
        names: list[str] = []
        while not self._complete and (len(names) < batch or not self._names.empty()):
            name = self._names.get()
            if name is None:
                self._complete = True
            else:
                names.append(name)
        return [] if self.ended.is_set() else names

    def took(self) -> None:
        """One more is done."""
        self._taken += 1
        if self._progress is not None:
            self._progress.update()

    def _receive(self) -> None:
        try:
            while (name := self.connection.recv()) is not None:
                self._arrived += 1
                self._names.put(name)
            self._progress = Progress("Embedding", self._arrived - self._taken)
            self._names.put(None)
            self.connection.recv()  # nothing more comes: it waits for the other end to be closed
        except (EOFError, OSError):
            self.ended.set()
            self._names.put(None)
