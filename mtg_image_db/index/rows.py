"""Faces and their vectors -> the rows of the index: which face has which row, and why the other faces have none.

    table = read_face_table(snapshot.path, source)
    rows = stage_rows(out, table, embedded, store)

Reads   a bulk file and the names in the cache
Writes  staged in <out>: mtg_embeddings.npy, mtg_meta.jsonl, kept_indices.npy, mtg_pictures.npy, rejected.jsonl
"""
from __future__ import annotations

import contextlib
import io
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.artefacts import EMBEDDINGS, KEPT, META, PICTURES, REJECTED, cache_name, staged
from mtg_image_db.common import name_errors
from mtg_image_db.embedding.embed_pictures import Embedded
from mtg_image_db.embedding.vector_store import VectorStore
from mtg_image_db.scryfall.card_objects import BulkReport
from mtg_image_db.scryfall.faces import Source, read_faces
from mtg_image_db.scryfall.image_cache import cached_names

WRITE_ROWS = 4096


class JsonLines:
    """JSON objects as lines in one buffer. 500,000 of them take 0.4 GB. As dicts they would take 4 GB."""

    def __init__(self) -> None:
        self.data, self._ends = bytearray(), array("q", [0])

    def append(self, value: Mapping[str, Any]) -> None:
        self.data += orjson.dumps(value) + b"\n"
        self._ends.append(len(self.data))

    def __getitem__(self, i: int) -> dict[str, Any]:
        return orjson.loads(self.data[self._ends[i]:self._ends[i + 1]])


@dataclass(frozen=True)
class FaceTable:
    """The faces of a bulk file: those with a cached picture, and the rejected ones.

    positions (int64), names (cache files) and metadata describe the faces with a picture. rejected holds lines of
    rejected.jsonl. counts has the number for each reason: missing, placeholder, invalid. report is that of read_faces.
    """
    positions: NDArray[np.int64]
    names: list[str]
    metadata: JsonLines
    rejected: JsonLines
    counts: Counter[str]
    report: BulkReport


@dataclass(frozen=True)
class Rows:
    """The written rows: their vectors (float32 [N, D], mapped from disk), and the nodes of the index among them
    (int64). Byte-identical pictures get one node, because identical vectors lower the recall of all others.

    new_row_of (int64) gives for each row of the previous build the node that shows its picture now, or -1.
    """
    vectors: NDArray[np.float32]
    nodes: NDArray[np.int64]
    new_row_of: NDArray[np.int64]


def read_face_table(bulk: Path, source: Source) -> FaceTable:
    """Read every face of the bulk file. Separate faces with a cached picture from rejected ones."""
    positions, names, cached, report = array("q"), list[str](), cached_names(source.cache), BulkReport()
    metadata, rejected, counts = JsonLines(), JsonLines(), Counter[str]()
    for position, face in enumerate(read_faces(bulk, source, report)):
        name = cache_name(face.image_url) if face.image_url else ""
        reason = face.skip_reason or ("" if name in cached else "missing")
        if reason:
            counts[reason.split(":")[0]] += 1
            rejected.append(_rejection(face.metadata(), name, reason))
        else:
            positions.append(position)
            names.append(name)
            metadata.append(face.metadata())
    return FaceTable(np.array(positions, np.int64), names, metadata, rejected, counts, report)


def stage_rows(out: Path, table: FaceTable, embedded: Embedded, store: VectorStore) -> Rows:
    """Stage all files but the index: vectors, their sources, kept indices, rejections and metadata. The rows are in the
    order of the faces."""
    kept = embedded.kept
    stage_vectors(out, EMBEDDINGS, store, embedded.refs[kept])
    for name, values in ((PICTURES, embedded.sources[kept]), (KEPT, table.positions[kept])):
        packed = io.BytesIO()  # numpy writes to a real file through C, and misses an error when the file is closed
        np.save(packed, values)
        with _writing(out, name) as file:
            file.write(packed.getbuffer())
    with _writing(out, REJECTED) as file:
        file.write(table.rejected.data)
        for i, reason in sorted(embedded.reasons.items()):
            file.write(orjson.dumps(_rejection(table.metadata[i], table.names[i], reason)) + b"\n")
    nodes = _write_metadata(out, table, embedded)
    vectors = np.load(staged(out, EMBEDDINGS), mmap_mode="r", allow_pickle=False)
    return Rows(vectors, nodes, _new_rows(store.previous.sources, embedded, nodes))


def stage_vectors(out: Path, name: str, store: VectorStore, refs: NDArray[np.int64]) -> None:
    """Stage the vectors of these refs as a file: float32 [len(refs), D]."""
    with _writing(out, name) as file:
        # Written, not mapped: on a full disk, a write raises an error, but a mapped page ends the process (SIGBUS).
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (len(refs), store.dimension)})
        for start in range(0, len(refs), WRITE_ROWS):
            file.write(store.vectors(refs[start:start + WRITE_ROWS]).data)


def _rejection(face: Mapping[str, Any], name: str, reason: str) -> dict[str, Any]:
    return {"name": face["name"], "scryfall_id": face["scryfall_id"], "face_id": face["face_id"], "file": name,
            "reason": reason}


def _write_metadata(out: Path, table: FaceTable, embedded: Embedded) -> NDArray[np.int64]:
    """Stage the metadata lines. Returns the rows (int64) that become nodes of the index. Every other row names the face
    of its node in same_image_as."""
    nodes, first_face, kept = array("q"), dict[bytes, str](), embedded.kept
    with _writing(out, META) as file:
        for row, (i, digest) in enumerate(zip(kept.tolist(), embedded.sources["digest"][kept].tolist(), strict=True)):
            line = table.metadata[i]
            line["same_image_as"] = first_face.get(digest)
            if digest not in first_face:
                first_face[digest] = line["face_id"]
                nodes.append(row)
            file.write(orjson.dumps(line) + b"\n")
    return np.array(nodes, np.int64)


def _new_rows(previous: NDArray[np.void], embedded: Embedded, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row of the previous build, the node that shows its picture now, or -1: int64 [len(previous)]. previous
    holds the pictures of these rows (SOURCE_DTYPE)."""
    digests = embedded.sources["digest"][embedded.kept][nodes]
    order = np.argsort(digests)
    places = order[np.searchsorted(digests, previous["digest"], sorter=order).clip(max=len(order) - 1)]
    return np.where(digests[places] == previous["digest"], nodes[places], -1)


@contextlib.contextmanager
def _writing(out: Path, name: str) -> Iterator[BinaryIO]:
    with name_errors(out / name), open(staged(out, name), "wb") as file:
        yield file
