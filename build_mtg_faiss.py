"""Scryfall -> search index: download_images.py and build_embeddings.py in one call.

    python build_mtg_faiss.py --kind unique_artwork

A second process embeds pictures while the next ones download. It reads and writes the files of both scripts.
"""
from __future__ import annotations

import sys

import build_embeddings
import download_images
from mtg_image_db.arguments import ArgumentParser, add_run_flags, add_source_flags
from mtg_image_db.art_windows import CARD
from mtg_image_db.console import EXIT_FAILURES, EXIT_OK, entry_point, require_writable
from mtg_image_db.embedding.embed_ahead import EmbedAhead
from mtg_image_db.embedding.embed_arrivals import Job
from mtg_image_db.index.build import alone_in, build, spec_from_options
from mtg_image_db.scryfall.download import download, plan_download
from mtg_image_db.scryfall.faces import IMAGE_SIZES, KINDS, PRINTINGS_KINDS


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser, KINDS, IMAGE_SIZES, PRINTINGS_KINDS)
    download_images.add_download_flags(parser)
    build_embeddings.add_build_flags(parser)
    add_run_flags(parser)
    args = parser.parse(argv, build_embeddings.check_build)
    to_fetch, to_build = download_images.options_of(args), build_embeddings.options_of(args)
    if args.dry_run:
        download_images.print_plan(plan_download(to_fetch), args.image_size)
        return EXIT_OK
    require_writable(args.cache, "--cache")
    require_writable(args.out, "--out")
    with alone_in(args.out, not args.no_lock):
        spec = spec_from_options(to_build)  # before the download, so that a wrong --model ends the script at once
        job = Job(args.cache, args.out, spec, to_build.embed, args.resume, args.rebuild, not args.no_lock)
        embed_now = spec.region == CARD  # the second process does not know where the art lies
        with EmbedAhead(job) as ahead:
            downloaded = download(to_fetch, on_saved=ahead.add if embed_now else lambda _: None)
        built = build(to_build, spec, ahead.result)
    build_embeddings.report(built)
    return EXIT_FAILURES if args.strict and (downloaded.filled.failed or built.failed) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
