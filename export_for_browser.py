"""Index -> browser files: int8 vectors and the metadata in one JSON file; with the model, pictures can be searched too.

    python export_for_browser.py --input-dir index_out --output-dir web/data --with-model

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <input-dir>; --with-model also mtg_pictures.npy,
        the model's weights, and a few pictures in <cache> to measure on
Writes  <output-dir>/embeddings.i8bin (int8, N*D bytes, row-major, round(v*127)), meta.json and meta.json.gz;
        --with-model also model.onnx, model.int8.onnx (where it is as good) and hashes.bin (uint8, N*32 bytes)
"""
from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from mtg_image_db.artefacts import load_manifest, verify
from mtg_image_db.browser import metadata, onnx_model
from mtg_image_db.common import (
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_MODEL,
    BROWSER_SMALL_MODEL,
    BROWSER_VECTORS,
    EMBEDDINGS,
    EXIT_OK,
    META,
    PICTURES,
    InvalidContent,
    SuiteError,
    atomic_file,
    disk_space,
    open_picture,
    remove_leftovers,
    require_directory,
    say,
)
from mtg_image_db.console import ArgumentParser, directory, script
from mtg_image_db.embedding.embedder import AGREEMENT, prepare
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.index.hnsw import NEIGHBOURS, recall, search_exact
from mtg_image_db.index.reader import model_of
from mtg_image_db.recognition.namer import ACCEPTED

FORMAT, COMPACT_FORMAT = "1.0", "2.0"
SCALE = 127
BLOCK_ROWS = 8192
FIDELITY_SAMPLE = 500
MODEL_SAMPLE = 32  # pictures
SAME_VECTOR = 0.99  # cosine, at least, of an ONNX model's vectors to the index's
GZIP_LEVEL = 6


@dataclass(frozen=True)
class ExportResult:
    """What was written. fidelity: how often int8 finds what float32 finds (recall@1, recall@10)."""
    rows: int
    dimension: int
    fidelity: dict[str, float]
    bytes: dict[str, int]


@dataclass(frozen=True)
class BrowserModel:
    """What a page needs to search for pictures: the files by name, and what meta.json says of them."""
    files: dict[str, bytes]
    about: dict


def export(input_dir: Path, output_dir: Path, compact: bool = False, cache: Path | None = None,
           pretrained: str | None = None) -> ExportResult:
    """Write the browser's files; with the pictures in cache to measure on, the model too. pretrained names its
    weights where they have moved.

    Raises SuiteError where the input is no whole build, or its model cannot be given.
    """
    manifest = load_manifest(input_dir)
    verify(input_dir, manifest, (EMBEDDINGS, META, PICTURES) if cache else (EMBEDDINGS, META))
    vectors = np.load(input_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
    records = (input_dir / META).read_bytes().splitlines()
    if len(records) != len(vectors):
        raise SuiteError("Validation Error", "vectors and metadata do not belong together",
                         f"{len(vectors)} vectors, {len(records)} lines", "Run python build_embeddings.py again.")
    say(f"{len(vectors):,} vectors of {input_dir} to export to {output_dir}{', with the model' if cache else ''}.")
    model = browser_model(input_dir, manifest, vectors, cache, pretrained) if cache else BrowserModel({}, {})
    output_dir.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output_dir)
    quantised = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), BLOCK_ROWS):
        quantised[start:start + BLOCK_ROWS] = np.rint(vectors[start:start + BLOCK_ROWS] * SCALE)
    fidelity = measure_fidelity(vectors, quantised)
    built = manifest["parameters"]
    head = {"version": COMPACT_FORMAT if compact else FORMAT,
            "quantization": {"dtype": "int8", "scale_factor": SCALE, "original_dtype": "float32",
                             "note": "Divide by scale_factor to get the unit vectors back."},
            "shape": list(vectors.shape), "model": built["model"], "fit": built["fit"], "size": built["target_size"],
            "fidelity": fidelity, "vectors_sha256": hashlib.sha256(quantised.data).hexdigest(), **model.about}
    files = {BROWSER_VECTORS: quantised.data, **model.files}
    needed = sum(memoryview(data).nbytes for data in files.values()) + 2 * (input_dir / META).stat().st_size
    # all on the disk before any is put in place, the metadata last: an interruption hardly ever leaves two exports
    with disk_space(lambda: needed), contextlib.ExitStack() as opened:
        opened_files = [opened.enter_context(atomic_file(output_dir / name))
                        for name in (BROWSER_META, f"{BROWSER_META}.gz", *files)]
        plain, gz_file, *others = opened_files
        for file, data in zip(others, files.values(), strict=True):
            file.write(data)
        with gzip.GzipFile(fileobj=gz_file, mode="wb", filename="", compresslevel=GZIP_LEVEL, mtime=0) as packed:
            for part in _meta_json(head, records, compact):
                plain.write(part)
                packed.write(part)
        for file in opened_files:
            file.flush()
            os.fsync(file.fileno())
    for name in {BROWSER_MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES} - files.keys():  # of an earlier export
        (output_dir / name).unlink(missing_ok=True)
    return ExportResult(*vectors.shape, fidelity, {name: (output_dir / name).stat().st_size for name in (
        *files, BROWSER_META, f"{BROWSER_META}.gz")})


def _meta_json(head: dict, records: list[bytes], compact: bool) -> Iterator[bytes]:
    yield orjson.dumps(head)[:-1] + (b',"columns":' if compact else b',"records":')
    yield from metadata.columns(records) if compact else metadata.rows(records)
    yield b"}"


def browser_model(input_dir: Path, manifest: dict, vectors: np.ndarray, cache: Path,
                  pretrained: str | None = None) -> BrowserModel:
    """The model as ONNX and the hashes that decide. Raises SuiteError where its vectors are not those of the index."""
    spec = model_of(manifest, pretrained)
    pictures = np.load(input_dir / PICTURES, allow_pickle=False)
    rows, prepared = _sample_pictures(pictures, cache, spec)

    def cosine(model) -> float:
        """The least one to the index's vectors."""
        return float((onnx_model.embed(model, prepared, spec) * vectors[rows]).sum(axis=1).min())

    whole = onnx_model.tower(spec)
    if (agreement := cosine(whole)) < SAME_VECTOR:
        raise SuiteError("Build Error", "the ONNX model does not give the index's vectors",
                         f"cosine {agreement:.4f} on {len(rows)} pictures of {cache}",
                         "Leave out --with-model, or build the index again.")
    files = {BROWSER_MODEL: whole.SerializeToString()}
    models = [_identity(BROWSER_MODEL, files[BROWSER_MODEL]) | {"cosine": round(agreement, 5)}]
    small = onnx_model.with_int8_weights(whole)
    if (agreement := cosine(small)) >= SAME_VECTOR:
        files[BROWSER_SMALL_MODEL] = small.SerializeToString()
        # a page takes the first: a quarter of the bytes where nearly nothing is lost, as with a lower precision
        models.insert(0 if agreement >= AGREEMENT else 1,
                      _identity(BROWSER_SMALL_MODEL, files[BROWSER_SMALL_MODEL]) | {"cosine": round(agreement, 5)})
    else:
        say(f"int8 weights change this model's vectors (cosine {agreement:.4f}): {BROWSER_SMALL_MODEL} is left out.")
    about = {"models": models, "input": onnx_model.INPUT, "output": onnx_model.OUTPUT, "resize": "bicubic, antialiased",
             "mean": spec.mean, "std": spec.std}
    files[BROWSER_HASHES] = pictures["hash"].tobytes()
    return BrowserModel(files, {"embedding": about, "recognition": {
        "hashes": _identity(BROWSER_HASHES, files[BROWSER_HASHES]), "accepted": ACCEPTED}})


def _identity(name: str, data: bytes) -> dict:
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _sample_pictures(pictures: np.ndarray, cache: Path, spec: ModelSpec) -> tuple[list[int], np.ndarray]:
    """(rows, what the model is shown of their pictures) of at most MODEL_SAMPLE whose cached picture is unchanged."""
    rows, prepared = [], []
    for row in np.random.default_rng(0).permutation(len(pictures)).tolist():
        path = cache / pictures[row]["name"].decode()
        with contextlib.suppress(InvalidContent):  # damaged since: another one does
            if path.is_file() and path.stat().st_mtime_ns == pictures[row]["mtime_ns"]:
                prepared.append(prepare(open_picture(path), spec))
                rows.append(row)
        if len(rows) == MODEL_SAMPLE:
            break
    if not rows:
        raise SuiteError("Configuration Error", "no indexed picture is in the cache, and the model is measured on some",
                         f"--cache {cache}", "Name the folder the index was built from, or leave out --with-model.")
    return rows, np.stack(prepared)


def measure_fidelity(vectors: np.ndarray, quantised: np.ndarray) -> dict[str, float]:
    """recall@1 and recall@10 of int8 rows against float32 rows, float32 queries, on sample rows (seed 0)."""
    sample = np.sort(np.random.default_rng(0).choice(len(vectors), min(FIDELITY_SAMPLE, len(vectors)), replace=False))
    exact_scores, exact = search_exact(vectors, vectors[sample], NEIGHBOURS)
    _, found = search_exact(quantised, vectors[sample], NEIGHBOURS)
    # a row whose picture several faces share ties with them: any row as near as the nearest is right
    nearest = np.einsum("qd,qd->q", vectors[sample], vectors[found[:, 0]]) >= exact_scores[:, 0] - 1e-6
    return {"recall_at_1": round(float(nearest.mean()), 4), "recall_at_10": round(recall(found, exact), 4),
            "sample_size": len(sample)}


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--input-dir", type=Path, default=Path("index_out"), metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--output-dir", type=directory, default=Path("index_out"), metavar="DIR",
                        help="where to write the browser's files (default: index_out)")
    parser.add_argument("--with-model", action="store_true",
                        help="also write the model, with which a page searches for pictures")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="pictures to measure the model on (default: image_cache beside <input-dir>)")
    parser.add_argument("--pretrained", metavar="FILE", help="where the model's weights are, if they have moved")
    parser.add_argument("--compact", action="store_true",
                        help="write the metadata in columns: a fourth of the bytes, for pages that read this form")
    args = parser.parse(argv)
    cache = args.cache or args.input_dir.resolve().parent / "image_cache"
    if args.with_model:
        require_directory(cache, "cache", "Name it with --cache, or leave out --with-model.")
    result = export(args.input_dir, args.output_dir, args.compact, cache if args.with_model else None,
                    args.pretrained)
    sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in result.bytes.items())
    say(f"Exported {result.rows:,} x {result.dimension} int8 vectors (recall@1 {result.fidelity['recall_at_1']}, "
        f"recall@10 {result.fidelity['recall_at_10']} of float32) to {args.output_dir}: {sizes}.")
    say(f"Next: python scripts/serve.py --index-dir {args.input_dir}" if args.output_dir == args.input_dir else
        f"Next: cp -r web/*.js web/vendor {args.output_dir}, beside a page of yours that imports search.js.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
