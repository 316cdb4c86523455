"""Scryfall -> image cache: fetch every card picture that is not there yet, whole or not at all.

    python download_images.py --kind unique_artwork --workers 16

Reads   Scryfall's bulk data, at most once a day, and its card images
Writes  <cache>/<sha1 of the URL>.jpg|.png|.webp, <cache>/bulk/, and in <out>: download_manifest.json,
        download_failures.jsonl, and download_checkpoint.json while it runs
"""
from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from mtg_image_db.common import (
    DOWNLOAD_CHECKPOINT,
    DOWNLOAD_FAILURES,
    DOWNLOAD_MANIFEST,
    EXIT_ERROR,
    EXIT_FAILURES,
    EXIT_NOTHING,
    EXIT_OK,
    VERSION,
    SuiteError,
    atomic_file,
    cached_names,
    disk_space,
    per_second,
    percent,
    remove_leftovers,
    say,
    utc_now,
    write_json,
)
from mtg_image_db.console import ArgumentParser, number, script, web_address
from mtg_image_db.scryfall.bulk import Snapshot, fetch_snapshot, local_snapshot
from mtg_image_db.scryfall.faces import BulkReport, Face, add_source_flags, read_faces, shown_flags
from mtg_image_db.scryfall.image_cache import OUTAGE_FAILURES, DownloadResult, fill_cache, tasks_of
from mtg_image_db.scryfall.pace import API_URL, HttpClient

# Mean bytes of a picture, from the table of image sizes in Scryfall's documentation and live
# measurements of 2026; the estimate of --dry-run.
MEAN_BYTES = {"small": 15_000, "thumb": 9_000, "normal": 111_000, "grid": 62_000, "large": 181_000,
              "display": 93_000, "png": 1_355_000, "border_crop": 111_000, "crop": 63_000}
PARAMETERS = ("kind", "cache", "out", "limit", "image_size", "bulk_file", "include_placeholders", "workers",
              "timeout_connect", "timeout_read", "max_retries", "api_url")


def plan(args: argparse.Namespace, snapshot: Snapshot, cached: set[str]) -> DownloadResult:
    """Count what there is to do: one pass over the bulk file."""
    report, tally = BulkReport(), Counter()
    for _ in tasks_of(_faces(args, snapshot, report), args.cache, cached, tally):
        pass
    for line in report.shown_bad_lines:
        say(f"Skipped in the bulk file: {line}")
    return DownloadResult(faces=report.faces, cached=tally["cached"], to_fetch=tally["to_fetch"],
                          placeholders_skipped=tally["placeholders"], refused_urls=tally["refused"],
                          other_image_size=report.fell_back, shared_pictures=tally["shared"],
                          bad_bulk_lines=report.bad_lines)


def _faces(args: argparse.Namespace, snapshot: Snapshot, report: BulkReport | None = None) -> Iterator[Face]:
    return read_faces(snapshot.path, args.image_size, args.include_placeholders, args.limit, report)


def download(args: argparse.Namespace, saved: Callable[[str], None] = lambda _: None) -> DownloadResult:
    """Fetch what is missing from the cache and write the manifest; with --dry-run only count it. saved, called by
    whatever thread, gets the name of each picture as it comes into the cache.

    Raises SuiteError where there is no bulk data, OSError where the disk fails.
    """
    started = time.monotonic()
    client = HttpClient(args.api_url, args.workers, (args.timeout_connect, args.timeout_read), args.max_retries)
    snapshot = local_snapshot(args.kind, args.cache, args.bulk_file) if args.bulk_file \
        else fetch_snapshot(client, args.kind, args.cache)
    cached = cached_names(args.cache, clean=not args.dry_run)
    result = plan(args, snapshot, cached)
    say(_start_line(args, result))
    if args.dry_run:
        return result
    args.cache.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(args.out)
    with disk_space(lambda: (result.to_fetch - result.downloaded) * MEAN_BYTES[args.image_size]):
        with atomic_file(args.out / DOWNLOAD_FAILURES) as failures:
            if result.to_fetch:
                # takewhile: after Ctrl-C no worker searches a full cache for the next picture to fetch
                faces = itertools.takewhile(lambda _: not client.pace.stopping.is_set(), _faces(args, snapshot))
                fill_cache(tasks_of(faces, args.cache, cached), args.cache, client, args.workers, failures, result,
                           args.out / DOWNLOAD_CHECKPOINT, saved)
        result.seconds = round(time.monotonic() - started, 3)
        result.retries, result.rate_limit_pauses = client.retries, client.pace.pauses
        _write_manifest(args, snapshot, result)
    return result


def _start_line(args: argparse.Namespace, result: DownloadResult) -> str:
    needed = result.to_fetch * MEAN_BYTES[args.image_size]
    free = shutil.disk_usage(next(path for path in (args.cache, *args.cache.absolute().parents) if path.exists())).free
    parts = [f"{result.cached:,} pictures cached",
             f"{result.to_fetch:,} to fetch (about {needed / 1e6:,.1f} MB) with {args.workers} workers"]
    if needed > free:
        parts.append(f"only {free / 1e6:,.1f} MB free in {args.cache}")
    if result.placeholders_skipped:
        parts.append(f"{result.placeholders_skipped:,} without a scan skipped")
    if result.other_image_size:
        parts.append(f"{result.other_image_size:,} in another size than {args.image_size}")
    return f"{result.faces:,} faces of {args.kind}: {', '.join(parts)}."


def _write_manifest(args: argparse.Namespace, snapshot: Snapshot, result: DownloadResult) -> None:
    write_json(args.out / DOWNLOAD_MANIFEST, {
        "version": VERSION, "timestamp": utc_now(),
        "parameters": {name: str(getattr(args, name)) if isinstance(getattr(args, name), Path) else getattr(args, name)
                       for name in PARAMETERS},
        "source": {"kind": args.kind, "updated_at": snapshot.updated_at, "file": str(snapshot.path)},
        "statistics": asdict(result)})


def finish_download(result: DownloadResult, args: argparse.Namespace) -> int:
    """Say how it ended; returns the exit code. Raises SuiteError where the cache has nothing usable,
    KeyboardInterrupt where the download was interrupted."""
    done = result.downloaded + result.failed
    if result.to_fetch:
        say(f"Downloaded {result.downloaded:,} of {result.to_fetch:,} pictures "
            f"({percent(result.downloaded, result.to_fetch)}, {result.bytes / 1e6:,.1f} MB, "
            f"{per_second(result.downloaded, result.seconds)}/s, {result.retries:,} retries) into {args.cache}.")
    else:
        say(f"Nothing to download: {result.cached:,} pictures are in {args.cache} already.")
    if result.failed:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.failed_by_kind.items()))
        say(f"{result.failed:,} failed ({kinds}): {args.out / DOWNLOAD_FAILURES}. The same command tries them again.")
    if result.interrupted:
        raise KeyboardInterrupt
    if result.outage:
        raise SuiteError("Network Error", f"{OUTAGE_FAILURES} pictures in a row were lost to the network",
                         f"the last one: {result.outage}; {result.to_fetch - done:,} were not tried",
                         "Check the connection, then run the same command again: it continues where it stopped.",
                         EXIT_ERROR if result.downloaded + result.cached else EXIT_NOTHING)
    if result.downloaded + result.cached == 0:
        raise SuiteError("Network Error" if result.failed else "Validation Error",
                         "every download failed" if result.failed else "no face has a picture to fetch",
                         f"{result.failed:,} of {result.to_fetch:,} failed, {result.placeholders_skipped:,} faces "
                         f"without a scan, {result.refused_urls:,} refused addresses",
                         f"See {args.out / DOWNLOAD_FAILURES}; check the connection, --kind and --bulk-file.",
                         EXIT_NOTHING)
    return EXIT_FAILURES if args.strict and result.failed else EXIT_OK


def print_plan(result: DownloadResult, image_size: str) -> None:
    """The answer of --dry-run, on stdout."""
    print(f"faces: {result.faces}\nalready cached: {result.cached}\nto fetch: {result.to_fetch}\n"
          f"estimated bytes: {result.to_fetch * MEAN_BYTES[image_size]}")


def add_download_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--workers", type=number(int, 1, 128), default=16, metavar="N",
                        help="pictures fetched at once, 1-128 (default: 16)")
    parser.add_argument("--timeout-connect", type=number(float, 1, 3600), default=5.0, metavar="S",
                        help="seconds to connect, >= 1 (default: 5)")
    parser.add_argument("--timeout-read", type=number(float, 5, 3600), default=30.0, metavar="S",
                        help="seconds between two bytes, >= 5 (default: 30)")
    parser.add_argument("--max-retries", type=number(int, 0), default=5, metavar="N",
                        help="attempts after the first, waiting 1, 2, 4, 8, 16 s (default: 5)")
    parser.add_argument("--api-url", type=web_address, default=os.environ.get("MTG_SCRYFALL_API") or API_URL,
                        metavar="URL", help="a mirror of Scryfall (default: $MTG_SCRYFALL_API or https://api.scryfall.com)")
    parser.add_argument("--dry-run", action="store_true", help="count and estimate; fetch no picture")


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    add_source_flags(parser)
    add_download_flags(parser)
    args = parser.parse(argv)
    result = download(args)
    if args.dry_run:
        print_plan(result, args.image_size)
        return EXIT_OK
    code = finish_download(result, args)
    say(f"Next: python build_embeddings.py{shown_flags(args)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
