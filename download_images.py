"""Scryfall -> image cache: fetch every card picture that is not in the cache yet.

    python download_images.py --kind unique_artwork --workers 16

Reads   Scryfall's bulk data, also that of the printings, at most once a day, and its card images
Writes  <cache>/<sha1 of the URL>.jpg|.png|.webp, <cache>/bulk/, and in <out>: download_manifest.json,
        download_failures.jsonl, and download_checkpoint.json while it runs
"""
from __future__ import annotations

import argparse
import os
import sys

from mtg_image_db.arguments import ArgumentParser, add_run_flags, add_source_flags, header_text, number, web_address
from mtg_image_db.common import NetworkOptions
from mtg_image_db.console import EXIT_FAILURES, EXIT_OK, command, entry_point, require_writable, say
from mtg_image_db.scryfall.download import DownloadOptions, Plan, download, plan_download
from mtg_image_db.scryfall.faces import IMAGE_SIZES, KINDS, PRINTINGS_KINDS, flags_of, source_from_args
from mtg_image_db.scryfall.hosts import API_URL


def add_download_flags(parser: ArgumentParser) -> None:
    network = parser.group("network")
    network.add_argument("--workers", type=number(int, 1, 128), default=16, metavar="N",
                         help="pictures fetched at the same time, 1-128 (default: 16)")
    network.add_argument("--timeout-connect", type=number(float, 1, 3600), default=5.0, metavar="S",
                         help="seconds to connect, >= 1 (default: 5)")
    network.add_argument("--timeout-read", type=number(float, 5, 3600), default=30.0, metavar="S",
                         help="seconds between two bytes, >= 5 (default: 30)")
    network.add_argument("--max-retries", type=number(int, 0), default=5, metavar="N",
                         help="attempts after the first, waiting 1, 2, 4, 8, 16 s (default: 5)")
    network.add_argument("--contact", type=header_text, default=os.environ.get("MTG_IMAGE_DB_CONTACT") or None,
                         metavar="TEXT", help="how Scryfall can reach you: an address that goes into the User-Agent "
                                              "(default: $MTG_IMAGE_DB_CONTACT, or none)")
    network.add_argument("--api-url", type=web_address, default=os.environ.get("MTG_SCRYFALL_API") or API_URL,
                         metavar="URL", help=f"a mirror of Scryfall (default: $MTG_SCRYFALL_API or {API_URL})")
    parser.group("run").add_argument("--dry-run", action="store_true", help="count and estimate, but fetch no picture")


def options_of(args: argparse.Namespace) -> DownloadOptions:
    network = NetworkOptions(args.workers, (args.timeout_connect, args.timeout_read), args.max_retries, args.contact)
    return DownloadOptions(source_from_args(args), args.out, network, args.api_url.rstrip("/"),
                           not args.no_lock)


def print_plan(plan: Plan, image_size: str) -> None:
    """Print the counts of --dry-run on stdout."""
    print(f"faces: {plan.faces}\nalready cached: {plan.cached}\nto fetch: {plan.to_fetch}\n"
          f"estimated bytes: {plan.estimated_bytes(image_size)}")


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser, KINDS, IMAGE_SIZES, PRINTINGS_KINDS)
    add_download_flags(parser)
    add_run_flags(parser)
    args = parser.parse(argv)
    options = options_of(args)
    if args.dry_run:
        print_plan(plan_download(options), args.image_size)
        return EXIT_OK
    require_writable(args.cache, "--cache")
    require_writable(args.out, "--out")
    result = download(options)
    say(f"Next: {command('build_embeddings.py', *flags_of(options.source, args.out))}")
    return EXIT_FAILURES if args.strict and result.filled.failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
