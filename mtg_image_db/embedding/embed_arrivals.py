"""The second process of build_mtg_faiss.py: embed pictures while they arrive in the cache.

    python -m mtg_image_db.embedding.embed_arrivals

The first line of its standard input is the job. Each further line is the name of a picture (embed_ahead.py). It stops
when the input is closed. The build embeds the rest.
Reads   the pictures in the cache
Writes  the checkpoint in <out>, and on stdout the number of embedded pictures and the seconds of work
"""
from __future__ import annotations

import contextlib
import pickle
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mtg_image_db.artefacts import read_manifest
from mtg_image_db.console import SuiteError, say
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_pictures import EmbedOptions, Loaded, Pictures, embed_stream, read_pictures
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.vector_store import KnownVectors, VectorStore, previous_vectors


class Job(NamedTuple):
    """The folders, the model and the options. resume, rebuild and lock have the same meaning as in a build."""
    cache: Path
    out: Path
    spec: ModelSpec
    embed: EmbedOptions
    resume: bool
    rebuild: bool
    lock: bool


def embed_names(job: Job) -> None:
    """Embed the pictures whose names arrive, until the input is closed."""
    names, closed, waited = queue.SimpleQueue[str](), threading.Event(), [0.0]

    def receive() -> None:
        for line in sys.stdin:
            names.put(line.strip())
        closed.set()
        names.put("")  # ends the wait for a name

    def arrived() -> Iterator[tuple[int, Loaded]]:
        while True:
            started = time.monotonic()
            chunk = [names.get(), *(names.get() for _ in range(names.qsize()))]
            waited[0] += time.monotonic() - started
            for loaded in read_pictures(Pictures(job.cache, chunk), range(len(chunk)), store, job.spec, job.embed):
                if closed.is_set():
                    raise EOFError  # not a return: the build embeds the pictures of an unfilled batch
                yield loaded

    with contextlib.closing(Checkpoint(job.out, job.spec.fingerprint, job.resume, job.lock)) as checkpoint:
        known = KnownVectors() if job.rebuild else \
            previous_vectors(job.out, read_manifest(job.out), job.spec.fingerprint)
        store, started = VectorStore(known, checkpoint), time.monotonic()
        threading.Thread(target=receive, daemon=True).start()
        with contextlib.suppress(EOFError):
            for _ in embed_stream(arrived(), store, job.spec, job.embed):
                pass
        checkpoint.save()
        print(checkpoint.rows - checkpoint.resumed, time.monotonic() - started - waited[0])


if __name__ == "__main__":
    try:
        embed_names(pickle.loads(bytes.fromhex(sys.stdin.readline())))  # sent by embed_ahead.py
    except (SuiteError, OSError, MemoryError) as failure:
        say(f"Nothing more is embedded during the download. {(str(failure) or 'out of memory').splitlines()[0]}")
