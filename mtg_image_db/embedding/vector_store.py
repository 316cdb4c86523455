"""Every vector already known for a model: of the finished build in index_out/ and of an interrupted one.

Reads   <out>/mtg_embeddings.npy and mtg_pictures.npy, and the checkpoint
Writes  <out>/checkpoint.npz, checkpoint_meta.json and checkpoint_rows.bin while a build is unfinished
"""
from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mtg_image_db import artefacts
from mtg_image_db.common import (
    EMBEDDINGS,
    PICTURES,
    VERSION,
    SuiteError,
    atomic_file,
    let_go,
    naming,
    read_json,
    say,
    utc_now,
    write_json,
)
from mtg_image_db.embedding.picture_hash import HASH_BYTES

CHECKPOINT, CHECKPOINT_META, CHECKPOINT_ROWS = "checkpoint.npz", "checkpoint_meta.json", "checkpoint_rows.bin"
LOCK_FILE, LOCK_SECONDS = ".checkpoint.lock", 30.0
# Which picture a vector was made from. name is the cache file; bytes and mtime_ns tell an unchanged file
# without opening it, digest (BLAKE2b, 16 bytes, hex) tells equal content under any name, hash what it looks like.
PICTURE = np.dtype([("name", "S45"), ("digest", "S32"), ("bytes", "<i8"), ("mtime_ns", "<i8"),
                    ("hash", "u1", (HASH_BYTES,))])


class VectorStore:
    """Every vector known for one model fingerprint, by a number (ref): the previous build's rows, then
    the rows of this build, which an interruption keeps. made_with says on what the latter were made.

    The checkpoint is an append-only file of rows; checkpoint.npz holds where its segments end and
    their CRC-32, so a checkpoint costs the rows since the last one, and a damaged segment is noticed.
    """

    def __init__(self, out: Path, fingerprint: str, use_previous: bool = True, resume: bool = True) -> None:
        self.out, self.fingerprint = out, fingerprint
        self.made_with: dict[str, str] = {}
        self.checkpoint_seconds = 0.0
        self._lock = _lock(out)
        self.previous_pictures, self.previous_vectors = _previous_build(out, fingerprint) if use_previous \
            else (np.empty(0, PICTURE), None)
        self._ends, self._crcs, self._crc, self._rows = [], [], 0, 0
        self._dimension = self._resume() if resume else 0
        self._file = None
        resumed = np.array(self._fresh()["picture"]) if self._rows else np.empty(0, PICTURE)
        self.resumed, self._fresh_pictures = len(resumed), bytearray(resumed.tobytes())
        old = len(self.previous_pictures)
        self.known = old + len(resumed)
        # the previous build's win: its index holds them, and a stored index and the rows must be of the same vectors
        self._by_name, self._by_digest = (
            {value: ref for pictures, first in ((resumed, old), (self.previous_pictures, 0))
             for ref, value in enumerate(pictures[key].tolist(), first)} for key in ("name", "digest"))

    def picture(self, ref: int) -> np.void:
        """The PICTURE a vector was made from."""
        old = len(self.previous_pictures)
        if ref < old:
            return self.previous_pictures[ref]
        # a copy: while a view of it lives, a bytearray cannot grow
        return np.frombuffer(self._fresh_pictures, PICTURE, 1, (ref - old) * PICTURE.itemsize)[0].copy()

    def unchanged(self, name: str, size: int, mtime_ns: int) -> int | None:
        """The vector of a cache file that is as it was when the vector was made."""
        ref = self._by_name.get(name.encode())
        if ref is None:
            return None
        known = self.picture(ref)
        return ref if (known["bytes"], known["mtime_ns"]) == (size, mtime_ns) else None

    def with_content(self, digest: str) -> int | None:
        return self._by_digest.get(digest.encode())

    def append(self, pictures: Sequence[tuple], vectors: np.ndarray) -> list[int]:
        """Keep float32 vectors [n, D] of n pictures (fields of PICTURE); returns their refs."""
        if self._file is None:
            self._dimension = self._dimension or vectors.shape[1]
            self._file = open(self.out / CHECKPOINT_ROWS, "r+b" if self._rows else "w+b")
            self._file.truncate(self._rows * self._row_type().itemsize)
            self._file.seek(0, os.SEEK_END)
        rows = np.empty(len(pictures), self._row_type())
        rows["picture"], rows["vector"] = pictures, vectors
        data = rows.tobytes()
        with naming(self.out / CHECKPOINT_ROWS):
            self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        first = len(self.previous_pictures) + self._rows
        self._rows += len(rows)
        self._fresh_pictures += rows["picture"].tobytes()
        for ref, (name, digest) in enumerate(rows["picture"][["name", "digest"]].tolist(), first):
            self._by_name[name] = self._by_digest[digest] = ref
        return list(range(first, first + len(rows)))

    def checkpoint(self) -> None:
        """Make everything appended so far survive a power cut."""
        if self._file is None or not self.unsafe:
            return
        started = time.monotonic()
        with naming(self.out / CHECKPOINT_ROWS):
            self._file.flush()
            os.fsync(self._file.fileno())
        ends, crcs = [*self._ends, self._rows], [*self._crcs, self._crc]
        write_json(self.out / CHECKPOINT_META,
                   {"version": VERSION, "timestamp": utc_now(), "model_fingerprint": self.fingerprint,
                    "dimension": self._dimension, "rows": self._rows, "made_with": self.made_with})
        with atomic_file(self.out / CHECKPOINT) as file:
            np.savez(file, ends=np.array(ends, np.int64), crcs=np.array(crcs, np.uint32))
        # only now: an interruption in between must leave these rows to the next checkpoint
        self._ends, self._crcs, self._crc = ends, crcs, 0
        self.checkpoint_seconds += time.monotonic() - started

    @property
    def safe(self) -> int:
        """How many pictures the checkpoint holds."""
        return self._ends[-1] if self._ends else 0

    @property
    def appended(self) -> int:
        """How many pictures this store has got, beyond those it resumed."""
        return self._rows - self.resumed

    @property
    def unsafe(self) -> int:
        """How many pictures were appended since the last checkpoint."""
        return self._rows - self.safe

    def take(self, refs: np.ndarray) -> np.ndarray:
        """float32 [n, D] of the refs."""
        old = refs < len(self.previous_pictures)
        vectors = np.empty((len(refs), self.dimension), np.float32)
        if old.any():
            vectors[old] = self.previous_vectors[refs[old]]
            let_go(self.previous_vectors)
        if not old.all():
            rows = self._fresh()  # mapped anew each time: its pages go with it
            vectors[~old] = rows[refs[~old] - len(self.previous_pictures)]["vector"]
        return vectors

    @property
    def dimension(self) -> int:
        return self._dimension or (0 if self.previous_vectors is None else self.previous_vectors.shape[1])

    def forget(self) -> None:
        """Let go of what is only needed to look up and take vectors, 300 MB at 500,000; neither works after this."""
        self._by_name = self._by_digest = self.previous_pictures = self._fresh_pictures = None

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint, and end: the finished build holds its rows."""
        for name in (CHECKPOINT_META, CHECKPOINT, CHECKPOINT_ROWS):
            (self.out / name).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """End, and leave the checkpoint to the next store; so does the end of the process."""
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def _row_type(self) -> np.dtype:
        return np.dtype([("picture", PICTURE), ("vector", "<f4", (self._dimension,))])

    def _fresh(self) -> np.ndarray:
        if self._file is not None:
            with naming(self.out / CHECKPOINT_ROWS):
                self._file.flush()
        return np.memmap(self.out / CHECKPOINT_ROWS, self._row_type(), "r", shape=(self._rows,))

    def _resume(self) -> int:
        """Read how far an interrupted build came; returns D, or 0 where nothing of it can be used."""
        about = read_json(self.out / CHECKPOINT_META)
        rows_path = self.out / CHECKPOINT_ROWS
        if about is None or about.get("model_fingerprint") != self.fingerprint or not rows_path.exists():
            return 0
        try:
            with np.load(self.out / CHECKPOINT, allow_pickle=False) as saved:
                ends, crcs = saved["ends"].tolist(), saved["crcs"].tolist()
            self._dimension, made_with = int(about["dimension"]), dict(about.get("made_with", {}))
            size = self._row_type().itemsize
        except Exception:  # zipfile raises nearly anything on damaged bytes
            say(f"The checkpoint in {self.out} is damaged and is not used.")
            return 0
        with open(rows_path, "rb") as file:
            for end, crc in zip(ends, crcs, strict=False):
                length = (end - self._rows) * size
                data = file.read(length) if 0 < length <= rows_path.stat().st_size else b""
                if not data or len(data) != length or zlib.crc32(data) != crc:
                    say(f"The checkpoint in {self.out} is damaged after {self._rows:,} pictures; those are used.")
                    break
                self._rows = end
                self._ends.append(end)
                self._crcs.append(crc)
        self.made_with = made_with if self._rows else {}
        return self._dimension if self._rows else 0


def _lock(out: Path) -> FileLock:
    """The checkpoint belongs to one process at a time: a killed build_mtg_faiss.py leaves one that ends just after it.
    Raises SuiteError."""
    lock = FileLock(out / LOCK_FILE)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        say(f"An interrupted build is still ending in {out}: waiting for it.")
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout as error:
            raise SuiteError("Build Error", "an interrupted build does not end", out / LOCK_FILE,
                             "Run the same command again in a minute, or end the old process.") from error
    return lock


def _previous_build(out: Path, fingerprint: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(PICTURE [N], float32 [N, D]) of the finished build in out, where it used the same model."""
    nothing = np.empty(0, PICTURE), None
    manifest = artefacts.read_manifest(out)
    if manifest is None or manifest["model_fingerprint"] != fingerprint:
        return nothing
    try:
        artefacts.verify(out, manifest, (EMBEDDINGS, PICTURES))
        pictures = np.load(out / PICTURES, allow_pickle=False)
        vectors = np.load(out / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
    except (SuiteError, OSError, ValueError, KeyError, TypeError) as error:
        why = error.lines[1].strip() if isinstance(error, SuiteError) else error
        say(f"The previous build's vectors are not used. {why}")
        return nothing
    return (pictures, vectors) if pictures.dtype == PICTURE and len(pictures) == len(vectors) else nothing
