"""Cached pictures -> vectors: decoded by threads ahead of the model, embedded in batches, kept in the store.

Reads   the pictures in the cache
Writes  through the vector store: the checkpoint in <out>
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mtg_image_db.common import InvalidContent, map_ahead, open_picture, say
from mtg_image_db.console import Progress
from mtg_image_db.embedding.embedder import Embedder, give_back_memory, prepare
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.picture_hash import HASH_BYTES, picture_hash
from mtg_image_db.embedding.vector_store import PICTURE, VectorStore

DECODE_AHEAD = 3  # batches of decoded pictures that wait for the model, at most
NO_HASH = np.zeros(HASH_BYTES, np.uint8)


@dataclass(frozen=True)
class EmbedOptions:
    """How to embed, beyond what decides the vectors (ModelSpec)."""
    batch: int
    device: str
    precision: str
    verify: bool
    checkpoint_frequency: int

    @classmethod
    def of(cls, args: argparse.Namespace) -> EmbedOptions:
        return cls(args.batch, args.device, args.precision, args.validate_cache, args.checkpoint_frequency)


@dataclass
class Embedded:
    """refs[i] (int64) is the vector of picture i in the store, or -1: then reasons[i] says why.

    pictures (PICTURE) says which file each was read from.
    """
    refs: np.ndarray
    pictures: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)
    reused: int = 0  # pictures whose vector was there before
    new: int = 0  # vectors made now; byte-identical pictures share one
    seconds: float = 0.0
    made_with: dict[str, str] = field(default_factory=dict)  # Embedder.made_with of the new and the resumed ones

    @classmethod
    def nothing(cls, count: int) -> Embedded:
        """Of count pictures none yet."""
        return cls(np.full(count, -1, np.int64), np.zeros(count, PICTURE))


@dataclass(frozen=True)
class Loaded:
    """A cache file read: its content known to the store, or decoded (uint8 [S, S, 3]), or the reason it is neither."""
    picture: tuple
    pixels: np.ndarray | None = None
    reason: str | None = None


def load_picture(path: Path, store: VectorStore, spec: ModelSpec, verify: bool) -> Loaded:
    """Read once: the bytes give the digest, decoding them for the model is the validation."""
    try:
        data, status = path.read_bytes(), path.stat()
    except OSError as error:
        return Loaded((path.name, "", 0, 0, NO_HASH), reason=f"invalid: {error.strerror}")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    about = path.name, digest, status.st_size, status.st_mtime_ns
    if store.with_content(digest) is not None:
        return Loaded((*about, NO_HASH))
    try:
        picture = open_picture(data, verify)
        return Loaded((*about, picture_hash(np.asarray(picture))), pixels=prepare(picture, spec))
    except InvalidContent as error:
        return Loaded((*about, NO_HASH), reason=f"invalid: {error}")


def embed_pictures(cache: Path, names: Sequence[str], store: VectorStore, spec: ModelSpec,
                   options: EmbedOptions) -> Embedded:
    """A vector in the store for every named file that is a whole picture, known ones without opening it.

    Loads the model when the first new picture needs it. Every checkpoint_frequency new pictures
    (0: never), and when the build is interrupted, the new vectors are made safe.
    """
    started = time.monotonic()
    done = Embedded.nothing(len(names))
    to_read = _reuse_unchanged(cache, names, store, done)
    say(f"{len(names):,} pictures in the cache: {len(names) - len(to_read):,} already embedded, "
        f"{len(to_read):,} to read.")
    progress = Progress("Embedding", len(to_read))
    batch = _Batch(store, spec, options, done)
    try:
        for i, picture in _read(cache, names, to_read, store, spec, options):
            batch.take(i, picture)
            progress.update()
        batch.embed()
    finally:
        progress.close()
        if options.checkpoint_frequency:
            store.checkpoint()
            if sys.exc_info()[0] and store.safe:
                say(f"{store.safe:,} pictures embedded so far are kept in {store.out} for the next run.")
    if batch.model is not None:
        batch.model = None
        give_back_memory()
    done.made_with = store.made_with
    good = done.refs[done.refs >= 0]
    done.reused, done.new = int((good < store.known).sum()), len(np.unique(good[good >= store.known]))
    done.seconds = time.monotonic() - started
    return done


def embed_arrived(cache: Path, names: Sequence[str], store: VectorStore, spec: ModelSpec, options: EmbedOptions,
                  model: Embedder | None, ended: threading.Event, took: Callable[[], None]) -> Embedder | None:
    """Vectors in the store for files that have just come, until ended is set; a later embed_pictures finds them
    there. took is called for each. Returns the model, loaded where a picture needed it."""
    batch = _Batch(store, spec, options, Embedded.nothing(len(names)))
    batch.model = model
    for i, picture in _read(cache, names, range(len(names)), store, spec, options):
        if ended.is_set():
            return batch.model
        batch.take(i, picture)
        took()
    batch.embed()
    return batch.model


def _read(cache: Path, names: Sequence[str], which: Sequence[int], store: VectorStore, spec: ModelSpec,
          options: EmbedOptions) -> Iterator[tuple[int, Loaded]]:
    """(i, the picture of names[i]) for each i of which."""
    def load(i: int) -> tuple[int, Loaded]:
        return i, load_picture(cache / names[i], store, spec, options.verify)

    with contextlib.closing(map_ahead(load, which, os.cpu_count(), DECODE_AHEAD * options.batch)) as loaded:
        yield from loaded


def _reuse_unchanged(cache: Path, names: Sequence[str], store: VectorStore, done: Embedded) -> list[int]:
    """Fill in the vectors of unchanged files; returns the pictures that must be read."""
    to_read = []
    for i, name in enumerate(names):
        try:
            status = os.stat(cache / name)
        except OSError:  # gone since the folder was listed: reading it gives the reason
            to_read.append(i)
            continue
        known = store.unchanged(name, status.st_size, status.st_mtime_ns)
        if known is None:
            to_read.append(i)
        else:
            done.refs[i] = known
            done.pictures[i] = store.picture(known)
    return to_read


class _Batch:
    """Decoded pictures waiting for the model, byte-identical ones once."""

    def __init__(self, store: VectorStore, spec: ModelSpec, options: EmbedOptions, done: Embedded) -> None:
        self.store, self.spec, self.options, self.done = store, spec, options, done
        self.waiting: dict[str, tuple[Loaded, list[int]]] = {}
        self.model: Embedder | None = None

    def take(self, i: int, loaded: Loaded) -> None:
        self.done.pictures[i] = loaded.picture
        digest = loaded.picture[1]
        known = self.store.with_content(digest)  # also when it was embedded after this picture was read
        if loaded.reason is not None:
            self.done.reasons[i] = loaded.reason
        elif known is not None:
            self.done.refs[i] = known
            self.done.pictures[i]["hash"] = self.store.picture(known)["hash"]
        elif digest in self.waiting:
            self.waiting[digest][1].append(i)
        else:
            self.waiting[digest] = loaded, [i]
            if len(self.waiting) == self.options.batch:
                self.embed()

    def embed(self) -> None:
        if not self.waiting:
            return
        waiting, self.waiting = list(self.waiting.values()), {}
        self.model = self.model or self._load_model()
        vectors = self.model.embed(np.stack([loaded.pixels for loaded, _ in waiting]))
        good = np.isfinite(vectors[:, 0])
        refs = iter(self.store.append([loaded.picture for (loaded, _), ok in zip(waiting, good, strict=True) if ok],
                                      vectors[good]))
        for (_, wanted), ok in zip(waiting, good, strict=True):
            if ok:
                self.done.refs[wanted] = next(refs)
            else:
                self.done.reasons.update(dict.fromkeys(wanted, "invalid: the model gave no finite vector"))
        self.store.made_with = self.model.made_with
        if 0 < self.options.checkpoint_frequency <= self.store.unsafe:
            self.store.checkpoint()

    def _load_model(self) -> Embedder:
        model = Embedder(self.spec, self.options.device, self.options.precision)
        say(f"Model {self.spec.model} ({self.spec.pretrained}) on {model.device}, {model.precision}, "
            f"{self.spec.size} pixels, fit {self.spec.fit}.")
        return model
