"""Check every picture in the cache: decode it completely, report invalid files, and delete files on request.

    python scripts/validate_cache.py --cache image_cache --fix --prune

Reads   the cache, and for --prune the bulk snapshots in <cache>/bulk
Writes  --report FILE. --fix and --prune delete files
"""
from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mtg_image_db.arguments import CACHE, ArgumentParser, number, output_file
from mtg_image_db.artefacts import FORMAT_VERSIONS, cache_name, write_json
from mtg_image_db.common import InvalidContent, check_picture
from mtg_image_db.console import (
    EXIT_ERROR,
    EXIT_NOTHING,
    EXIT_OK,
    Progress,
    SuiteError,
    command,
    entry_point,
    percent,
    printable,
    require_directory,
    say,
    utc_now,
)
from mtg_image_db.leftovers import LEFTOVER_SECONDS, TEMPORARY_SUFFIX, remove_leftovers
from mtg_image_db.scryfall.bulk import PARTIAL_FILES, counts_for_pictures
from mtg_image_db.scryfall.faces import picture_urls
from mtg_image_db.scryfall.image_cache import cached_names
from mtg_image_db.threads import affordable, map_ahead

OTHERS_SHOWN = 5
PICTURES_PER_TASK = 16  # to hand a picture to a thread costs a tenth of checking it


@dataclass(frozen=True)
class Failure:
    """A file that is not a complete picture, or that could not be read (readable is False then)."""
    filename: str
    reason: str
    size_bytes: int
    readable: bool = True


@dataclass(frozen=True)
class CacheReport:
    """The results of a check. failures lists the invalid files, others the files that no download wrote."""
    total_files: int
    failures: list[Failure]
    deleted: int
    pruned: int
    others: list[str]


def check(path: Path) -> Failure | None:
    try:
        check_picture(path, verify=True)
    except InvalidContent as error:
        return Failure(path.name, str(error), path.stat().st_size)
    except OSError as error:
        return Failure(path.name, f"could not be read: {error.strerror}", 0, readable=False)
    return None


def prune(cache: Path) -> int:
    """Delete pictures that no snapshot refers to in any size, leftovers of broken writes, and any tool's *.part files
    that are a day old. Returns their number. A snapshot that was fetched for its printings alone keeps no picture: it
    refers to nearly every scan, so replaced ones would stay for ever.

    Raises SuiteError if there is no snapshot: otherwise every picture would be deleted.
    """
    snapshots = sorted(filter(counts_for_pictures, (cache / "bulk").glob("*.jsonl.gz")))
    if not snapshots:
        raise SuiteError("Configuration Error", "--prune needs a bulk snapshot to know what is referred to",
                         cache / "bulk", "Run python download_images.py first.")
    unused = cached_names(cache)
    for snapshot in snapshots:
        unused.difference_update(map(cache_name, picture_urls(snapshot)))
    doomed = [cache / name for name in unused]
    partial = [*(cache / "bulk").glob(PARTIAL_FILES), *cache.glob(f"*{TEMPORARY_SUFFIX}")]
    doomed += [path for path in partial  # a younger one may be resumed
               if path.is_file() and time.time() - path.stat().st_mtime > LEFTOVER_SECONDS]
    return sum(map(_deleted, doomed)) + remove_leftovers(cache)


def validate_cache(cache: Path, fix: bool, prune_unused: bool, workers: int) -> CacheReport:
    """Prune the cache if asked to, then check every picture in it. Raises SuiteError if the cache does not exist."""
    require_directory(cache, "cache", "Run python download_images.py first, or name the directory with --cache.",
                      EXIT_NOTHING)
    pruned, failures = prune(cache) if prune_unused else 0, list[Failure]()
    names = cached_names(cache)
    others = sorted(path.name for path in cache.iterdir() if path.is_file() and path.name not in names
                    and not path.name.endswith(TEMPORARY_SUFFIX))
    paths = [cache / name for name in sorted(names)]
    say(f"{len(paths):,} pictures in {cache} to check with {workers} workers.")
    progress = Progress("Validating", len(paths))
    parts = [paths[start:start + PICTURES_PER_TASK] for start in range(0, len(paths), PICTURES_PER_TASK)]
    for verdicts in map_ahead(lambda part: [check(path) for path in part], parts, workers, 2 * workers):
        progress.update(len(verdicts))
        for failure in filter(None, verdicts):
            failures.append(failure)
    progress.close()
    deleted = sum(_deleted(cache / failure.filename) for failure in failures if failure.readable) if fix else 0
    return CacheReport(len(paths), failures, deleted, pruned, others)


def _deleted(path: Path) -> bool:
    """Delete a file. False for a directory with the name of a picture, which stays."""
    if path.is_dir():
        return False
    path.unlink(missing_ok=True)
    return True


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR",
                        help="the cache to check (default: image_cache)")
    parser.add_argument("--fix", action="store_true", help="delete invalid files, to be fetched again")
    parser.add_argument("--prune", action="store_true",
                        help="delete files no bulk snapshot refers to, leftovers of broken writes, and *.part files "
                             "that are a day old")
    parser.add_argument("--report", type=output_file, metavar="FILE", help="write the result as JSON")
    parser.add_argument("--workers", type=number(int, 1, 128), default=os.cpu_count(), metavar="N",
                        help="files checked at once, 1-128 (default: one for each core)")
    args = parser.parse(argv)
    result = validate_cache(args.cache, args.fix, args.prune, affordable(args.workers, files_each=1))
    invalid = len(result.failures)
    for failure in result.failures:
        print(f"{failure.filename}: {failure.reason}")
    if args.report:
        remove_leftovers(args.report.parent)
        write_json(args.report, {
            "version": FORMAT_VERSIONS["cache report"], "timestamp": utc_now(), "cache_directory": str(args.cache),
            "total_files": result.total_files, "valid_files": result.total_files - invalid, "invalid_files": invalid,
            "failures": [asdict(failure) for failure in result.failures]})
    say(f"{result.total_files - invalid:,} of {result.total_files:,} pictures valid "
        f"({percent(result.total_files - invalid, result.total_files)}), {invalid:,} invalid, "
        f"{result.deleted:,} deleted, {result.pruned:,} pruned.")
    if result.others:
        shown = ", ".join(map(printable, result.others[:OTHERS_SHOWN]))
        rest = ", ..." if len(result.others) > OTHERS_SHOWN else ""
        count = f"{len(result.others):,} other file{'s' * (len(result.others) > 1)}"
        say(f"{count} in {args.cache} not checked, because no download wrote them: {shown}{rest}")
    if invalid:
        say("Next: run the same download as before. It fetches what was deleted." if args.fix else
            f"Next: {command('scripts/validate_cache.py', '--cache', args.cache, '--fix')}")
    return EXIT_ERROR if invalid else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
