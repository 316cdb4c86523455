"""Cached pictures -> vectors. Threads decode ahead of the model, which embeds in batches. The store keeps the vectors.

    embedded = embed_pictures(Pictures(cache, names), store, spec, EmbedOptions())

Reads   the pictures in the cache
Writes  through the vector store: the checkpoint in <out>
"""
from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, Window
from mtg_image_db.common import InvalidContent, open_pixels
from mtg_image_db.console import Progress, say
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE, content_digest
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.picture_hash import ART_HASH_BYTES, HASH_BYTES, art_hash, picture_hash
from mtg_image_db.embedding.preparation import prepare
from mtg_image_db.embedding.runtimes import AnyEmbedder, RunOptions, build_runtime, open_embedder, resize_of
from mtg_image_db.embedding.vector_store import VectorStore
from mtg_image_db.memory import stop_keeping_freed_memory
from mtg_image_db.threads import map_ahead

DECODE_AHEAD = 3  # the most batches of decoded pictures that wait for the model
# More threads wait for Python's lock: on 16 cores, 6 threads decode 498 pictures a second, and 16 decode 423.
DECODE_THREADS = 6
NO_HASHES = np.zeros(HASH_BYTES, np.uint8), np.zeros(ART_HASH_BYTES, np.uint8)
NO_PIXELS = np.zeros((0, 0, 3), np.uint8)

SourceFields = tuple[str, str, int, int, Any, Any]  # of SOURCE_DTYPE


@dataclass(frozen=True)
class EmbedOptions:
    """Options that do not change the vectors. batch is in pictures. verify adds Pillow's integrity check.
    checkpoint_frequency is the number of new pictures between two saves (0: no saves)."""
    batch: int = 64
    run: RunOptions = field(default_factory=RunOptions)
    verify: bool = True
    checkpoint_frequency: int = 500


class Pictures(NamedTuple):
    """Files of the cache. windows are where their art lies, for a model of the art: None for the usual place."""
    cache: Path
    names: Sequence[str]
    windows: Sequence[Window | None] | None = None


class Loaded(NamedTuple):
    """A cache file that was read. pixels (uint8 [S, S, 3]) is empty if the store already has its vector. reason is
    empty if the file is a valid picture."""
    source: SourceFields
    pixels: NDArray[np.uint8] = NO_PIXELS
    reason: str = ""


class Outcome(NamedTuple):
    """The result for picture i: the ref of its vector in the store, or -1 and the reason."""
    i: int
    source: SourceFields
    ref: int
    reason: str = ""


@dataclass(frozen=True)
class Embedded:
    """The results for all pictures. refs (int64 [N]) are their vectors in the store, or -1 if there is none: then
    reasons[i] says why. sources (SOURCE_DTYPE [N]) are the files that they were read from.

    reused counts pictures whose vector existed before. new counts the vectors made now. Byte-identical pictures share
    a vector. made_with is Embedder.made_with of the vectors since the previous build.
    """
    refs: NDArray[np.int64]
    sources: NDArray[np.void]
    reasons: Mapping[int, str]
    reused: int
    new: int
    seconds: float
    made_with: Mapping[str, str]

    @property
    def kept(self) -> NDArray[np.int64]:
        """The pictures that have a vector: their positions, int64, ascending."""
        return np.flatnonzero(self.refs >= 0).astype(np.int64)


def embed_pictures(pictures: Pictures, store: VectorStore, spec: ModelSpec, options: EmbedOptions) -> Embedded:
    """Put a vector into the store for every file that is a complete picture. Known files are not opened.

    Loads the model when the first new picture needs it. Saves the new vectors every checkpoint_frequency pictures, and
    when the build is interrupted. Raises SuiteError if the model fails.
    """
    started, names = time.monotonic(), pictures.names
    refs, sources = np.full(len(names), -1, np.int64), np.zeros(len(names), SOURCE_DTYPE)
    reasons: dict[int, str] = {}
    to_read = []
    for i, ref in enumerate(_unchanged(pictures, store)):
        if ref is None:
            to_read.append(i)
        else:
            refs[i], sources[i] = ref, store.source(ref)
    what, doing = (", for their art", "Embedding art") if spec.region == ART else ("", "Embedding")
    say(f"{len(names):,} pictures in the cache{what}: {len(names) - len(to_read):,} unchanged, "
        f"{len(to_read):,} to read.")
    progress = Progress(doing, len(to_read))
    try:
        for outcome in embed_stream(read_pictures(pictures, to_read, store, spec, options), store, spec, options):
            refs[outcome.i], sources[outcome.i] = outcome.ref, outcome.source
            if outcome.reason:
                reasons[outcome.i] = outcome.reason
            progress.update()
    finally:
        progress.close()
        if options.checkpoint_frequency:
            store.checkpoint.save()
            if sys.exc_info()[0] and store.checkpoint.saved:
                say(f"{store.checkpoint.saved:,} pictures embedded so far are kept in {store.checkpoint.out} for the "
                    "next run.")
    stop_keeping_freed_memory()
    good = refs[refs >= 0]
    return Embedded(refs, sources, reasons, int((good < store.known).sum()), len(np.unique(good[good >= store.known])),
                    time.monotonic() - started, store.checkpoint.made_with)


def load_picture(path: Path, store: VectorStore, prepared: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
                 verify: bool) -> Loaded:
    """Read a cache file once. The digest comes from its bytes. Decoding them for the model validates the picture.
    prepared is preparation.prepare for this model and picture."""
    try:
        data, status = path.read_bytes(), path.stat()
    except OSError as error:
        return Loaded((path.name, "", 0, 0, *NO_HASHES), reason=f"invalid: {error.strerror}")
    digest = content_digest(data)
    source = path.name, digest, status.st_size, status.st_mtime_ns
    ref = store.with_content(digest)
    hashes = None if ref is None else store.hashes(ref)
    if hashes:
        return Loaded((*source, *hashes))
    try:
        picture = open_pixels(data, verify)
        pixels = prepared(picture) if ref is None else NO_PIXELS
        return Loaded((*source, picture_hash(picture), art_hash(picture)), pixels)
    except InvalidContent as error:
        return Loaded((*source, *NO_HASHES), reason=f"invalid: {error}")


def read_pictures(pictures: Pictures, which: Sequence[int], store: VectorStore, spec: ModelSpec,
                  options: EmbedOptions) -> Iterator[tuple[int, Loaded]]:
    """Yield (i, picture i) for each i of which."""
    resize, windows = resize_of(build_runtime(spec, options.run)), pictures.windows

    def load(i: int) -> tuple[int, Loaded]:
        prepared = functools.partial(prepare, spec=spec, resize=resize, window=windows[i] if windows else None)
        return i, load_picture(pictures.cache / pictures.names[i], store, prepared, options.verify)

    threads = min(os.cpu_count() or 1, DECODE_THREADS)
    with contextlib.closing(map_ahead(load, which, threads, DECODE_AHEAD * options.batch)) as loaded:
        yield from loaded


def embed_stream(pictures: Iterable[tuple[int, Loaded]], store: VectorStore, spec: ModelSpec, options: EmbedOptions,
                 model: AnyEmbedder | None = None) -> Iterator[Outcome]:
    """Yield the outcome of each picture. The model works in batches. Byte-identical pictures are embedded once.

    model is the spec's model, if the caller has loaded it. Otherwise the first new picture loads it. Saves the
    checkpoint every checkpoint_frequency new pictures. Raises SuiteError if the model fails.
    """
    waiting: dict[str, list[tuple[int, Loaded]]] = {}
    for i, loaded in pictures:
        digest = loaded.source[1]
        ref = store.with_content(digest)  # also finds a vector that was made after this picture was read
        if loaded.reason:
            yield Outcome(i, loaded.source, -1, loaded.reason)
        elif ref is not None:
            yield Outcome(i, loaded.source, ref)
        else:
            waiting.setdefault(digest, []).append((i, loaded))
            if len(waiting) == options.batch:
                model = model or _load_model(spec, options)
                yield from _embed_batch(list(waiting.values()), model, store, options)
                waiting = {}
    if waiting:
        model = model or _load_model(spec, options)
        yield from _embed_batch(list(waiting.values()), model, store, options)


def _embed_batch(waiting: list[list[tuple[int, Loaded]]], model: AnyEmbedder, store: VectorStore,
                 options: EmbedOptions) -> list[Outcome]:
    """Embed the first picture of each group of byte-identical pictures."""
    firsts = [group[0][1] for group in waiting]
    vectors = model.embed(np.stack([loaded.pixels for loaded in firsts]))
    good = np.isfinite(vectors[:, 0])
    sources = np.array([loaded.source for loaded in firsts], SOURCE_DTYPE)
    refs = iter(store.add(sources[good], vectors[good], model.made_with))
    outcomes = []
    for group, is_good in zip(waiting, good.tolist(), strict=True):
        ref, reason = (next(refs), "") if is_good else (-1, "invalid: the model gave no finite vector")
        outcomes += [Outcome(i, loaded.source, ref, reason) for i, loaded in group]
    if 0 < options.checkpoint_frequency <= store.checkpoint.pending:
        store.checkpoint.save()
    return outcomes


def _unchanged(pictures: Pictures, store: VectorStore) -> Iterator[int | None]:
    """Yield for each file the ref of its vector, or None if its size or time has changed."""
    for name in pictures.names:
        status = _status(pictures.cache / name)
        yield store.unchanged(name, status.st_size, status.st_mtime_ns) if status else None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # deleted since the folder was listed: reading it gives the reason
        return None


def _load_model(spec: ModelSpec, options: EmbedOptions) -> AnyEmbedder:
    model = open_embedder(spec, build_runtime(spec, options.run), options.run)
    say(f"Model {spec.model} ({spec.pretrained}) with {model.runtime} on {model.device}, {model.precision}, "
        f"{spec.size} pixels, fit {spec.fit}.")
    return model
