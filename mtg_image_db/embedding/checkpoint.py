"""The checkpoint: the new vectors of an unfinished build, kept on disk.

    checkpoint = Checkpoint(out, spec.fingerprint)
    checkpoint.append(sources, vectors, model.made_with)
    checkpoint.save()

The rows are in a file that only grows. checkpoint.npz holds the end and the CRC-32 of each segment. So a save writes
only the rows since the last save, and a damaged segment is detected.
Reads and writes  <out>/checkpoint.npz, checkpoint_meta.json and checkpoint_rows.bin, while a build is unfinished
"""
from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.artefacts import CHECKPOINT, CHECKPOINT_META, CHECKPOINT_ROWS, FORMAT_VERSIONS, read_json, write_json
from mtg_image_db.common import atomic_file, name_errors, sync
from mtg_image_db.console import SuiteError, say, utc_now
from mtg_image_db.embedding.picture_hash import ART_HASH_BYTES, HASH_BYTES
from mtg_image_db.locks import IF_STALE, HeldElsewhere, hold

# The picture that a vector was made from. name is the cache file. bytes and mtime_ns identify an unchanged file
# without opening it. digest is content_digest of its bytes. hash is the perceptual hash of the complete picture,
# art_hash that of its art window.
SOURCE_DTYPE = np.dtype([("name", "S45"), ("digest", "S32"), ("bytes", "<i8"), ("mtime_ns", "<i8"),
                         ("hash", "u1", (HASH_BYTES,)), ("art_hash", "u1", (ART_HASH_BYTES,))])
LOCK_FILE, LOCK_SECONDS = "checkpoint.lock", 30.0  # hidden: a dot comes before it


def content_digest(data: bytes) -> str:
    """Identifies equal pictures: BLAKE2b of the file's bytes, 16 bytes in hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Checkpoint:
    """Rows of (source, vector) in the order in which they were appended. resumed is the number of rows that an
    interrupted build left.

    made_with is Embedder.made_with of the last vectors. seconds is the time spent on saving.
    """

    def __init__(self, out: Path, fingerprint: str, resume: bool = True, lock: bool = True, prefix: str = "") -> None:
        """Take the checkpoint in the folder. With resume, keep the rows that an interrupted build of this model left.
        lock=False (--no-lock) does not look for another process. A prefix of the files' names lets a build have a
        second checkpoint.

        Raises SuiteError if another process still holds the checkpoint.
        """
        self.out, self.made_with, self.seconds = out, dict[str, str](), 0.0
        self.dimension = self.rows = 0
        self._arrays, self._meta, self._rows = (
            out / f"{prefix}{name}" for name in (CHECKPOINT, CHECKPOINT_META, CHECKPOINT_ROWS))
        self._fingerprint, self._lock = fingerprint, _hold(out / f".{prefix}{LOCK_FILE}", lock)
        self._ends, self._crcs, self._crc = list[int](), list[int](), 0
        self._file: BinaryIO | None = None
        if resume:
            self._resume()
        self.resumed = self.rows

    @property
    def saved(self) -> int:
        """The number of rows that would survive a power cut now."""
        return self._ends[-1] if self._ends else 0

    @property
    def pending(self) -> int:
        """The number of rows appended since the last save."""
        return self.rows - self.saved

    def sources(self) -> NDArray[np.void]:
        """The source of every row, SOURCE_DTYPE [N]."""
        return np.array(self._mapped()["source"]) if self.rows else np.empty(0, SOURCE_DTYPE)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of the given rows, float32 [n, D]."""
        return self._mapped()[rows]["vector"]  # mapped anew each time: its memory is freed afterwards

    def append(self, sources: NDArray[np.void], vectors: NDArray[np.float32], made_with: Mapping[str, str]) -> None:
        """Add rows: SOURCE_DTYPE [n] and float32 [n, D]. made_with is Embedder.made_with."""
        path = self._rows
        if self._file is None:
            self.dimension = self.dimension or vectors.shape[1]
            self._file = open(path, "r+b" if self.rows else "w+b")  # noqa: SIM115 - close() does
            self._file.truncate(self.rows * self._row_dtype().itemsize)
            self._file.seek(0, os.SEEK_END)
        rows = np.empty(len(sources), self._row_dtype())
        rows["source"], rows["vector"] = sources, vectors
        data = rows.tobytes()
        with name_errors(path):
            self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self.rows += len(rows)
        self.made_with = dict(made_with)

    def save(self) -> None:
        """Write the appended rows so that they survive a power cut."""
        if self._file is None or not self.pending:
            return
        started = time.monotonic()
        with name_errors(self._rows):
            sync(self._file)
        ends, crcs = [*self._ends, self.rows], [*self._crcs, self._crc]
        write_json(self._meta,
                   {"version": FORMAT_VERSIONS["checkpoint"], "timestamp": utc_now(),
                    "model_fingerprint": self._fingerprint, "dimension": self.dimension, "rows": self.rows,
                    "made_with": self.made_with})
        with atomic_file(self._arrays) as file:
            np.savez(file, ends=np.array(ends, np.int64), crcs=np.array(crcs, np.uint32))
        # last: if an interruption comes before, the next save writes these rows
        self._ends, self._crcs, self._crc = ends, crcs, 0
        self.seconds += time.monotonic() - started

    def discard(self) -> None:
        """Delete the checkpoint and close it. The finished build holds its rows."""
        for path in (self._meta, self._arrays, self._rows):
            path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the checkpoint and leave it to the next build. The end of the process does the same."""
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def _row_dtype(self) -> np.dtype[np.void]:
        return np.dtype([("source", SOURCE_DTYPE), ("vector", "<f4", (self.dimension,))])

    def _mapped(self) -> NDArray[np.void]:
        if self._file is not None:
            with name_errors(self._rows):
                self._file.flush()
        return np.memmap(self._rows, self._row_dtype(), "r", shape=(self.rows,))

    def _resume(self) -> None:
        """Read the rows of an interrupted build, up to the first segment whose checksum differs."""
        meta, path = read_json(self._meta), self._rows
        if meta is None or meta.get("model_fingerprint") != self._fingerprint or not path.exists():
            return
        try:
            if meta["version"] != FORMAT_VERSIONS["checkpoint"]:
                say(f"The checkpoint in {self.out} is of another version of these scripts and is not used.")
                return
            with np.load(self._arrays, allow_pickle=False) as segments:
                ends, crcs = segments["ends"].tolist(), segments["crcs"].tolist()
            made_with = _texts(meta.get("made_with", {}))
            self.dimension = int(meta["dimension"])
            size = self._row_dtype().itemsize
        except Exception:  # zipfile raises many kinds of errors on damaged bytes
            say(f"The checkpoint in {self.out} is damaged and is not used.")
            self.dimension = 0
            return
        with open(path, "rb") as file:
            for end, crc in zip(ends, crcs, strict=False):
                length = (end - self.rows) * size
                data = file.read(length) if 0 < length <= path.stat().st_size else b""
                if not data or len(data) != length or zlib.crc32(data) != crc:
                    say(f"The checkpoint in {self.out} is damaged after {self.rows:,} pictures; those are used.")
                    break
                self.rows = end
                self._ends.append(end)
                self._crcs.append(crc)
        if self.rows:
            self.made_with = made_with
        else:
            self.dimension = 0


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(text) for key, text in dict(value).items()}


def _hold(path: Path, lock: bool) -> contextlib.ExitStack:
    """Lock the checkpoint for this process. Waits a while: after a kill of build_mtg_faiss.py, its second process still
    holds it for a moment."""
    try:
        return hold(path, LOCK_SECONDS, lock)
    except HeldElsewhere as error:
        raise SuiteError("Build Error", "an interrupted build does not end", f"{error} holds {path}",
                         f"Run the same command again in a minute, or end the old process. {IF_STALE}") from error
