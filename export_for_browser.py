"""Index -> browser files: int8 vectors and the metadata in one JSON file.

    python export_for_browser.py --input-dir index_out --output-dir web/data

Reads   build_manifest.json, mtg_embeddings.npy and mtg_meta.jsonl in <input-dir>
Writes  <output-dir>/embeddings.i8bin (int8, N*D bytes, row-major, round(v*127)) and meta.json
"""
from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from artefacts import load_manifest, verify
from cli import ArgumentParser, script
from common import (
    BROWSER_META,
    BROWSER_VECTORS,
    EMBEDDINGS,
    EXIT_OK,
    META,
    SuiteError,
    atomic_file,
    disk_space,
    remove_leftovers,
    say,
)
from search_index import NEIGHBOURS, recall, search_exact

FORMAT = "1.0"
SCALE = 127
BLOCK_ROWS = 8192
FIDELITY_SAMPLE = 500


@dataclass(frozen=True)
class ExportResult:
    """What was written. fidelity: how often int8 finds what float32 finds (recall@1, recall@10)."""
    rows: int
    dimension: int
    fidelity: dict[str, float]
    bytes: int


def export(input_dir: Path, output_dir: Path) -> ExportResult:
    """Write both browser files. Raises SuiteError where the input is no whole build."""
    manifest = load_manifest(input_dir)
    verify(input_dir, manifest, (EMBEDDINGS, META))
    vectors = np.load(input_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
    records = (input_dir / META).read_bytes().splitlines()
    if len(records) != len(vectors):
        raise SuiteError("Validation Error", "vectors and metadata do not belong together",
                         f"{len(vectors)} vectors, {len(records)} lines", "Run python build_embeddings.py again.")
    say(f"{len(vectors):,} vectors of {input_dir} to export to {output_dir}.")
    output_dir.mkdir(parents=True, exist_ok=True)
    remove_leftovers(output_dir)
    quantised = np.empty(vectors.shape, np.int8)
    for start in range(0, len(vectors), BLOCK_ROWS):
        quantised[start:start + BLOCK_ROWS] = np.rint(vectors[start:start + BLOCK_ROWS] * SCALE)
    fidelity = measure_fidelity(vectors, quantised)
    built = manifest["parameters"]
    head = {"version": FORMAT,
            "quantization": {"dtype": "int8", "scale_factor": SCALE, "original_dtype": "float32",
                             "note": "Divide by scale_factor to get the unit vectors back."},
            "shape": list(vectors.shape), "model": built["model"], "fit": built["fit"], "size": built["target_size"],
            "fidelity": fidelity, "vectors_sha256": hashlib.sha256(quantised.data).hexdigest()}
    # both written before either is put in place: an interruption hardly ever leaves one of each
    with disk_space(lambda: quantised.nbytes + (input_dir / META).stat().st_size), \
            atomic_file(output_dir / BROWSER_VECTORS) as vectors_file, atomic_file(output_dir / BROWSER_META) as file:
        vectors_file.write(quantised.data)
        vectors_file.flush()
        os.fsync(vectors_file.fileno())
        file.write(orjson.dumps(head)[:-1] + b',"records":[')
        for row, record in enumerate(records):  # JSON already: 500,000 of them are not parsed again
            file.write(b"," * (row > 0) + record)
        file.write(b"]}")
    written = sum((output_dir / name).stat().st_size for name in (BROWSER_VECTORS, BROWSER_META))
    return ExportResult(*vectors.shape, fidelity, written)


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
    parser.add_argument("--output-dir", type=Path, default=Path("index_out"), metavar="DIR",
                        help="where to write the browser's files (default: index_out)")
    args = parser.parse(argv)
    result = export(args.input_dir, args.output_dir)
    say(f"Exported {result.rows:,} x {result.dimension} int8 vectors, {result.bytes / 1e6:,.1f} MB with metadata "
        f"(recall@1 {result.fidelity['recall_at_1']}, recall@10 {result.fidelity['recall_at_10']} of float32), "
        f"to {args.output_dir}.")
    say(f"Next: python -m http.server --bind 127.0.0.1 --directory {args.output_dir}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
