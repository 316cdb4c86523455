"""Name the card in a picture: embed it as the index was built, and print the nearest faces.

    python query_index.py photo.jpg --k 5 --html matches.html

Reads   the picture, and build_manifest.json, mtg_cards.faiss and mtg_meta.jsonl (mtg_embeddings.npy for
        --exact) in <index-dir>
Writes  matches to stdout; with --html one self-contained page
"""
from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import contact_sheet
import search_index
from artefacts import load_manifest, verify
from cli import ArgumentParser, existing_file, number, one_of, script
from common import (
    EMBEDDINGS,
    EXIT_NOTHING,
    EXIT_OK,
    INDEX,
    META,
    InvalidContent,
    SuiteError,
    map_ahead,
    open_picture,
    per_second,
    printable,
    say,
)
from embedder import DEVICES, PRECISIONS, Embedder, pick_device, pick_precision, prepare
from models import ModelSpec, describe_model, recorded_model
from scryfall import cache_name

if TYPE_CHECKING:
    from PIL.Image import Image

QUERY_BATCH = 64
FEW_PICTURES = 16  # turning the model to a lower precision takes longer than they do
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
class Query:
    """A picture asked for: its matches, best first, or why there are none."""
    path: Path
    matches: list[Match] = field(default_factory=list)
    error: str | None = None


@dataclass
class OpenIndex:
    """The artefacts a query needs, verified. metadata holds the JSON lines; vectors only for an exact search."""
    manifest: dict
    graph: Any
    metadata: list[bytes]
    sharing: dict[str, list[int]]
    vectors: np.ndarray | None


def open_index(index_dir: Path, exact: bool = False) -> OpenIndex:
    """Load and verify an index. Raises SuiteError where it is missing or does not match its manifest."""
    manifest = load_manifest(index_dir)
    verify(index_dir, manifest, (META, EMBEDDINGS if exact else INDEX))
    lines = (index_dir / META).read_bytes().splitlines()
    sharing: dict[str, list[int]] = {}
    for row, line in enumerate(lines):
        if SHARED_PICTURE in line:
            sharing.setdefault(json.loads(line)["same_image_as"], []).append(row)
    if exact:
        vectors = np.load(index_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
        return OpenIndex(manifest, None, lines, {}, vectors)  # every row is compared: nothing to add
    return OpenIndex(manifest, search_index.load(index_dir / INDEX), lines, sharing, None)


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


def find(index: OpenIndex, vectors: np.ndarray, k: int, ef_search: int | None = None) -> list[list[Match]]:
    """The k best faces for each unit vector [Q, D]; faces that share a picture follow each other."""
    if index.vectors is not None:
        scores, rows = search_index.search_exact(index.vectors, vectors, k)
    else:
        scores, rows = search_index.search(index.graph, vectors, k, ef_search)
    return [_matches(index, query_scores, query_rows, k)
            for query_scores, query_rows in zip(scores.tolist(), rows.tolist(), strict=True)]


def _matches(index: OpenIndex, scores: Sequence[float], rows: Sequence[int], k: int) -> list[Match]:
    found: list[Match] = []
    for score, row in zip(scores, rows, strict=True):
        if row < 0:
            continue
        face = json.loads(index.metadata[row])
        faces = [face, *(json.loads(index.metadata[other]) for other in index.sharing.get(face["face_id"], ()))]
        for face in faces[:k - len(found)]:
            found.append(Match(len(found) + 1, round(score, 6), **{
                name: face[name] for name in Match.__dataclass_fields__ if name not in ("rank", "score")}))
    return found


def run_queries(paths: Sequence[Path], index: OpenIndex, spec: ModelSpec, k: int, ef_search: int | None = None,
                device: str = "auto", precision: str = "auto") -> list[Query]:
    """Every picture's matches; one that cannot be read has an error instead."""
    queries = [Query(path) for path in paths]
    model = Embedder(spec, device, precision)
    pixels = map_ahead(lambda query: _read(query, spec), queries, os.cpu_count(), QUERY_BATCH)
    whole = ((query, picture) for query, picture in zip(queries, pixels, strict=True) if picture is not None)
    while batch := list(itertools.islice(whole, QUERY_BATCH)):
        vectors = model.embed(np.stack([picture for _, picture in batch]))
        for (query, _), vector in zip(batch, vectors, strict=True):
            if np.isfinite(vector[0]):
                query.matches = find(index, vector[None], k, ef_search)[0]
            else:
                query.error = "the model gave no finite vector"
    return queries


def _read(query: Query, spec: ModelSpec) -> np.ndarray | None:
    try:
        return prepare(open_picture(query.path), spec)
    except (InvalidContent, OSError) as error:
        query.error = str(error)
        return None


def text_lines(query: Query) -> Iterator[str]:
    for match in query.matches:
        yield printable(f"{match.rank}. {match.name} [{match.set} {match.collector_number}] "
                        f"score={match.score:.3f} {match.scryfall_uri or match.image_url}")


def _print(queries: Sequence[Query], as_json: bool) -> None:
    for query in queries:
        if as_json:
            error = {"error": query.error} if query.error else {}
            line = json.dumps({"query": str(query.path), "matches": [asdict(m) for m in query.matches], **error},
                              ensure_ascii=False)
            # names come from the network: what a terminal would obey stays escaped, as JSON allows
            print("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line))
            continue
        if len(queries) > 1:
            print(printable(query.path))
        for line in text_lines(query):
            print(line)


def write_sheet(path: Path, queries: Sequence[Query], index: OpenIndex, cache: Path) -> None:
    """The contact sheet of the queries; reference pictures come from the cache where they are there."""
    def picture(source: Path) -> Image | None:
        try:
            return open_picture(source)
        except (InvalidContent, OSError):
            return None

    built = index.manifest["parameters"]
    contact_sheet.write(path, f"{len(index.metadata):,} faces, {built['model']}", [
        contact_sheet.Row(query.path.name, picture(query.path), query.error,
                          [(match, picture(cache / cache_name(match.image_url))) for match in query.matches])
        for query in queries])


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("images", nargs="*", type=existing_file, metavar="IMAGE", help="pictures to name")
    parser.add_argument("--index-dir", type=Path, default=Path("index_out"), metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--k", type=number(int, 1), default=1, metavar="K", help="matches a picture (default: 1)")
    parser.add_argument("--ef-search", type=number(int, 1, search_index.MAX_EF), metavar="N",
                        help="effort of the search (default: what the index stores)")
    parser.add_argument("--exact", action="store_true", help="compare with every vector, without the graph")
    parser.add_argument("--json", action="store_true", help="one JSON object a picture, a line each")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of queries and matches")
    parser.add_argument("--cache", type=Path, default=Path("image_cache"), metavar="DIR",
                        help="pictures for --html; those not there are linked (default: image_cache)")
    parser.add_argument("--pretrained", metavar="TAG|FILE", help="the index's weights, where they have moved")
    parser.add_argument("--device", type=one_of(*DEVICES), default="auto", metavar="DEVICE",
                        help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--precision", type=one_of(*PRECISIONS), default="auto", metavar="P",
                        help="auto, fp32, bf16 or fp16 (default: auto, which is fp32 for few pictures)")
    args = parser.parse(argv, lambda args: ["IMAGE: name at least one picture"] if args.images == [] else ())
    load_manifest(args.index_dir)  # an error is said before the second begins that PyTorch takes to import
    threading.Thread(target=importlib.import_module, args=("torch",)).start()  # while the artefacts are checked
    index = open_index(args.index_dir, args.exact)
    spec = model_of(index.manifest, args.pretrained)
    say(f"Pictures to match: {len(args.images):,}, against {len(index.metadata):,} faces with {spec.model}.")
    built_at = index.manifest["parameters"]["precision"]
    precision = args.precision
    if precision == "auto" and len(args.images) < FEW_PICTURES:
        precision = "fp32"
    elif precision == "auto" and built_at in ("fp32", pick_precision("auto", pick_device(args.device))):
        precision = built_at  # the index's own; auto has compared it with fp32 then
    started = time.monotonic()
    queries = run_queries(args.images, index, spec, args.k, args.ef_search, args.device, precision)
    _print(queries, args.json)
    for query in queries:
        if query.error:
            say(str(SuiteError("Validation Error", "a picture could not be read", f"{query.path}: {query.error}",
                               "Give a whole JPEG, PNG, WEBP, GIF, BMP or TIFF.")))
    if args.html:
        write_sheet(args.html, queries, index, args.cache)
    named = sum(bool(query.matches) for query in queries)
    seconds = time.monotonic() - started
    say(f"Matched {named:,} of {len(queries):,} ({per_second(named, seconds)}/s)"
        + (f", shown in {args.html}." if args.html else "."))
    return EXIT_OK if named else EXIT_NOTHING


if __name__ == "__main__":
    sys.exit(main())
