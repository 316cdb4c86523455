"""Scryfall -> search index in one call: download_images.py and, while pictures come, build_embeddings.py.

    python build_mtg_faiss.py --kind unique_artwork

Reads and writes what the two scripts do; takes the flags of both.
"""
from __future__ import annotations

import contextlib
import sys

import build_embeddings
import download_images
from mtg_image_db.common import EXIT_FAILURES, EXIT_OK, say
from mtg_image_db.console import ArgumentParser, script
from mtg_image_db.embedding.embed_ahead import EmbedAhead
from mtg_image_db.scryfall.faces import add_source_flags


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    download_images.add_download_flags(parser)
    build_embeddings.add_build_flags(parser)
    args = parser.parse(argv, build_embeddings.check_build)
    if args.dry_run:
        download_images.print_plan(download_images.download(args), args.image_size)
        return EXIT_OK
    with build_embeddings.alone_in(args.out):
        spec = build_embeddings.model_of(args)  # before the download: a wrong --model need not wait for its end
        with contextlib.closing(EmbedAhead(args, spec)) as ahead:
            downloaded = download_images.download(args, ahead.take)
            code = download_images.finish_download(downloaded, args)
            ahead.finish()
        built = build_embeddings.build(args, ahead)
    build_embeddings.report_end(built)
    say(f"Next: python query_index.py IMAGE --index-dir {args.out}")
    return EXIT_FAILURES if args.strict and (code or built.failed) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
