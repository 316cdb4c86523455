"""Image cache -> search index: embed every cached card picture that is new, index them all.

    python build_embeddings.py --kind unique_artwork

Reads   the bulk snapshot and pictures in <cache>, and the previous build in <out> for its vectors
Writes  <out>/mtg_embeddings.npy, mtg_meta.jsonl, mtg_cards.faiss, kept_indices.npy, mtg_pictures.npy,
        rejected.jsonl, and last build_manifest.json; a checkpoint while it runs
"""
from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from mtg_image_db.artefacts import commit, finish_commit, read_manifest, staged, verify
from mtg_image_db.common import (
    BROWSER_META,
    EXIT_FAILURES,
    EXIT_NOTHING,
    EXIT_OK,
    INDEX,
    REJECTED,
    SuiteError,
    disk_space,
    percent,
    remove_leftovers,
    require_directory,
    say,
)
from mtg_image_db.console import ArgumentParser, number, one_of, script
from mtg_image_db.embedding.embed_ahead import EmbedAhead
from mtg_image_db.embedding.embed_pictures import EmbedOptions, embed_pictures
from mtg_image_db.embedding.embedder import DEVICES, FITS, MIN_SIZE, PRECISIONS
from mtg_image_db.embedding.models import OFFLINE_MODEL, ModelSpec, describe_model
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL, DEFAULT_PRETRAINED
from mtg_image_db.embedding.vector_store import VectorStore
from mtg_image_db.index import hnsw
from mtg_image_db.index.manifest import Clock, manifest_of
from mtg_image_db.index.rows import FaceTable, JsonLines, read_face_table, rows_now, write_metadata, write_rows
from mtg_image_db.scryfall.bulk import local_snapshot
from mtg_image_db.scryfall.faces import add_source_flags, shown_flags

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

@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """The only build that writes to out, and what a crash left there mended. Raises SuiteError."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK_FILE, timeout=0):
            remove_leftovers(out)
            finish_commit(out)
            yield
    except Timeout as error:
        raise SuiteError("Build Error", "another build is writing to the same directory", out,
                         "Wait for it to end, or give this one another --out.") from error


def model_of(args: argparse.Namespace) -> ModelSpec:
    return describe_model(args.model, args.pretrained, args.fit, args.size)


def _open_store(args: argparse.Namespace, spec: ModelSpec, ahead: EmbedAhead | None) -> VectorStore:
    made = ahead.made if ahead else 0
    store = VectorStore(args.out, spec.fingerprint, use_previous=not args.rebuild, resume=args.resume or made > 0)
    made = min(made, store.resumed)
    store.known -= made  # those are new
    if store.resumed > made:
        say(f"Continuing an interrupted build: {store.resumed - made:,} pictures are embedded already.")
    return store


def build(args: argparse.Namespace, ahead: EmbedAhead | None = None) -> BuildResult:
    """The whole build, inside alone_in(args.out); ahead is what was embedded during the download. Raises SuiteError;
    what was embedded until then is kept for the next run."""
    clock = Clock()
    snapshot = local_snapshot(args.kind, args.cache, args.bulk_file)
    table = read_face_table(snapshot.path, args.cache, args.image_size, args.include_placeholders, args.limit)
    clock.lap("read_faces")
    if not table.names:
        raise _nothing_to_embed(table, "no face has a picture in the cache", args)
    spec = ahead.spec if ahead else model_of(args)
    store = _open_store(args, spec, ahead)
    clock.lap("prepare")
    with disk_space(lambda: _bytes_to_write(len(table.names), store.dimension, args.hnsw_m)):
        embedded = embed_pictures(args.cache, table.names, store, spec, EmbedOptions.of(args))
        clock.lap("embed")
        checkpoints = store.checkpoint_seconds  # a part of embedding
        if ahead:
            embedded.seconds += ahead.seconds
            checkpoints += ahead.checkpoint_seconds
            clock.seconds["embed_during_download"] = ahead.seconds
        clock.seconds["checkpoints"] = round(checkpoints, 3)
        if not (embedded.refs >= 0).any():
            table.counts["invalid"] += len(embedded.reasons)
            raise _nothing_to_embed(table, "no cached picture is valid", args)
        vectors = write_rows(args.out, table, embedded, store)
        nodes = write_metadata(args.out, table, embedded)
        clock.lap("write")
        row_now = rows_now(store.previous_pictures, embedded, nodes)
        store.forget()
        table.metadata, embedded.pictures = JsonLines(), embedded.pictures[:0].copy()  # written: the index needs room
        index = _grown_index(args, vectors, row_now, nodes) or hnsw.build_hnsw(
            vectors, nodes, args.hnsw_m, args.hnsw_ef_construction, args.hnsw_ef_search)
        hnsw.save(index, staged(args.out, INDEX))
        clock.lap("index")
        quality = hnsw.measure(index, vectors, nodes)
        clock.lap("quality")
        if max(1 - quality.min_norm, quality.max_norm - 1) > NORM_TOLERANCE:
            raise SuiteError("Build Error", "a vector is not of norm 1",
                             f"norms {quality.min_norm} to {quality.max_norm}", "Run the build with --rebuild.")
        manifest = manifest_of(args, snapshot, spec, table, embedded, vectors, nodes, quality, clock)
        commit(args.out, manifest)
    store.discard_checkpoint()
    return BuildResult(manifest, args.out)


def _grown_index(args: argparse.Namespace, vectors: np.ndarray, row_now: np.ndarray, nodes: np.ndarray):
    """The previous build's index with the new pictures added; None where it is to be built anew: other parameters,
    another model, --rebuild, a picture that is gone, or a damaged file."""
    manifest = read_manifest(args.out)
    made = manifest["parameters"] if manifest else {}
    if not len(row_now) or (made.get("hnsw_m"), made.get("hnsw_ef_construction")) != (
            args.hnsw_m, args.hnsw_ef_construction):
        return None
    try:
        verify(args.out, manifest, (INDEX,))
        return hnsw.extend_hnsw(args.out / INDEX, vectors, row_now, nodes, args.hnsw_ef_search)
    except SuiteError as error:
        say(f"The previous build's index is not used. {error.lines[1].strip()}")
        return None


def _bytes_to_write(rows: int, dimension: int, m: int) -> int:
    """Of a whole build, about: the vectors three times (checkpoint, npy, index), the links, a line of metadata."""
    return rows * (3 * 4 * dimension + 10 * m + 1000)


def _nothing_to_embed(table: FaceTable, what: str, args: argparse.Namespace) -> SuiteError:
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(table.counts.items()))
    return SuiteError("Validation Error", what, f"{table.report.faces:,} faces in the bulk file: {counts or 'none'}",
                      f"Run python download_images.py{shown_flags(args)}", EXIT_NOTHING)


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
    parser.add_argument("--hnsw-m", type=number(int, 4, 128), default=hnsw.HNSW_M, metavar="M",
                        help="links of a node, 4-128 (default: 32)")
    parser.add_argument("--hnsw-ef-construction", type=number(int, 4, 2000), default=hnsw.EF_CONSTRUCTION,
                        metavar="N", help="effort of building, from M to 2000 (default: 200)")
    parser.add_argument("--hnsw-ef-search", type=number(int, 1, hnsw.MAX_EF), default=hnsw.EF_SEARCH,
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
        f"{done['images_per_second'] or 'N/A'}/s, {done['reused_embeddings']:,} reused; "
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
    require_directory(args.cache, "cache", "Run python download_images.py first, or name the directory with --cache.")
    with alone_in(args.out):
        result = build(args)
    report_end(result)
    say(f"Next: python query_index.py IMAGE --index-dir {args.out}")
    return EXIT_FAILURES if args.strict and result.failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
