"""The options of a build, and the contents of build_manifest.json.

    manifest = manifest_of(options, facts, previous)

Reads   the download's manifest in <out>
Writes  nothing: artefacts.commit writes the manifest, after all other files
"""
from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from mtg_image_db.arguments import OUT
from mtg_image_db.artefacts import DOWNLOAD_MANIFEST, MANIFEST_VERSION, read_json
from mtg_image_db.console import utc_now
from mtg_image_db.embedding.embed_pictures import Embedded, EmbedOptions
from mtg_image_db.embedding.models import ModelSpec, spec_to_manifest
from mtg_image_db.index.hnsw import HnswParameters, Quality
from mtg_image_db.index.rows import FaceTable, Rows
from mtg_image_db.scryfall.bulk import Snapshot
from mtg_image_db.scryfall.faces import Source


@dataclass(frozen=True)
class BuildOptions:
    """The faces, the model and the parameters of a build.

    If model is None, it is the model of the index in out, with its weights, fit, size and region, or else the default
    model. with_art makes the vectors of the art, too (None: if the index in out has them).
    resume continues an interrupted build. rebuild ignores the previous build's vectors. lock=False (--no-lock) is for
    file systems without locks.
    """
    source: Source = field(default_factory=Source)
    out: Path = OUT
    model: str | None = None
    pretrained: str | None = None
    fit: str | None = None
    size: int | None = None
    region: str | None = None
    with_art: bool | None = None
    embed: EmbedOptions = field(default_factory=EmbedOptions)
    hnsw: HnswParameters = field(default_factory=HnswParameters)
    resume: bool = True
    rebuild: bool = False
    lock: bool = True


@dataclass(frozen=True)
class Facts:
    """Facts known at the end of a build. art is the model of mtg_art_embeddings.npy, if there is that file. printings
    is the bulk file of mtg_printings.jsonl, if there is one. made_with is Embedder.made_with of the new vectors, if
    there are any."""
    snapshot: Snapshot
    printings: Snapshot | None
    spec: ModelSpec
    art: ModelSpec | None
    made_with: Mapping[str, str]
    statistics: Mapping[str, Any]
    quality: Quality


class Clock:
    """Seconds of each stage, in the order of the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def manifest_of(options: BuildOptions, facts: Facts, previous: dict[str, Any] | None) -> dict[str, Any]:
    """The manifest without `outputs`, which are known only when the files are in place. previous is the previous
    build's manifest. If no vector is new, device and precision are copied from it."""
    before = previous or {}
    made = before.get("parameters", {}) | facts.made_with
    machine = before.get("environment", {}) | facts.made_with
    return {"version": MANIFEST_VERSION, "timestamp": utc_now(),
            "parameters": {
                "kind": options.source.kind, "image_size": options.source.image_size, "limit": options.source.limit,
                **spec_to_manifest(facts.spec), "batch_size": options.embed.batch, "hnsw_m": options.hnsw.m,
                "hnsw_ef_construction": options.hnsw.ef_construction, "hnsw_ef_search": options.hnsw.ef_search,
                "runtime": made.get("runtime"), "precision": made.get("precision"), "device": made.get("device")},
            "statistics": facts.statistics, "quality": asdict(facts.quality),
            "environment": _environment(facts.spec) | {"cpu_capability": machine.get("cpu_capability")},
            "source": facts.snapshot.described() | {"printings": facts.printings and facts.printings.described()},
            "model_fingerprint": facts.spec.fingerprint,
            "art_fingerprint": facts.art and facts.art.fingerprint,
            "download": read_json(options.out / DOWNLOAD_MANIFEST), "git_commit": _git_commit()}


def count(table: FaceTable, embedded: Embedded, rows: Rows) -> dict[str, Any]:
    """The manifest's counts. total_records = successful + failed + placeholders_skipped; failed = missing + invalid."""
    successful = len(rows.vectors)
    invalid = len(embedded.reasons) + table.counts["invalid"]
    failed = table.counts["missing"] + invalid
    return {"total_records": table.report.faces, "successful_embeddings": successful, "failed_embeddings": failed,
            "success_rate": round(successful / (successful + failed), 6) if successful + failed else None,
            "missing_from_cache": table.counts["missing"], "validation_failures": invalid,
            "placeholders_skipped": table.counts["placeholder"], "identical_images": successful - len(rows.nodes),
            "reused_embeddings": embedded.reused, "new_embeddings": embedded.new,
            "bad_bulk_lines": table.report.bad_lines, "cards_without_picture": table.report.without_picture,
            "other_image_size": table.report.size_fallbacks}


def _environment(spec: ModelSpec) -> dict[str, str | None]:
    return {"python_version": platform.python_version(), "numpy_version": _version("numpy"),
            "torch_version": _version("torch"), "faiss_version": _version("faiss-cpu"),
            "open_clip_version": _version("open_clip_torch"), "clip_model": spec.model}


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
