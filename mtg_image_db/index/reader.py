"""The finished index as a query reads it: verify and open the files, find rows, describe faces, load the model.

    index, model = open_both(Path("index_out"), False, ModelOptions())
    cosines, rows = index.nearest(model.embed_photos(photos), k=5)

Reads   build_manifest.json, mtg_meta.jsonl, mtg_pictures.npy and mtg_cards.faiss (mtg_embeddings.npy for an exact
        search) in <index-dir>, mtg_printings.jsonl when it is needed, and model.onnx or the model's weights
Writes  nothing
"""
from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.artefacts import EMBEDDINGS, INDEX, META, MODEL, PICTURES, load_manifest, verify
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding import picture_hash
from mtg_image_db.embedding.embedder import pick_device, pick_precision
from mtg_image_db.embedding.models import recorded_spec, spec_from_manifest
from mtg_image_db.embedding.runtimes import ONNX, TORCH, AnyEmbedder, RunOptions, open_embedder, query_runtime
from mtg_image_db.index import hash_search, hnsw
from mtg_image_db.index.printings import PaperPrinting, Printings
from mtg_image_db.index.vectors import require_cards

ARTWORK, SAME_PICTURE = "illustration_id", "same_image_as"


class Measured(NamedTuple):
    """How alike a query and a face are: the cosine of their vectors, the similarity of the complete pictures, and that
    of their art in colour. Each is 1 for equal pictures."""
    cosine: float
    similarity: float
    art_similarity: float

    @property
    def score(self) -> float:
        """The mean of the three, by which matches are ranked."""
        return (self.cosine + self.similarity + self.art_similarity) / 3


@dataclass(frozen=True)
class Face:
    """A face of the index: its row, and its metadata."""
    row: int
    name: str
    set: str
    collector_number: str
    scryfall_id: str
    face_id: str
    image_url: str
    scryfall_uri: str
    artist: str
    card_name: str
    set_name: str
    lang: str
    layout: str
    rarity: str
    finishes: list[str]
    oracle_id: str | None
    illustration_id: str | None
    tcgplayer_id: int | None
    cardmarket_id: int | None


@dataclass(frozen=True)
class Match(Face):
    """A face of the index that matches a query. score ranks: it is the mean of cosine, similarity and art_similarity
    (see Measured), and 1 for the same picture."""
    rank: int
    score: float
    cosine: float
    similarity: float
    art_similarity: float


DESCRIBED = tuple(part.name for part in fields(Face)[1:])
# What a face has if the index was built by an earlier version, which did not know these keys.
ABSENT: dict[str, Any] = {"card_name": "", "set_name": "", "rarity": "", "finishes": [], "tcgplayer_id": None,
                          "cardmarket_id": None}


@dataclass(frozen=True)
class CardIndex:
    """An opened index, verified. metadata holds the JSON lines. hashes (uint8 [N, 32]) and art_hashes (uint8 [N, 96])
    are the perceptual hashes of the pictures and of their art windows. art_index searches the art_hashes. artworks maps
    an illustration_id to its rows. sharing maps a face_id to the rows that share its picture and are not nodes of the
    graph. nodes are the vectors of the others. Without a graph, every vector is compared and sharing is empty.
    printings is what printings_of asks."""
    manifest: dict[str, Any]
    metadata: list[bytes]
    hashes: NDArray[np.uint8]
    art_hashes: NDArray[np.uint8]
    sharing: dict[str, list[int]]
    artworks: dict[str, list[int]]
    art_index: Any
    nodes: hnsw.Nodes
    printings: Printings
    graph: Any = None

    def nearest(self, vectors: NDArray[np.float32], k: int, ef_search: int | None = None) -> hnsw.Found:
        """The k nearest rows of unit vectors [Q, D]: (cosines float32 [Q, k], rows int64 [Q, k], -1 for no row)."""
        if self.graph is None:
            return hnsw.search_exact(self.nodes.vectors, vectors, k)
        return hnsw.search(self.graph, vectors, k, ef_search)

    def nearest_by_art(self, hashes: NDArray[np.uint8], k: int) -> hnsw.Found:
        """The k rows with the art hashes nearest to some (uint8 [Q, 96]): (similarity of all 768 bits float32 [Q, k],
        rows int64 [Q, k], -1 for no row)."""
        return hash_search.search(self.art_index, hashes, k)

    def cosines(self, vector: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosines, float32 [n], of a unit vector (float32 [D]) and rows that a search has found (int64 [n])."""
        return self.nodes.of(rows) @ vector

    def face(self, row: int) -> dict[str, Any]:
        """The metadata of a row, parsed."""
        return orjson.loads(self.metadata[row])

    def described(self, row: int) -> dict[str, Any]:
        """The fields of a row's Face."""
        face = ABSENT | self.face(row)
        return {"row": row, **{name: face[name] for name in DESCRIBED}}

    def matches(self, measured: Mapping[int, Measured], k: int) -> list[Match]:
        """The matches of rows, at most k, the highest score first. Faces that share a picture are listed one after the
        other."""
        found: list[Match] = []
        for row in sorted(measured, key=lambda row: -measured[row].score):
            if len(found) == k:
                break
            for shown in [row, *self.sharing.get(self.face(row)["face_id"], ())][:k - len(found)]:
                found.append(self.match(shown, len(found) + 1, measured[row], measured[row].score))
        return found

    def match(self, row: int, rank: int, alike: Measured, score: float) -> Match:
        """The match of a row."""
        rounded: dict[str, Any] = {name: round(float(value), 4) for name, value in alike._asdict().items()}
        return Match(rank=rank, score=round(float(score), 4), **rounded, **self.described(row))

    def measured(self, row: int, rows: NDArray[np.int64], cosines: NDArray[np.float32]) -> dict[int, Measured]:
        """How alike the pictures of a row and of others (int64 [n]) are. Their cosines (float32 [n]) are known."""
        mine, others = (picture_hash.unpack(self.hashes[chosen]) for chosen in ([row], rows))
        my_art, their_art = (picture_hash.unpack(self.art_hashes[chosen]) for chosen in ([row], rows))
        alike = picture_hash.similarity(mine, others)[0]
        art = picture_hash.art_similarity(my_art, their_art)[0]
        numbers = zip(cosines.tolist(), alike.tolist(), art.tolist(), strict=True)
        return {other: Measured(*three) for other, three in zip(rows.tolist(), numbers, strict=True)}

    def rows_of_artwork(self, row: int) -> list[int]:
        """Every row with the same illustration_id or with the same picture. The given row comes first."""
        face = self.face(row)
        artwork = self.artworks.get(face.get(ARTWORK) or "", [])
        return list(dict.fromkeys([row, *self.sharing.get(face["face_id"], []), *artwork]))

    def printings_of(self, row: int) -> list[PaperPrinting]:
        """Every printing in paper of a row's artwork, the newest first, with and without a picture in the index. Empty
        if the index lists none. Raises SuiteError if the file that lists them does not match the manifest."""
        face = self.face(row)
        return self.printings.of_artwork(face.get(ARTWORK), face["name"])


@dataclass(frozen=True)
class ModelOptions:
    """How to run the index's model. pretrained is a tag or the path of its weights, if they have moved. photos is the
    number of photos to name, if it is known: the runtime depends on it."""
    pretrained: str | None = None
    run: RunOptions = field(default_factory=RunOptions)
    photos: int = 1


def read_index(index_dir: Path, exact: bool = False, manifest: dict[str, Any] | None = None) -> CardIndex:
    """Read and verify an index. manifest is its manifest, if the caller has read it already.

    Raises SuiteError if the index is missing or does not match its manifest.
    """
    manifest = manifest or load_manifest(index_dir)
    with ThreadPoolExecutor(1) as beside:  # hashing 230 MB takes 0.2 s, and the lookups of 54,000 lines 0.1 s
        checked = beside.submit(verify, index_dir, manifest, (EMBEDDINGS if exact else INDEX,))
        verify(index_dir, manifest, (META, PICTURES))
        sources = read_pictures(index_dir)
        lines = (index_dir / META).read_bytes().splitlines()
        sharing, artworks = _lookups(lines)
        checked.result()
    hashes, art_hashes = (np.ascontiguousarray(sources[name]) for name in ("hash", "art_hash"))
    graph = None
    if exact:
        vectors, sharing = np.load(index_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False), {}
        nodes = hnsw.Nodes(vectors, np.arange(len(vectors)))
    else:
        graph = hnsw.load(index_dir / INDEX, mapped=True)
        nodes = hnsw.nodes_of(graph)
    return CardIndex(manifest, lines, hashes, art_hashes, sharing, artworks,
                     hash_search.open_hashes(art_hashes, nodes.rows), nodes, Printings(index_dir, manifest), graph)


def read_pictures(index_dir: Path) -> NDArray[np.void]:
    """The picture of each row, with its hashes (checkpoint.SOURCE_DTYPE [N]). Raises SuiteError if an earlier version
    has built the index."""
    sources = np.load(index_dir / PICTURES, allow_pickle=False)
    if "art_hash" not in (sources.dtype.names or ()):
        raise SuiteError("Configuration Error", "the index was built by an older version of these scripts", index_dir,
                         "Run the build again as before. It keeps the vectors.")
    return sources


def open_model(index_dir: Path, manifest: dict[str, Any], options: ModelOptions) -> AnyEmbedder:
    """Load the model that the index was built with, on the runtime that suits. See runtimes.query_runtime.

    With PyTorch and precision `auto`, the build's precision is used if `auto` gives the same on this device: the build
    has already compared it with fp32. Raises SuiteError if the weights here are not those of the index, or if the
    network of the index is damaged.
    """
    run = options.run
    if _runtime_of(manifest, options) == ONNX:
        verify(index_dir, manifest, (MODEL,))
        return open_embedder(recorded_spec(manifest), ONNX, run, index_dir / MODEL)
    spec = spec_from_manifest(manifest, options.pretrained)
    if run.precision == "auto":
        built_at = manifest["parameters"]["precision"]
        usual = pick_precision("auto", pick_device(run.device))
        run = replace(run, precision=built_at if built_at in ("fp32", usual) else "auto")
    return open_embedder(spec, TORCH, run)


def open_both(index_dir: Path, exact: bool, options: ModelOptions) -> tuple[CardIndex, AnyEmbedder]:
    """Open the index and its model, to name cards. The runtime is imported while the files are checked."""
    manifest = load_manifest(index_dir)
    require_cards(index_dir, manifest)
    package = {ONNX: "onnxruntime", TORCH: "torch"}[_runtime_of(manifest, options)]
    threading.Thread(target=importlib.import_module, args=(package,)).start()
    index = read_index(index_dir, exact, manifest)
    return index, open_model(index_dir, manifest, options)


def _runtime_of(manifest: dict[str, Any], options: ModelOptions) -> str:
    """ONNX or TORCH. An index of an earlier version has no network, and weights of the user's choice need PyTorch."""
    spec = recorded_spec(manifest)
    has_network = MODEL in manifest["outputs"] and spec.fingerprint == manifest["model_fingerprint"]
    return query_runtime(options.run, has_network and not options.pretrained, spec, options.photos)


def _lookups(lines: Sequence[bytes]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """(rows by the face_id whose picture they share, rows by their illustration_id)."""
    sharing: dict[str, list[int]] = {}
    artworks: dict[str, list[int]] = {}
    for row, line in enumerate(lines):
        face = orjson.loads(line)
        for lookup, key in ((sharing, SAME_PICTURE), (artworks, ARTWORK)):
            if value := face.get(key):
                lookup.setdefault(value, []).append(row)
    return sharing, artworks
