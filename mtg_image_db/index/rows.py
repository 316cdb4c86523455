"""Faces and their vectors -> the rows of the index: which face is row i, and which have no row and why.

Reads   a bulk file and the names in the cache
Writes  staged in <out>: mtg_embeddings.npy, mtg_meta.jsonl, kept_indices.npy, mtg_pictures.npy, rejected.jsonl
"""
from __future__ import annotations

import contextlib
import io
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson

from mtg_image_db.artefacts import staged
from mtg_image_db.common import EMBEDDINGS, KEPT, META, PICTURES, REJECTED, cached_names, naming
from mtg_image_db.embedding.embed_pictures import Embedded
from mtg_image_db.embedding.vector_store import VectorStore
from mtg_image_db.scryfall.faces import BulkReport, cache_name, read_faces

WRITE_ROWS = 4096


class JsonLines:
    """JSON objects, one a line, in one buffer: as 500,000 objects of their own the metadata takes 4 GB, so 0.4."""

    def __init__(self) -> None:
        self.data, self._ends = bytearray(), array("q", [0])

    def append(self, value: dict) -> None:
        self.data += orjson.dumps(value) + b"\n"
        self._ends.append(len(self.data))

    def __getitem__(self, i: int) -> dict:
        return orjson.loads(self.data[self._ends[i]:self._ends[i + 1]])


@dataclass
class FaceTable:
    """The faces of the bulk file: those with a cached picture, row by row, and those left out."""
    positions: array = field(default_factory=lambda: array("q"))
    names: list[str] = field(default_factory=list)
    metadata: JsonLines = field(default_factory=JsonLines)
    rejected: JsonLines = field(default_factory=JsonLines)
    counts: Counter = field(default_factory=Counter)
    report: BulkReport = field(default_factory=BulkReport)


def read_face_table(bulk: Path, cache: Path, image_size: str, include_placeholders: bool = False,
                    limit: int | None = None) -> FaceTable:
    """Every face of the bulk file, sorted into those whose picture is in the cache and those rejected."""
    table, cached = FaceTable(), cached_names(cache)
    faces = read_faces(bulk, image_size, include_placeholders, limit, table.report)
    for position, face in enumerate(faces):
        name = cache_name(face.image_url) if face.image_url else ""
        reason = face.left_out or ("" if name in cached else "missing")
        if reason:
            table.counts[reason.split(":")[0]] += 1
            table.rejected.append(_rejection(face.metadata(), name, reason))
        else:
            table.positions.append(position)
            table.names.append(name)
            table.metadata.append(face.metadata())
    return table


def _rejection(face: dict, name: str, reason: str) -> dict:
    return {"name": face["name"], "scryfall_id": face["scryfall_id"], "face_id": face["face_id"], "file": name,
            "reason": reason}


def write_rows(out: Path, table: FaceTable, embedded: Embedded, store: VectorStore) -> np.ndarray:
    """Stage the vectors, what they were made from, kept indices and rejections.

    Returns the vectors, float32 [N, D] mapped from disk, rows in the order of the faces.
    """
    kept = np.flatnonzero(embedded.refs >= 0)
    with _writing(out, EMBEDDINGS) as file:
        # written, not mapped: on a full disk a write fails with an error, a mapped page with a bus error
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (len(kept), store.dimension)})
        for start in range(0, len(kept), WRITE_ROWS):
            file.write(store.take(embedded.refs[kept[start:start + WRITE_ROWS]]).data)
    for i, reason in sorted(embedded.reasons.items()):
        table.rejected.append(_rejection(table.metadata[i], table.names[i], reason))
    for name, values in ((PICTURES, embedded.pictures[kept]), (KEPT, np.frombuffer(table.positions, np.int64)[kept])):
        packed = io.BytesIO()  # numpy writes to a real file through C and does not notice when closing it fails
        np.save(packed, values)
        with _writing(out, name) as file:
            file.write(packed.getbuffer())
    with _writing(out, REJECTED) as file:
        file.write(table.rejected.data)
    return np.load(staged(out, EMBEDDINGS), mmap_mode="r", allow_pickle=False)


def rows_now(previous: np.ndarray, embedded: Embedded, nodes: np.ndarray) -> np.ndarray:
    """int64 [len(previous)]: the node that shows the picture each row of an earlier build was made from (PICTURE),
    -1 where none does."""
    digests = embedded.pictures["digest"][embedded.refs >= 0][nodes]
    order = np.argsort(digests)
    places = order[np.searchsorted(digests, previous["digest"], sorter=order).clip(max=len(order) - 1)]
    return np.where(digests[places] == previous["digest"], nodes[places], -1)


@contextlib.contextmanager
def _writing(out: Path, name: str) -> Iterator[BinaryIO]:
    with naming(out / name), open(staged(out, name), "wb") as file:
        yield file


def write_metadata(out: Path, table: FaceTable, embedded: Embedded) -> np.ndarray:
    """Stage the metadata lines; returns the rows (int64) that become nodes of the index.

    Byte-identical pictures are one node: identical vectors side by side cut the recall of all others.
    The other rows name the node's face in same_image_as.
    """
    nodes, first_face = [], {}
    kept = np.flatnonzero(embedded.refs >= 0)
    with _writing(out, META) as file:
        for row, (i, digest) in enumerate(zip(kept.tolist(), embedded.pictures["digest"][kept].tolist(),
                                               strict=True)):
            line = table.metadata[i]
            line["same_image_as"] = first_face.get(digest)
            if digest not in first_face:
                first_face[digest] = line["face_id"]
                nodes.append(row)
            file.write(orjson.dumps(line) + b"\n")
    return np.array(nodes, np.int64)
