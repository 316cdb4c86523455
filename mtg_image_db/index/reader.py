"""The finished index as a query sees it: artefacts verified and opened, rows found, faces described.

Reads   build_manifest.json, mtg_meta.jsonl, mtg_pictures.npy and mtg_cards.faiss (mtg_embeddings.npy for an exact
        search) in <index-dir>
Writes  nothing
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mtg_image_db.artefacts import load_manifest, verify
from mtg_image_db.common import EMBEDDINGS, INDEX, META, PICTURES, SuiteError
from mtg_image_db.embedding.embedder import pick_device, pick_precision
from mtg_image_db.embedding.models import ModelSpec, describe_model, recorded_model
from mtg_image_db.index import hnsw

SHARED_PICTURE = b'"same_image_as":"'


@dataclass(frozen=True)
class Match:
    """One face of the index for a query; score is the cosine of the two vectors."""
    rank: int
    score: float
    name: str
    set: str
    collector_number: str
    scryfall_id: str
    face_id: str
    image_url: str
    scryfall_uri: str
    artist: str


@dataclass
class CardIndex:
    """The artefacts a query needs, verified. metadata holds the JSON lines, hashes (uint8 [N, 32]) what the pictures
    look like; vectors only for an exact search."""
    manifest: dict
    graph: Any
    metadata: list[bytes]
    hashes: np.ndarray
    sharing: dict[str, list[int]]
    vectors: np.ndarray | None

    def nearest(self, vectors: np.ndarray, k: int, ef_search: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(cosines float32 [Q, k], rows int64 [Q, k], -1 where there is none) for unit vectors [Q, D]."""
        if self.vectors is not None:
            return hnsw.search_exact(self.vectors, vectors, k)
        return hnsw.search(self.graph, vectors, k, ef_search)

    def face(self, row: int) -> dict:
        """The metadata of a row."""
        return json.loads(self.metadata[row])

    def matches(self, scores: Sequence[float], rows: Sequence[int], k: int) -> list[Match]:
        """At most k faces for rows, best first; faces that share a picture follow each other."""
        found: list[Match] = []
        for score, row in zip(scores, rows, strict=True):
            if row < 0:
                continue
            face = self.face(row)
            faces = [face, *(self.face(other) for other in self.sharing.get(face["face_id"], ()))]
            for face in faces[:k - len(found)]:
                found.append(Match(len(found) + 1, round(float(score), 6), **{
                    name: face[name] for name in Match.__dataclass_fields__ if name not in ("rank", "score")}))
        return found

    def rows_of_artwork(self, row: int) -> list[int]:
        """Every row with the row's illustration_id, or with its very picture."""
        face = self.face(row)
        found = [row, *self.sharing.get(face["face_id"], ())]
        if face.get("illustration_id"):
            key = b'"illustration_id":' + orjson.dumps(face["illustration_id"])  # as the build writes it
            found += [other for other, line in enumerate(self.metadata) if key in line]
        return list(dict.fromkeys(found))


def open_index(index_dir: Path, exact: bool = False) -> CardIndex:
    """Load and verify an index. Raises SuiteError where it is missing or does not match its manifest."""
    manifest = load_manifest(index_dir)
    verify(index_dir, manifest, (META, PICTURES, EMBEDDINGS if exact else INDEX))
    lines = (index_dir / META).read_bytes().splitlines()
    pictures = np.load(index_dir / PICTURES, allow_pickle=False)
    if "hash" not in (pictures.dtype.names or ()):
        raise SuiteError("Configuration Error", "the index was built by an older version of these scripts", index_dir,
                         "Run the build again as before.")
    hashes = np.ascontiguousarray(pictures["hash"])
    sharing: dict[str, list[int]] = {}
    if exact:  # every row is compared: nothing to add
        vectors = np.load(index_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
        return CardIndex(manifest, None, lines, hashes, sharing, vectors)
    for row, line in enumerate(lines):
        if SHARED_PICTURE in line:
            sharing.setdefault(json.loads(line)["same_image_as"], []).append(row)
    return CardIndex(manifest, hnsw.load(index_dir / INDEX), lines, hashes, sharing, None)


def model_of(manifest: dict, pretrained: str | None = None) -> ModelSpec:
    """The model the index was built with; pretrained names its weights where they have moved.

    Raises SuiteError where the weights here are not those of the index.
    """
    built = manifest["parameters"]
    if pretrained is None and (spec := recorded_model(built, manifest["model_fingerprint"])):
        return spec
    spec = describe_model(built["model"], pretrained or built["pretrained"], built["fit"], built["target_size"])
    if spec.fingerprint != manifest["model_fingerprint"]:
        raise SuiteError("Configuration Error", "the weights are not those the index was built with",
                         f"{spec.model} from {spec.weights.path}", "Give the right file with --pretrained, or rebuild.")
    return spec


def precision_of(manifest: dict, device: str = "auto") -> str:
    """The precision the index was built at where this device would choose it too: auto has compared it with fp32
    then. Else auto."""
    built_at = manifest["parameters"]["precision"]
    return built_at if built_at in ("fp32", pick_precision("auto", pick_device(device))) else "auto"
