"""What build_manifest.json says of a build: parameters, counts, stages, and the software that made it.

Reads   the download's manifest and the previous build's in <out>
Writes  nothing: artefacts.commit writes the manifest, last of all files
"""
from __future__ import annotations

import argparse
import platform
import subprocess
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np

from mtg_image_db.artefacts import read_manifest
from mtg_image_db.common import DOWNLOAD_MANIFEST, VERSION, read_json, utc_now
from mtg_image_db.embedding.embed_pictures import Embedded
from mtg_image_db.embedding.models import ModelSpec, record
from mtg_image_db.index.hnsw import Quality
from mtg_image_db.index.rows import FaceTable
from mtg_image_db.scryfall.bulk import Snapshot


class Clock:
    """Seconds of each stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def manifest_of(args: argparse.Namespace, snapshot: Snapshot, spec: ModelSpec, table: FaceTable, embedded: Embedded,
                vectors: np.ndarray, nodes: np.ndarray, quality: Quality, clock: Clock) -> dict:
    """The manifest but for `outputs`, which are known when the files are in place."""
    previous = read_manifest(args.out)
    return {"version": VERSION, "timestamp": utc_now(), "parameters": _parameters(args, spec, embedded, previous),
            "statistics": _statistics(table, embedded, vectors, nodes, clock), "quality": asdict(quality),
            "environment": _environment(spec, embedded, previous),
            "source": {"kind": snapshot.kind, "updated_at": snapshot.updated_at},
            "model_fingerprint": spec.fingerprint, "download": read_json(args.out / DOWNLOAD_MANIFEST),
            "git_commit": _git_commit()}


def _parameters(args: argparse.Namespace, spec: ModelSpec, embedded: Embedded, previous: dict | None) -> dict:
    """As the vectors were made: where none was new, device and precision are the previous build's."""
    made = (previous or {}).get("parameters", {}) | embedded.made_with
    return {"kind": args.kind, "image_size": args.image_size, "limit": args.limit, **record(spec),
            "batch_size": args.batch, "hnsw_m": args.hnsw_m, "hnsw_ef_construction": args.hnsw_ef_construction,
            "hnsw_ef_search": args.hnsw_ef_search, "precision": made.get("precision"), "device": made.get("device")}


def _statistics(table: FaceTable, embedded: Embedded, vectors: np.ndarray, nodes: np.ndarray, clock: Clock) -> dict:
    """total_records = successful + failed + placeholders_skipped; failed = missing + invalid."""
    failed = len(embedded.reasons) + table.counts["missing"] + table.counts["invalid"]
    return {"total_records": table.report.faces, "successful_embeddings": len(vectors), "failed_embeddings": failed,
            "success_rate": round(len(vectors) / (len(vectors) + failed), 6) if len(vectors) + failed else None,
            "missing_from_cache": table.counts["missing"],
            "validation_failures": len(embedded.reasons) + table.counts["invalid"],
            "placeholders_skipped": table.counts["placeholder"], "identical_images": len(vectors) - len(nodes),
            "reused_embeddings": embedded.reused, "new_embeddings": embedded.new,
            "bad_bulk_lines": table.report.bad_lines,
            "cards_without_picture": table.report.without_picture, "other_image_size": table.report.fell_back,
            "images_per_second": round(embedded.new / embedded.seconds, 2) if embedded.new else None,
            "seconds": clock.seconds}


def _environment(spec: ModelSpec, embedded: Embedded, previous: dict | None) -> dict:
    """Versions, and the CPU as PyTorch saw it when it last made a vector."""
    made = (previous or {}).get("environment", {}) | embedded.made_with
    versions = {f"{name.replace('-', '_').removesuffix('_cpu').removesuffix('_torch')}_version": _version(name)
                for name in ("numpy", "torch", "faiss-cpu")}
    return {"python_version": platform.python_version(), **versions,
            "open_clip_version": _version("open_clip_torch"),
            "clip_model": spec.model, "cpu_capability": made.get("cpu_capability")}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True,
                              timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
