"""Image cache -> search index: embed every new card picture in the cache, and index all of them.

    python build_embeddings.py --kind unique_artwork

Reads   the bulk snapshots and the pictures in <cache>, and the vectors of the previous build in <out>
Writes  <out>/mtg_embeddings.npy, mtg_meta.jsonl, mtg_cards.faiss, kept_indices.npy, mtg_pictures.npy,
        rejected.jsonl, mtg_art_embeddings.npy, mtg_printings.jsonl, model.onnx, and last build_manifest.json; a
        checkpoint while it runs
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from mtg_image_db.arguments import ArgumentParser, add_run_flags, add_source_flags, number, one_of
from mtg_image_db.art_windows import ART, REGIONS
from mtg_image_db.artefacts import REJECTED
from mtg_image_db.browser.freshness import exported_head, flags_of_export, is_current
from mtg_image_db.console import (
    EXIT_FAILURES,
    EXIT_OK,
    command,
    entry_point,
    percent,
    require_directory,
    require_writable,
    say,
)
from mtg_image_db.embedding.embed_pictures import EmbedOptions
from mtg_image_db.embedding.models import OFFLINE_MODEL
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL, DEFAULT_PRETRAINED
from mtg_image_db.embedding.preparation import FITS, MIN_SIZE
from mtg_image_db.embedding.runtimes import RunOptions, add_run_options
from mtg_image_db.index.build import BuildResult, alone_in, build
from mtg_image_db.index.hnsw import MAX_EF, HnswParameters
from mtg_image_db.index.manifest import BuildOptions
from mtg_image_db.scryfall.faces import IMAGE_SIZES, KINDS, PRINTINGS_KINDS, source_from_args

MIN_CHECKPOINT = 100


def add_build_flags(parser: ArgumentParser) -> None:
    model = parser.group("model")
    model.add_argument("--model", metavar="NAME",
                       help=f"an open_clip architecture, or {OFFLINE_MODEL} (default: the model of the index in --out, "
                            f"or {DEFAULT_MODEL})")
    model.add_argument("--pretrained", metavar="TAG|FILE",
                       help=f"a tag of the architecture or a weights file (default: {DEFAULT_PRETRAINED}, or the "
                            "architecture's first tag)")
    model.add_argument("--fit", type=one_of(*FITS), metavar="FIT",
                       help="crop (centre square), pad (black bars) or squash (default: as --model: the index's, or "
                            "crop)")
    model.add_argument("--size", type=number(int, MIN_SIZE), metavar="N",
                       help="side of the model's input in pixels, >= 64 (default: the index's, or the model's own)")
    model.add_argument("--region", type=one_of(*REGIONS), metavar="PART",
                       help="what the model sees: the complete card, or only its art (default: as --model: the "
                            "index's, or card)")
    model.add_argument("--with-art", action=argparse.BooleanOptionalAction, default=None,
                       help="also make vectors of the art, for similar art (default: if the index has them)")
    model.add_argument("--batch", type=number(int, 1), default=64, metavar="N",
                       help="pictures through the model at a time (default: 64)")
    add_run_options(model, f", which builds {OFFLINE_MODEL} only")
    index = parser.group("index")
    index.add_argument("--hnsw-m", type=number(int, 4, 128), default=HnswParameters.m, metavar="M",
                       help="links of a node, 4-128 (default: 32)")
    index.add_argument("--hnsw-ef-construction", type=number(int, 4, 2000), default=HnswParameters.ef_construction,
                       metavar="N", help="effort of building, from M to 2000 (default: 200)")
    index.add_argument("--hnsw-ef-search", type=number(int, 1, MAX_EF), default=HnswParameters.ef_search,
                       metavar="N", help="effort of a search, stored in the index (default: 128)")
    run = parser.group("run")
    run.add_argument("--checkpoint-frequency", type=number(int, 0), default=500, metavar="N",
                     help="new pictures between two checkpoints, 0 (off) or >= 100 (default: 500)")
    run.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True,
                     help="continue an interrupted build (default: yes)")
    run.add_argument("--validate-cache", action=argparse.BooleanOptionalAction, default=True,
                     help="add Pillow's integrity check to the decoding (default: yes)")
    run.add_argument("--rebuild", action="store_true", help="ignore the previous build's vectors")


def check_build(args: argparse.Namespace) -> Iterator[str]:
    """Yield a sentence for each invalid combination of arguments."""
    if args.hnsw_ef_construction < args.hnsw_m:
        yield f"--hnsw-ef-construction {args.hnsw_ef_construction}: must be at least --hnsw-m ({args.hnsw_m})"
    if 0 < args.checkpoint_frequency < MIN_CHECKPOINT:
        yield f"--checkpoint-frequency {args.checkpoint_frequency}: must be 0 or at least {MIN_CHECKPOINT}"
    if args.with_art and args.region == ART:
        yield "--with-art: the vectors of --region art are those of the art already"
    if args.model == OFFLINE_MODEL and args.pretrained:
        yield f"--pretrained {args.pretrained}: {OFFLINE_MODEL} has the weights of its package only"


def options_of(args: argparse.Namespace) -> BuildOptions:
    embed = EmbedOptions(args.batch, RunOptions(args.runtime, args.device, args.precision), args.validate_cache,
                         args.checkpoint_frequency)
    hnsw = HnswParameters(args.hnsw_m, args.hnsw_ef_construction, args.hnsw_ef_search)
    return BuildOptions(source_from_args(args), args.out, model=args.model, pretrained=args.pretrained, fit=args.fit,
                        size=args.size, region=args.region, with_art=args.with_art, embed=embed, hnsw=hnsw,
                        resume=args.resume, rebuild=args.rebuild, lock=not args.no_lock)


def report(result: BuildResult) -> None:
    done, quality = result.manifest["statistics"], result.manifest["quality"]
    tried = done["successful_embeddings"] + done["failed_embeddings"]
    rate = f" at {done['images_per_second']}/s" if done["images_per_second"] else ""
    say(f"Indexed {done['successful_embeddings']:,} of {tried:,} faces "
        f"({percent(done['successful_embeddings'], tried)}; {done['new_embeddings']:,} embedded{rate}, "
        f"{done['reused_embeddings']:,} reused; "
        f"self-recall {quality['self_recall_at_1']}, recall@10 {quality['recall_at_10']}) in {result.out}.")
    if "new_art_embeddings" in done:
        say(f"The art: {done['new_art_embeddings']:,} embedded, {done['reused_art_embeddings']:,} reused.")
    if (head := exported_head(result.out)) and not is_current(result.out, result.manifest):
        renew = command("export_for_browser.py", "--input-dir", result.out, "--output-dir", result.out,
                        *flags_of_export(head))
        say(f"The browser's files in {result.out} are of an earlier build or version. To renew them: {renew}")
    if done["failed_embeddings"]:
        say(f"{done['missing_from_cache']:,} not in the cache, {done['validation_failures']:,} invalid: "
            f"{result.out / REJECTED}.")
    say(f"Next: {command('query_index.py', 'IMAGE', '--index-dir', result.out)}")


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser, KINDS, IMAGE_SIZES, PRINTINGS_KINDS)
    add_build_flags(parser)
    add_run_flags(parser)
    args = parser.parse(argv, check_build)
    require_directory(args.cache, "cache", "Run python download_images.py first, or name the directory with --cache.")
    require_writable(args.out, "--out")
    with alone_in(args.out, not args.no_lock):
        result = build(options_of(args))
    report(result)
    return EXIT_FAILURES if args.strict and result.failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
