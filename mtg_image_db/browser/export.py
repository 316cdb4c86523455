"""Index -> browser files: int8 vectors, the metadata in one JSON file, and the files for picture search.

    result = export(ExportOptions(Path("index_out"), Path("web/data"), cache=Path("image_cache")))

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <input-dir>; for the model also mtg_pictures.npy,
        the model's weights, and a few pictures in <cache> to compare its vectors on
Writes  <output-dir>/embeddings.i8bin (int8, N*D bytes, row-major, round(v*127)), meta.json and meta.json.gz;
        with the model also model.onnx, model.int8.onnx (if its vectors agree) and hashes.bin (uint8, N*128 bytes)
"""
from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.artefacts import (
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_MODEL,
    BROWSER_SMALL_MODEL,
    BROWSER_VECTORS,
    EMBEDDINGS,
    FORMAT_VERSIONS,
    META,
    PICTURES,
    load_manifest,
    verify,
)
from mtg_image_db.browser import metadata, onnx_model
from mtg_image_db.browser.freshness import build_id
from mtg_image_db.common import InvalidContent, atomic_file, open_pixels, sync
from mtg_image_db.console import SuiteError, disk_space, say
from mtg_image_db.embedding.checkpoint import content_digest
from mtg_image_db.embedding.embedder import AGREEMENT, prepare
from mtg_image_db.embedding.models import ModelSpec, spec_from_manifest
from mtg_image_db.index.hnsw import NEIGHBOURS, recall, search_exact
from mtg_image_db.index.reader import read_pictures
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition.namer import DECISION

if TYPE_CHECKING:
    import onnx

RECORDS_FORMAT, COLUMNS_FORMAT = FORMAT_VERSIONS["meta.json records"], FORMAT_VERSIONS["meta.json columns"]
SCALE = 127
BLOCK_ROWS = 8192  # rows that are rounded at a time
FIDELITY_SAMPLE = 500  # rows
MODEL_SAMPLE = 32  # pictures
SAME_VECTOR = 0.99  # the lowest cosine allowed between an ONNX model's vectors and the index's
GZIP_LEVEL = 6


@dataclass(frozen=True)
class ExportOptions:
    """The index to export, and the folder to write. compact writes the metadata in columns. cache has pictures to check
    the model on. Without it, the model is not exported. pretrained is the path of the model's weights, if moved."""
    input_dir: Path
    output_dir: Path
    compact: bool = False
    cache: Path | None = None
    pretrained: str | None = None


@dataclass(frozen=True)
class ExportResult:
    """The exported files. fidelity is the share of float32's results that int8 finds too (recall@1, recall@10)."""
    rows: int
    dimension: int
    fidelity: dict[str, float]
    bytes: dict[str, int]


@dataclass(frozen=True)
class BrowserModel:
    """The files that a page needs to search for pictures, by name, and their entry in meta.json."""
    files: dict[str, bytes] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)


def export(options: ExportOptions, manifest: dict[str, Any] | None = None) -> ExportResult:
    """Write the browser's files. manifest is the build's, if the caller has read it already.

    Raises SuiteError if the input is not a complete build, or if its model cannot be exported.
    """
    source, target = options.input_dir, options.output_dir
    manifest = manifest or load_manifest(source)
    verify(source, manifest, (EMBEDDINGS, META, PICTURES) if options.cache else (EMBEDDINGS, META))
    vectors = np.load(source / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
    records = (source / META).read_bytes().splitlines()
    if len(records) != len(vectors):
        raise SuiteError("Validation Error", "vectors and metadata do not belong together",
                         f"{len(vectors)} vectors, {len(records)} lines", "Run python build_embeddings.py again.")
    say(f"{len(vectors):,} vectors of {source} to export to {target}{', with the model' if options.cache else ''}.")
    model = browser_model(options, manifest, vectors) if options.cache else BrowserModel()
    target.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    quantised = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), BLOCK_ROWS):
        quantised[start:start + BLOCK_ROWS] = np.rint(vectors[start:start + BLOCK_ROWS] * SCALE)
    fidelity = measure_fidelity(vectors, quantised)
    built = manifest["parameters"]
    head = {"version": COLUMNS_FORMAT if options.compact else RECORDS_FORMAT,
            "quantization": {"dtype": "int8", "scale_factor": SCALE, "original_dtype": "float32",
                             "note": "Divide by scale_factor to get the unit vectors back."},
            "shape": list(vectors.shape), "model": built["model"], "fit": built["fit"], "size": built["target_size"],
            "fidelity": fidelity, "vectors_sha256": hashlib.sha256(quantised.data).hexdigest(),
            "build": build_id(manifest), **model.described}
    files: dict[str, Any] = {BROWSER_VECTORS: quantised.data, **model.files}
    needed = sum(memoryview(data).nbytes for data in files.values()) + 2 * (source / META).stat().st_size
    with disk_space(lambda: needed):
        _write_files(target, files, _meta_json(head, records, options.compact))
    old = sorted(name for name in {BROWSER_MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES} - files.keys()
                 if (target / name).exists())
    for name in old:
        (target / name).unlink()
    if old:
        say(f"Removed from {target}, as parts of an earlier export: {', '.join(old)}."
            + ("" if options.cache else " --with-model writes them anew."))
    rows, dimension = vectors.shape
    return ExportResult(rows, dimension, fidelity, {name: (target / name).stat().st_size for name in (
        *files, BROWSER_META, f"{BROWSER_META}.gz")})


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


def browser_model(options: ExportOptions, manifest: dict[str, Any], vectors: NDArray[np.float32]) -> BrowserModel:
    """The model as ONNX, and the hashes. Raises SuiteError if its vectors are not those of the index."""
    spec = spec_from_manifest(manifest, options.pretrained)
    sources = read_pictures(options.input_dir)
    rows, prepared = _sample_pictures(sources, options.cache or Path(), spec)

    def cosine(model: onnx.ModelProto) -> float:
        """The lowest cosine between the model's vectors and the index's."""
        return float((onnx_model.embed(model, prepared, spec) * vectors[rows]).sum(axis=1).min())

    full = onnx_model.export_tower(spec)
    if (agreement := cosine(full)) < SAME_VECTOR:
        raise SuiteError("Build Error", "the ONNX model does not give the index's vectors",
                         f"cosine {agreement:.4f} on {len(rows)} pictures of {options.cache}",
                         "Leave out --with-model, or build the index again.")
    files = {BROWSER_MODEL: full.SerializeToString()}
    models = [_identity(BROWSER_MODEL, files[BROWSER_MODEL]) | {"cosine": round(agreement, 5)}]
    small = onnx_model.with_int8_weights(full)
    if (agreement := cosine(small)) >= SAME_VECTOR:
        files[BROWSER_SMALL_MODEL] = small.SerializeToString()
        # A page uses the first model. int8 takes a quarter of the bytes, and is used if it changes almost nothing.
        models.insert(0 if agreement >= AGREEMENT else 1,
                      _identity(BROWSER_SMALL_MODEL, files[BROWSER_SMALL_MODEL]) | {"cosine": round(agreement, 5)})
    else:
        say(f"int8 weights change this model's vectors (cosine {agreement:.4f}): {BROWSER_SMALL_MODEL} is left out.")
    files[BROWSER_HASHES] = np.hstack([sources["hash"], sources["art_hash"]]).tobytes()
    return BrowserModel(files, {
        "embedding": {"models": models, "input": onnx_model.INPUT, "output": onnx_model.OUTPUT,
                      "resize": "bicubic, antialiased", "mean": spec.mean, "std": spec.std},
        "recognition": {"hashes": _identity(BROWSER_HASHES, files[BROWSER_HASHES]), **DECISION}})


def _identity(name: str, data: bytes) -> dict[str, Any]:
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _sample_pictures(sources: NDArray[np.void], cache: Path,
                     spec: ModelSpec) -> tuple[Sequence[int], NDArray[np.uint8]]:
    """(rows, input pictures for the model) of at most MODEL_SAMPLE rows whose cached picture has not changed."""
    rows, prepared = [], []
    for row in np.random.default_rng(0).permutation(len(sources)).tolist():
        path = cache / sources[row]["name"].decode()
        with contextlib.suppress(InvalidContent):  # damaged since the build: another picture is used
            data = path.read_bytes() if path.is_file() else b""
            if content_digest(data) == sources[row]["digest"].decode():
                prepared.append(prepare(open_pixels(data), spec))
                rows.append(row)
        if len(rows) == MODEL_SAMPLE:
            break
    if not rows:
        raise SuiteError("Configuration Error", "the cache has no indexed picture to check the model on",
                         f"--cache {cache}", "Name the folder the index was built from, or leave out --with-model.")
    return rows, np.stack(prepared)


def measure_fidelity(vectors: NDArray[np.float32], quantised: NDArray[np.int8]) -> dict[str, float]:
    """recall@1 and recall@10 of int8 rows against float32 rows. The float32 queries are sample rows (seed 0)."""
    sample = np.sort(np.random.default_rng(0).choice(len(vectors), min(FIDELITY_SAMPLE, len(vectors)), replace=False))
    exact_scores, exact = search_exact(vectors, vectors[sample], NEIGHBOURS)
    _, found = search_exact(quantised, vectors[sample], NEIGHBOURS)
    # Faces that share a picture have equal vectors. Any row that is as near as the nearest is right.
    nearest = np.einsum("qd,qd->q", vectors[sample], vectors[found[:, 0]]) >= exact_scores[:, 0] - 1e-6
    return {"recall_at_1": round(float(nearest.mean()), 4), "recall_at_10": round(recall(found, exact), 4),
            "sample_size": len(sample)}
