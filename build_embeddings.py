"""Image cache -> search index: embed every cached card picture that is new, index them all.

    python build_embeddings.py --kind unique_artwork

Reads   the bulk snapshot and pictures in <cache>, and the previous build in <out> for its vectors
Writes  <out>/mtg_embeddings.npy, mtg_meta.jsonl, mtg_cards.faiss, kept_indices.npy, mtg_pictures.npy,
        rejected.jsonl, and last build_manifest.json; a checkpoint while it runs
"""
from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

import search_index
from artefacts import commit, finish_commit, read_manifest, staged
from bulk_snapshot import local_snapshot
from cli import ArgumentParser, number, one_of, script
from clip_models import DEFAULT_MODEL, DEFAULT_PRETRAINED
from common import (
    BROWSER_META,
    DOWNLOAD_MANIFEST,
    EXIT_FAILURES,
    EXIT_NOTHING,
    EXIT_OK,
    INDEX,
    REJECTED,
    VERSION,
    SuiteError,
    disk_space,
    per_second,
    percent,
    read_json,
    remove_leftovers,
    require_directory,
    say,
    utc_now,
)
from embed_cache import Embedded, EmbedOptions, embed_pictures
from embedder import DEVICES, FITS, MIN_SIZE, PRECISIONS
from index_rows import FaceTable, JsonLines, read_face_table, write_metadata, write_rows
from models import OFFLINE_MODEL, ModelSpec, describe_model
from scryfall import add_source_flags, shown_flags
from vector_store import VectorStore

NORM_TOLERANCE = 1e-5
MIN_CHECKPOINT = 100
LOCK_FILE = ".build.lock"


@dataclass
class BuildResult:
    """What a build wrote: its manifest, and where."""
    manifest: dict
    out: Path

    @property
    def failed(self) -> int:
        return self.manifest["statistics"]["failed_embeddings"]


# Build

def build(args: argparse.Namespace) -> BuildResult:
    """The whole build. Raises SuiteError; what was embedded until then is kept for the next run."""
    require_directory(args.cache, "cache", "Run python download_images.py first, or name the directory with --cache.")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(args.out / LOCK_FILE, timeout=0):
            remove_leftovers(args.out)
            finish_commit(args.out)
            return _build(args)
    except Timeout as error:
        raise SuiteError("Build Error", "another build is writing to the same directory", args.out,
                         "Wait for it to end, or give this one another --out.") from error


def _build(args: argparse.Namespace) -> BuildResult:
    clock = Clock()
    snapshot = local_snapshot(args.kind, args.cache, args.bulk_file)
    table = read_face_table(snapshot.path, args.cache, args.image_size, args.include_placeholders, args.limit)
    clock.lap("read_faces")
    if not table.names:
        raise _nothing_to_embed(table, "no face has a picture in the cache", args)
    spec = describe_model(args.model, args.pretrained, args.fit, args.size)
    store = VectorStore(args.out, spec.fingerprint, use_previous=not args.rebuild, resume=args.resume)
    if store.resumed:
        say(f"Continuing an interrupted build: {store.resumed:,} pictures are embedded already.")
    clock.lap("prepare")
    with disk_space(lambda: _bytes_to_write(len(table.names), store.dimension, args.hnsw_m)):
        embedded = embed_pictures(args.cache, table.names, store, spec, EmbedOptions(
            args.batch, args.device, args.precision, args.validate_cache, args.checkpoint_frequency))
        clock.lap("embed")
        if not (embedded.refs >= 0).any():
            table.counts["invalid"] += len(embedded.reasons)
            raise _nothing_to_embed(table, "no cached picture is valid", args)
        vectors = write_rows(args.out, table, embedded, store)
        nodes = write_metadata(args.out, table, embedded)
        clock.lap("write")
        store.forget()
        table.metadata = JsonLines()  # written: the index needs the room
        index = search_index.build_hnsw(vectors, nodes, args.hnsw_m, args.hnsw_ef_construction, args.hnsw_ef_search)
        search_index.save(index, staged(args.out, INDEX))
        clock.lap("index")
        quality = search_index.measure(index, vectors, nodes)
        clock.lap("quality")
        if max(1 - quality.min_norm, quality.max_norm - 1) > NORM_TOLERANCE:
            raise SuiteError("Build Error", "a vector is not of norm 1",
                             f"norms {quality.min_norm} to {quality.max_norm}", "Run the build with --rebuild.")
        previous = read_manifest(args.out)
        manifest = {
            "version": VERSION, "timestamp": utc_now(), "parameters": _parameters(args, spec, embedded, previous),
            "statistics": _statistics(table, embedded, vectors, nodes, clock), "quality": asdict(quality),
            "environment": _environment(spec, previous),
            "source": {"kind": snapshot.kind, "updated_at": snapshot.updated_at},
            "model_fingerprint": spec.fingerprint, "download": read_json(args.out / DOWNLOAD_MANIFEST),
            "git_commit": _git_commit()}
        commit(args.out, manifest)
    store.discard_checkpoint()
    return BuildResult(manifest, args.out)


def _bytes_to_write(rows: int, dimension: int, m: int) -> int:
    """Of a whole build, about: the vectors three times (checkpoint, npy, index), the links, a line of metadata."""
    return rows * (3 * 4 * dimension + 10 * m + 1000)


def _nothing_to_embed(table: FaceTable, what: str, args: argparse.Namespace) -> SuiteError:
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(table.counts.items()))
    return SuiteError("Validation Error", what, f"{table.report.faces:,} faces in the bulk file: {counts or 'none'}",
                      f"Run python download_images.py{shown_flags(args)}", EXIT_NOTHING)


class Clock:
    """Seconds of each stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


# Manifest

def _parameters(args: argparse.Namespace, spec: ModelSpec, embedded: Embedded, previous: dict | None) -> dict:
    """As the vectors were made: where none was new, device and precision are the previous build's."""
    made = (previous or {}).get("parameters", {})
    return {"kind": args.kind, "batch_size": args.batch, "target_size": spec.size, "hnsw_m": args.hnsw_m,
            "hnsw_ef_construction": args.hnsw_ef_construction, "hnsw_ef_search": args.hnsw_ef_search,
            "image_size": args.image_size, "fit": spec.fit, "model": spec.model, "pretrained": spec.pretrained,
            "precision": embedded.precision or made.get("precision"),
            "device": embedded.device or made.get("device"), "limit": args.limit}


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


def _environment(spec: ModelSpec, previous: dict | None) -> dict:
    """Versions and CPU. Where nothing was embedded torch was not imported: its view of the CPU is then
    the previous build's, not worth two seconds."""
    torch = sys.modules.get("torch")
    capability = torch.backends.cpu.get_cpu_capability() if torch \
        else (previous or {}).get("environment", {}).get("cpu_capability")
    versions = {f"{name.replace('-', '_').removesuffix('_cpu').removesuffix('_torch')}_version": _version(name)
                for name in ("numpy", "torch", "faiss-cpu")}
    return {"python_version": platform.python_version(), **versions,
            "open_clip_version": _version("open_clip_torch"),
            "clip_model": spec.model, "cpu_capability": capability}


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


# Command line

def add_build_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME",
                        help=f"an open_clip architecture, or {OFFLINE_MODEL} (default: {DEFAULT_MODEL})")
    parser.add_argument("--pretrained", metavar="TAG|FILE",
                        help=f"a tag of the architecture or a weights file (default: {DEFAULT_PRETRAINED})")
    parser.add_argument("--fit", type=one_of(*FITS), default="crop", metavar="FIT",
                        help="crop (centre square), pad (black bars) or squash (default: crop)")
    parser.add_argument("--size", type=number(int, MIN_SIZE), metavar="N",
                        help="side of the model's input in pixels, >= 64 (default: the model's own)")
    parser.add_argument("--batch", type=number(int, 1), default=64, metavar="N",
                        help="pictures through the model at once (default: 64)")
    parser.add_argument("--device", type=one_of(*DEVICES), default="auto", metavar="DEVICE",
                        help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--precision", type=one_of(*PRECISIONS), default="auto", metavar="P",
                        help="auto, fp32, bf16 or fp16 (default: auto)")
    parser.add_argument("--hnsw-m", type=number(int, 4, 128), default=search_index.HNSW_M, metavar="M",
                        help="links of a node, 4-128 (default: 32)")
    parser.add_argument("--hnsw-ef-construction", type=number(int, 4, 2000), default=search_index.EF_CONSTRUCTION,
                        metavar="N", help="effort of building, from M to 2000 (default: 200)")
    parser.add_argument("--hnsw-ef-search", type=number(int, 1, search_index.MAX_EF), default=search_index.EF_SEARCH,
                        metavar="N", help="effort of a search, stored in the index (default: 128)")
    parser.add_argument("--checkpoint-frequency", type=number(int, 0), default=500, metavar="N",
                        help="new pictures between two checkpoints, 0 (off) or >= 100 (default: 500)")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                        help="continue an interrupted build (default: yes)")
    parser.add_argument("--validate-cache", action=argparse.BooleanOptionalAction, default=True,
                        help="add Pillow's integrity check to the decoding (default: yes)")
    parser.add_argument("--rebuild", action="store_true", help="ignore the previous build's vectors")


def check_build(args: argparse.Namespace) -> Iterator[str]:
    """A sentence for each combination of arguments that makes no sense."""
    if args.hnsw_ef_construction < args.hnsw_m:
        yield f"--hnsw-ef-construction {args.hnsw_ef_construction}: must be at least --hnsw-m ({args.hnsw_m})"
    if 0 < args.checkpoint_frequency < MIN_CHECKPOINT:
        yield f"--checkpoint-frequency {args.checkpoint_frequency}: must be 0 or at least {MIN_CHECKPOINT}"
    if args.model == OFFLINE_MODEL and args.pretrained:
        yield f"--pretrained {args.pretrained}: {OFFLINE_MODEL} has the weights of its package only"


def report_end(result: BuildResult) -> None:
    done, quality = result.manifest["statistics"], result.manifest["quality"]
    tried = done["successful_embeddings"] + done["failed_embeddings"]
    say(f"Indexed {done['successful_embeddings']:,} of {tried:,} faces "
        f"({percent(done['successful_embeddings'], tried)}; {done['new_embeddings']:,} embedded at "
        f"{per_second(done['new_embeddings'], done['seconds']['embed'])}/s, {done['reused_embeddings']:,} reused; "
        f"self-recall {quality['self_recall_at_1']}, recall@10 {quality['recall_at_10']}) in {result.out}.")
    if (result.out / BROWSER_META).exists():
        say(f"The browser's files in {result.out} are of an earlier build: python export_for_browser.py renews them.")
    if done["failed_embeddings"]:
        say(f"{done['missing_from_cache']:,} not in the cache, {done['validation_failures']:,} invalid: "
            f"{result.out / REJECTED}.")


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    add_build_flags(parser)
    args = parser.parse(argv, check_build)
    result = build(args)
    report_end(result)
    say(f"Next: python query_index.py IMAGE --index-dir {args.out}")
    return EXIT_FAILURES if args.strict and result.failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
