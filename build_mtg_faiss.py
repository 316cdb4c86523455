"""Scryfall -> search index in one call: download_images.py, then build_embeddings.py.

    python build_mtg_faiss.py --kind unique_artwork

Reads and writes what the two scripts do; takes the flags of both.
"""
from __future__ import annotations

import sys

import build_embeddings
import download_images
from cli import ArgumentParser, script
from common import EXIT_FAILURES, EXIT_OK, say
from scryfall import add_source_flags


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    download_images.add_download_flags(parser)
    build_embeddings.add_build_flags(parser)
    args = parser.parse(argv, build_embeddings.check_build)
    downloaded = download_images.download(args)
    if args.dry_run:
        download_images.print_plan(downloaded, args.image_size)
        return EXIT_OK
    code = download_images.finish_download(downloaded, args)
    built = build_embeddings.build(args)
    build_embeddings.report_end(built)
    say(f"Next: python query_index.py IMAGE --index-dir {args.out}")
    return EXIT_FAILURES if args.strict and (code or built.failed) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
