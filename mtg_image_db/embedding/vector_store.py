"""All known vectors of a model: those of the previous build, and those made since.

    store = VectorStore(previous_vectors(out, manifest, spec.fingerprint), Checkpoint(out, spec.fingerprint))
    ref = store.with_content(digest)

A ref is the number of a vector in the store. The previous build's rows come first, then the checkpoint's.
Reads   <out>/mtg_embeddings.npy or mtg_art_embeddings.npy, and mtg_pictures.npy
Writes  through the checkpoint
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.artefacts import EMBEDDINGS, PICTURES, release_pages, verify
from mtg_image_db.console import SuiteError, say
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE, Checkpoint


@dataclass(frozen=True)
class KnownVectors:
    """The vectors of a finished build: for each row the picture (SOURCE_DTYPE [N]) and the vector (float32 [N, D],
    mapped from disk). has_art_hashes is False for a build of a version before 1.2: the art hashes are zeros then."""
    sources: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SOURCE_DTYPE))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    has_art_hashes: bool = True


def previous_vectors(out: Path, manifest: dict[str, Any] | None, fingerprint: str,
                     file: str = EMBEDDINGS) -> KnownVectors:
    """The vectors of the finished build in out, if its manifest names the same model. Otherwise none. file is
    EMBEDDINGS, or ART_EMBEDDINGS for those of the art."""
    recorded = "model_fingerprint" if file == EMBEDDINGS else "art_fingerprint"
    if manifest is None or manifest.get(recorded) != fingerprint:
        return KnownVectors()
    try:
        verify(out, manifest, (file, PICTURES))
        sources = np.load(out / PICTURES, allow_pickle=False)
        vectors = np.load(out / file, mmap_mode="r", allow_pickle=False)
    except (SuiteError, OSError, ValueError, KeyError, TypeError) as error:
        why = f"Details: {error.details}" if isinstance(error, SuiteError) else error
        say(f"The previous build's vectors are not used. {why}")
        return KnownVectors()
    names = SOURCE_DTYPE.names or ()
    has_art_hashes = sources.dtype.names != names[:-1]
    if not has_art_hashes:
        say("The index is of an earlier version: every picture is read again for its art hash. The vectors are kept.")
        widened = np.zeros(len(sources), SOURCE_DTYPE)
        for name in names[:-1]:
            widened[name] = sources[name]
        sources = widened
    fits = sources.dtype == SOURCE_DTYPE and len(sources) == len(vectors)
    return KnownVectors(sources, vectors, has_art_hashes) if fits else KnownVectors()


class VectorStore:
    """Finds vectors by cache file and by content. Adds new vectors to the checkpoint.

    known is the number of vectors that existed before this run. Refs from known on are new. None means all.
    """

    def __init__(self, previous: KnownVectors, checkpoint: Checkpoint, known: int | None = None) -> None:
        self.previous, self.checkpoint = previous, checkpoint
        resumed = checkpoint.sources()
        self._added = bytearray(resumed.tobytes())  # SOURCE_DTYPE. Separate objects would need four times the memory
        first = len(previous.sources)
        self.known = first + len(resumed) if known is None else known
        # A ref of the previous build wins: its index holds that vector, and the index and its rows must agree.
        self._by_name: dict[bytes, int] = {}
        self._by_digest: dict[bytes, int] = {}
        for lookup, key in ((self._by_name, "name"), (self._by_digest, "digest")):
            lookup.update(zip(resumed[key].tolist(), range(first, first + len(resumed)), strict=True))
            lookup.update(zip(previous.sources[key].tolist(), range(first), strict=True))

    @property
    def dimension(self) -> int:
        """The number of dimensions D. 0 if no vector is known."""
        return self.checkpoint.dimension or self.previous.vectors.shape[1]

    def source(self, ref: int) -> np.void:
        """The picture that a vector was made from (SOURCE_DTYPE)."""
        first = len(self.previous.sources)
        if ref < first:
            return self.previous.sources[ref]
        # Copied in one step: a bytearray cannot grow while a view of it exists, and other threads read it.
        at = (ref - first) * SOURCE_DTYPE.itemsize
        return np.frombuffer(bytes(self._added[at:at + SOURCE_DTYPE.itemsize]), SOURCE_DTYPE)[0]

    def hashes(self, ref: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """The perceptual hashes of a vector's picture, (complete picture, art window). None if they are not known."""
        source = self.source(ref)
        return (source["hash"], source["art_hash"]) if self._has_art_hash(ref) else None

    def unchanged(self, name: str, size: int, mtime_ns: int) -> int | None:
        """The ref of a cache file that has not changed since its vector and its hashes were made, or None."""
        ref = self._by_name.get(name.encode())
        if ref is None:
            return None
        source = self.source(ref)
        same = (source["bytes"], source["mtime_ns"]) == (size, mtime_ns)
        return ref if same and self._has_art_hash(ref) else None

    def _has_art_hash(self, ref: int) -> bool:
        return self.previous.has_art_hashes or ref >= len(self.previous.sources)

    def with_content(self, digest: str) -> int | None:
        """The ref of a picture with these bytes (its digest). None if there is none."""
        return self._by_digest.get(digest.encode())

    def add(self, sources: NDArray[np.void], vectors: NDArray[np.float32], made_with: Mapping[str, str]) -> list[int]:
        """Add the vectors (float32 [n, D]) of n pictures (SOURCE_DTYPE [n]). Returns their refs."""
        first = len(self.previous.sources) + self.checkpoint.rows
        self.checkpoint.append(sources, vectors, made_with)
        self._added += sources.tobytes()
        for ref, (name, digest) in enumerate(sources[["name", "digest"]].tolist(), first):
            self._by_name[name] = self._by_digest[digest] = ref
        return list(range(first, first + len(sources)))

    def vectors(self, refs: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of the refs, float32 [n, D]."""
        first = len(self.previous.sources)
        old = refs < first
        vectors = np.empty((len(refs), self.dimension), np.float32)
        if old.any():
            vectors[old] = self.previous.vectors[refs[old]]
            release_pages(self.previous.vectors)
        if not old.all():
            vectors[~old] = self.checkpoint.vectors(refs[~old] - first)
        return vectors
