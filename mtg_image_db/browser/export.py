"""Index -> browser files: int8 vectors, the metadata in one JSON file, and the files for picture search.

    result = export(ExportOptions(Path("index_out"), Path("web/data"), cache=Path("image_cache")))

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <input-dir>; for the model also mtg_pictures.npy,
        model.onnx, and a few pictures in <cache> to compare its vectors on
Writes  <output-dir>/embeddings.i8bin (int8, N*D bytes, row-major, round(v*127)), meta.json and meta.json.gz;
        with the model also model.onnx, model.int8.onnx (if its vectors agree), hashes.bin (uint8, N*128 bytes), the
        small networks, and printings.bin (if the index lists printings); with text also text.int8.onnx and
        text_tokenizer.json
"""
from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, USUAL, window_in
from mtg_image_db.artefacts import (
    ART_FORMAT_VERSIONS,
    BROWSER_ART,
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_NETWORKS,
    BROWSER_PRINTINGS,
    BROWSER_SMALL_MODEL,
    BROWSER_TEXT,
    BROWSER_VECTORS,
    FORMAT_VERSIONS,
    META,
    MODEL,
    PICTURES,
    PRINTINGS,
    load_manifest,
    verify,
)
from mtg_image_db.browser import metadata
from mtg_image_db.browser.freshness import build_id
from mtg_image_db.browser.int8_weights import int8_file
from mtg_image_db.browser.network_files import FINDING, ExportPart, contents, described, identity, reading
from mtg_image_db.browser.printing_blocks import packed
from mtg_image_db.browser.text_files import text_side
from mtg_image_db.common import atomic_file, sync
from mtg_image_db.console import SuiteError, disk_space, say
from mtg_image_db.embedding.embedder import AGREEMENT
from mtg_image_db.embedding.models import recorded_spec
from mtg_image_db.embedding.onnx_embedder import INPUT, OUTPUT, OnnxEmbedder
from mtg_image_db.index.hnsw import NEIGHBOURS, recall, search_exact
from mtg_image_db.index.model_file import SAME_VECTOR, embed_sample, sample_pictures
from mtg_image_db.index.reader import read_pictures
from mtg_image_db.index.vectors import open_rows, open_vectors, region_of, require_cards
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition.card_reader import READING
from mtg_image_db.recognition.collection import COLLECTION
from mtg_image_db.recognition.decision import DECISION
from mtg_image_db.recognition.text_reader import open_reader

RECORDS_FORMAT, COLUMNS_FORMAT = FORMAT_VERSIONS["meta.json records"], FORMAT_VERSIONS["meta.json columns"]
SCALE = 127
BLOCK_ROWS = 8192  # rows that are rounded at a time
FIDELITY_SAMPLE = 500  # rows
SMALL_ENOUGH = 20_000_000  # bytes of a network that needs no int8 weights
GZIP_LEVEL = 6


@dataclass(frozen=True)
class ExportOptions:
    """The index to export, and the folder to write. compact writes the metadata in columns. cache has pictures to check
    the model on. Without it, the model is not exported. reading adds the networks that read text to the model. art adds
    the vectors of the art. text adds the text side of the model, with or without the model itself."""
    input_dir: Path
    output_dir: Path
    compact: bool = False
    cache: Path | None = None
    reading: bool = False
    art: bool = False
    text: bool = False


@dataclass(frozen=True)
class ExportResult:
    """The exported files. fidelity is the share of float32's results that int8 finds too (recall@1, recall@10)."""
    rows: int
    dimension: int
    fidelity: dict[str, float]
    bytes: dict[str, int]


def export(options: ExportOptions, manifest: dict[str, Any] | None = None) -> ExportResult:
    """Write the browser's files. manifest is the build's, if the caller has read it already.

    Raises SuiteError if the input is not a complete build, or if its model cannot be exported.
    """
    source, target = options.input_dir, options.output_dir
    manifest = manifest or load_manifest(source)
    if options.cache:
        verify(source, manifest, (PICTURES,))
    vectors, records = open_rows(source, manifest, region_of(manifest))
    if options.art and region_of(manifest) == ART:
        raise SuiteError("Invalid Arguments", "the exported vectors are those of the art already", "--with-art",
                         "Leave out --with-art: the page finds similar art with them.")
    art = _quantised(open_vectors(source, manifest, ART)) if options.art else None
    asked = {"model": options.cache, "words": options.text, "art": options.art}
    parts = [part for part, is_wanted in asked.items() if is_wanted]
    say(f"{len(vectors):,} vectors of {source} to export to {target}"
        f"{', with the ' if parts else ''}{' and the '.join(parts)}.")
    text = text_side(source, manifest, len(vectors)) if options.text else ExportPart()
    model = browser_model(options, manifest, vectors, records) if options.cache else ExportPart()
    target.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    quantised = _quantised(vectors)
    fidelity = measure_fidelity(vectors, quantised)
    built = manifest["parameters"]
    version = COLUMNS_FORMAT if options.compact else RECORDS_FORMAT
    head = {"version": ART_FORMAT_VERSIONS[version] if region_of(manifest) == ART else version,
            "quantization": {"dtype": "int8", "scale_factor": SCALE, "original_dtype": "float32",
                             "note": "Divide by scale_factor to get the unit vectors back."},
            "shape": list(vectors.shape), "model": built["model"], "fit": built["fit"], "size": built["target_size"],
            "region": region_of(manifest), "fidelity": fidelity,
            "vectors_sha256": hashlib.sha256(quantised.data).hexdigest(),
            "build": build_id(manifest), "collection": COLLECTION, **model.described,
            **text.described}
    ours = manifest["outputs"].keys() if target.resolve() == source.resolve() else set()  # these are there
    exported: dict[str, Any] = {BROWSER_VECTORS: quantised.data, **model.files, **text.files}
    if art is not None:
        exported[BROWSER_ART] = art.reshape(-1).data
        head["art"] = identity(BROWSER_ART, exported[BROWSER_ART])
    files = {name: data for name, data in exported.items() if name not in ours}
    needed = sum(memoryview(data).nbytes for data in files.values()) + 2 * (source / META).stat().st_size
    with disk_space(lambda: needed):
        _write_files(target, files, _meta_json(head, records, options.compact))
    wanted = {"--with-text": (options.text, {*BROWSER_TEXT}), "--with-art": (options.art, {BROWSER_ART}),
              "--with-model": (options.cache, {MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES, BROWSER_PRINTINGS,
                                               *BROWSER_NETWORKS})}
    optional = {name for _, names in wanted.values() for name in names}
    old = sorted(name for name in optional - files.keys() - ours if (target / name).exists())
    for name in old:
        (target / name).unlink()
    if old:
        flags = [flag for flag, (is_wanted, names) in wanted.items() if names.intersection(old) and not is_wanted]
        say(f"Removed from {target}, as parts of an earlier export: {', '.join(old)}."
            + (f" {' and '.join(flags)} write{'s' * (len(flags) == 1)} them anew." if flags else ""))
    rows, dimension = vectors.shape
    return ExportResult(rows, dimension, fidelity, {name: (target / name).stat().st_size for name in (
        *exported, BROWSER_META, f"{BROWSER_META}.gz")})


def _quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    quantised = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), BLOCK_ROWS):
        quantised[start:start + BLOCK_ROWS] = np.rint(vectors[start:start + BLOCK_ROWS] * SCALE)
    return quantised


def _write_files(target: Path, files: dict[str, Any], meta: Iterator[bytes]) -> None:
    """Write all files to the disk. Then put them in place, the metadata last. Only an interruption between two renames
    can leave files of two exports."""
    with contextlib.ExitStack() as opened:
        plain, gz_file, *others = [opened.enter_context(atomic_file(target / name))
                                   for name in (BROWSER_META, f"{BROWSER_META}.gz", *files)]
        for file, data in zip(others, files.values(), strict=True):
            file.write(data)
        with gzip.GzipFile(fileobj=gz_file, mode="wb", filename="", compresslevel=GZIP_LEVEL, mtime=0) as packed:
            for part in meta:
                plain.write(part)
                packed.write(part)
        for file in (plain, gz_file, *others):
            sync(file)


def _meta_json(head: dict[str, Any], records: list[bytes], compact: bool) -> Iterator[bytes]:
    yield orjson.dumps(head)[:-1] + (b',"columns":' if compact else b',"records":')
    yield from metadata.columns(records) if compact else metadata.rows(records)
    yield b"}"


def browser_model(options: ExportOptions, manifest: dict[str, Any], vectors: NDArray[np.float32],
                  records: list[bytes]) -> ExportPart:
    """The model as ONNX, and the hashes. Raises SuiteError if the index has no network, or its vectors are others."""
    require_cards(options.input_dir, manifest)
    spec, sources = recorded_spec(manifest), read_pictures(options.input_dir)
    if MODEL not in manifest["outputs"]:
        raise SuiteError("Configuration Error", f"the index has no {MODEL}", options.input_dir,
                         "Run the build again as before, and see what it says of the model. It keeps the vectors.")
    verify(options.input_dir, manifest, (MODEL,))
    windows = [window_in(orjson.loads(record)) for record in records] if spec.region == ART else None
    rows, pictures = sample_pictures(sources, options.cache or Path(), windows)
    if not rows:
        raise SuiteError("Configuration Error", "the cache has no indexed picture to check the model on",
                         f"--cache {options.cache}",
                         "Name the folder the index was built from, or leave out --with-model.")

    def cosine(network: bytes) -> float:
        """The lowest cosine between the network's vectors and the index's."""
        return float((embed_sample(OnnxEmbedder(spec, network), pictures) * vectors[rows]).sum(axis=1).min())

    files = {MODEL: (options.input_dir / MODEL).read_bytes()}
    if (agreement := cosine(files[MODEL])) < SAME_VECTOR:
        raise SuiteError("Build Error", "the ONNX model does not give the index's vectors",
                         f"cosine {agreement:.4f} on {len(rows)} pictures of {options.cache}",
                         "Leave out --with-model, or build the index again.")
    models = [identity(MODEL, files[MODEL]) | {"cosine": round(agreement, 5)}]
    small = int8_file(files[MODEL])
    if small is None and len(files[MODEL]) < SMALL_ENOUGH:
        pass  # a page loads it as it is
    elif small is None:
        say(f"{BROWSER_SMALL_MODEL} is left out: it needs the package onnx (pip install -r requirements.txt).")
    elif (agreement := cosine(small)) >= SAME_VECTOR:
        files[BROWSER_SMALL_MODEL] = small
        # A page uses the first model. int8 takes a quarter of the bytes, and is used if it changes almost nothing.
        models.insert(0 if agreement >= AGREEMENT else 1,
                      identity(BROWSER_SMALL_MODEL, small) | {"cosine": round(agreement, 5)})
    else:
        say(f"int8 weights change this model's vectors (cosine {agreement:.4f}): {BROWSER_SMALL_MODEL} is left out.")
    files |= {BROWSER_HASHES: np.hstack([sources["hash"], sources["art_hash"]]).tobytes(), **contents(FINDING)}
    recognition = {"hashes": identity(BROWSER_HASHES, files[BROWSER_HASHES]), **DECISION, "reading": READING,
                   "networks": described(FINDING)}
    if PRINTINGS in manifest["outputs"]:
        verify(options.input_dir, manifest, (PRINTINGS,))
        files[BROWSER_PRINTINGS] = packed(options.input_dir / PRINTINGS)
        recognition["printings"] = identity(BROWSER_PRINTINGS, files[BROWSER_PRINTINGS])
    if options.reading:
        files |= contents(reading())
        recognition["reading"] = {**READING, "networks": described(reading()), "positions": open_reader().positions}
    return ExportPart(files, {
        "embedding": {"models": models, "input": INPUT, "output": OUTPUT,
                      "resize": "bicubic, antialiased", "mean": spec.mean, "std": spec.std,
                      "window": list(USUAL[:4]) if spec.region == ART else None},
        "recognition": recognition})


def measure_fidelity(vectors: NDArray[np.float32], quantised: NDArray[np.int8]) -> dict[str, float]:
    """recall@1 and recall@10 of int8 rows against float32 rows. The float32 queries are sample rows (seed 0)."""
    sample = np.sort(np.random.default_rng(0).choice(len(vectors), min(FIDELITY_SAMPLE, len(vectors)), replace=False))
    exact_scores, exact = search_exact(vectors, vectors[sample], NEIGHBOURS)
    _, found = search_exact(quantised, vectors[sample], NEIGHBOURS)
    # Faces that share a picture have equal vectors. Any row that is as near as the nearest is right.
    nearest = np.einsum("qd,qd->q", vectors[sample], vectors[found[:, 0]]) >= exact_scores[:, 0] - 1e-6
    return {"recall_at_1": round(float(nearest.mean()), 4), "recall_at_10": round(recall(found, exact), 4),
            "sample_size": len(sample)}
