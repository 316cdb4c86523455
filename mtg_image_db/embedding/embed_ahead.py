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
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from mtg_image_db.common import SuiteError, say
from mtg_image_db.console import Progress
from mtg_image_db.embedding.embed_pictures import EmbedOptions, embed_arrived
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.vector_store import VectorStore

END_SECONDS = 2.0  # that the process gets after Ctrl-C: for a pass through the model and a checkpoint


class EmbedAhead:
    """The process, started by the first picture. made counts the vectors it left in the checkpoint; seconds is how
    long it worked, checkpoint_seconds on checkpoints."""

    def __init__(self, args: argparse.Namespace, spec: ModelSpec) -> None:
        self.spec, self.made, self.seconds, self.checkpoint_seconds = spec, 0, 0.0, 0.0
        self._args, self._lock, self._failed = args, threading.Lock(), False
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None

    def take(self, name: str) -> None:
        """A picture that is in the cache now. May be called by any thread."""
        with self._lock:
            if self._process is None and not self._failed:
                self._start()
            if self._process is not None:
                self._send(name)

    def finish(self) -> None:
        """Wait until every picture taken is embedded. What it could not do is left to the build."""
        if self._process is None:
            return
        self._send(None)
        with contextlib.suppress(EOFError, OSError):  # it failed: the build meets the same error, and says so
            self.made, self.seconds, self.checkpoint_seconds = self._connection.recv()

    def close(self) -> None:
        """End it; what it has embedded is kept."""
        if self._process is not None:
            self._connection.close()
            self._process.join(END_SECONDS)
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy the locks of the download's threads
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(self._args, self.spec, theirs), daemon=True)
        resource_tracker.ensure_running()  # start() would run it, which unblocks the signals
        # It inherits that they are blocked: a Ctrl-C reaches it too, and the closed connection is what ends it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process.start()
            self._process, self._connection = process, ours
        except OSError as error:
            self._failed = True
            say(f"Nothing is embedded during the download: {error.strerror}.")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def _send(self, name: str | None) -> None:
        with contextlib.suppress(OSError):  # it has ended: the build embeds what is left
            self._connection.send(name)


def _work(args: argparse.Namespace, spec: ModelSpec, connection: Connection) -> None:
    """The process: embed what arrives until all has, or the other end is closed."""
    arrivals, options = _Arrivals(connection), EmbedOptions.of(args)
    try:
        store = VectorStore(args.out, spec.fingerprint, use_previous=not args.rebuild, resume=args.resume)
        model, seconds = None, 0.0
        try:
            while names := arrivals.next(options.batch):
                started = time.monotonic()
                model = embed_arrived(args.cache, names, store, spec, options, model, arrivals.ended, arrivals.took)
                seconds += time.monotonic() - started
        finally:
            arrivals.close()
            store.checkpoint()
        with contextlib.suppress(OSError):  # nobody waits for it after Ctrl-C
            connection.send((store.appended, round(seconds, 3), round(store.checkpoint_seconds, 3)))
    except (SuiteError, OSError, MemoryError) as error:
        reason = (str(error) or "out of memory").splitlines()[0]
        say(f"Nothing more is embedded during the download. {reason}")


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

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()

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
