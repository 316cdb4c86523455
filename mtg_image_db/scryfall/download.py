"""Scryfall -> image cache: all steps of a download, from the bulk file to the manifest.

    result = download(DownloadOptions(Source(), out=Path("index_out")))

Reads   Scryfall's bulk data (the file of the pictures, and that of the printings), at most once a day, and its card
        images
Writes  the image cache and <cache>/bulk/, and in <out>: download_manifest.json, download_failures.jsonl, and
        download_checkpoint.json while it runs
"""
from __future__ import annotations

import itertools
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mtg_image_db.artefacts import (
    DOWNLOAD_CHECKPOINT,
    DOWNLOAD_FAILURES,
    DOWNLOAD_MANIFEST,
    MANIFEST_VERSION,
    write_json,
)
from mtg_image_db.common import NetworkOptions, RetryingSession, atomic_file
from mtg_image_db.console import (
    EXIT_ERROR,
    EXIT_NOTHING,
    SuiteError,
    disk_space,
    existing_folder,
    per_second,
    percent,
    say,
    utc_now,
)
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.replies import without_credentials
from mtg_image_db.scryfall.bulk import Snapshot, fetch_snapshot, keep_pictures, local_snapshot
from mtg_image_db.scryfall.card_objects import BulkReport
from mtg_image_db.scryfall.faces import Source, printings_source, read_faces
from mtg_image_db.scryfall.hosts import API_URL, open_session
from mtg_image_db.scryfall.image_cache import (
    FILES_PER_WORKER,
    OUTAGE_FAILURES,
    FillCounts,
    FillInterrupted,
    FillJob,
    cached_names,
    fill_cache,
    tasks_of,
)
from mtg_image_db.scryfall.pace import Pace
from mtg_image_db.threads import affordable

# Mean bytes of a picture, for --dry-run. From the table of image sizes in Scryfall's documentation, and from live
# measurements of 2026.
MEAN_BYTES = {"small": 15_000, "thumb": 9_000, "normal": 111_000, "grid": 62_000, "large": 181_000,
              "display": 93_000, "png": 1_355_000, "border_crop": 111_000, "crop": 63_000,
              "art_crop": 102_000, "art": 58_000}  # art_crop: as much more than art as border_crop is than crop


@dataclass(frozen=True)
class DownloadOptions:
    """The faces to download, the folder of the manifest, and the network options. lock=False (--no-lock) is for file
    systems without locks."""
    source: Source
    out: Path
    network: NetworkOptions = field(default_factory=NetworkOptions)
    api_url: str = API_URL
    lock: bool = True


@dataclass(frozen=True)
class Plan:
    """The work of a download, counted in one pass over the bulk file. The names are keys of the manifest."""
    faces: int
    cached: int
    to_fetch: int
    placeholders_skipped: int
    refused_urls: int
    other_image_size: int
    shared_pictures: int
    bad_bulk_lines: int

    def estimated_bytes(self, image_size: str) -> int:
        return self.to_fetch * MEAN_BYTES[image_size]


@dataclass(frozen=True)
class DownloadResult:
    """The results of a download."""
    plan: Plan
    filled: FillCounts
    seconds: float = 0.0
    retries: int = 0
    rate_limit_pauses: int = 0
    interrupted: bool = False

    @property
    def cached(self) -> int:
        """The number of pictures that were in the cache before, or that another download fetched meanwhile."""
        return self.plan.cached + self.filled.already_there

    @property
    def to_fetch(self) -> int:
        return self.plan.to_fetch - self.filled.already_there

    def statistics(self) -> dict[str, Any]:
        """The manifest's entry `statistics`."""
        filled = asdict(self.filled)
        del filled["already_there"]
        return asdict(self.plan) | filled | {
            "cached": self.cached, "to_fetch": self.to_fetch, "seconds": self.seconds, "retries": self.retries,
            "rate_limit_pauses": self.rate_limit_pauses, "interrupted": self.interrupted}


def plan_download(options: DownloadOptions) -> Plan:
    """Count the work of a download. Fetches the bulk file if it is missing or a day old. Fetches no picture.

    Raises SuiteError if there is no bulk data.
    """
    session = open_session(options.api_url, options.network, Pace(options.network.workers))
    return _plan(options, _snapshot(options, session), cached_names(options.source.cache))


def download(options: DownloadOptions, on_saved: Callable[[str], None] = lambda _: None) -> DownloadResult:
    """Fetch the pictures missing from the cache, write the manifest, and print a summary.

    on_saved gets the file name of each new picture in the cache. Any thread may call it. Raises SuiteError if there is
    no bulk data, if the network is gone or if nothing usable is in the cache. Raises OSError if the disk fails. Raises
    KeyboardInterrupt after Ctrl-C: the manifest then describes the work done so far.
    """
    started, options = time.monotonic(), _within_limits(options)
    source, out = options.source, options.out
    pace = Pace(options.network.workers)
    session = open_session(options.api_url, options.network, pace)
    snapshot = _snapshot(options, session)
    if not source.bulk_file:
        keep_pictures(snapshot, options.lock)
    printings = _printings(options, session, snapshot)
    cached = cached_names(source.cache, clean=True)
    plan = _plan(options, snapshot, cached)
    source.cache.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for folder in (out, source.cache / "bulk"):
        remove_leftovers(folder)
    # takewhile: after Ctrl-C, no worker searches a full cache for its next picture
    faces = itertools.takewhile(lambda _: not pace.stopping.is_set(), read_faces(snapshot.path, source))

    interrupted: FillInterrupted | None = None

    def bytes_left() -> float:
        arrived = len(cached_names(source.cache)) - len(cached)
        return max(0, plan.to_fetch - arrived) * MEAN_BYTES[source.image_size]

    with disk_space(bytes_left):
        with atomic_file(out / DOWNLOAD_FAILURES) as failures:
            filling = FillJob(source.cache, session, pace, options.network.workers, plan.to_fetch, failures,
                              out / DOWNLOAD_CHECKPOINT, on_saved, options.lock)
            try:
                filled = fill_cache(tasks_of(faces, source.cache, cached), filling) if plan.to_fetch else FillCounts()
            except FillInterrupted as error:  # the failures are still listed, and the manifest is written
                filled, interrupted = error.filled, error
        result = DownloadResult(plan, filled, round(time.monotonic() - started, 3), session.retries, pace.pauses,
                                interrupted is not None)
        _write_manifest(options, snapshot, printings, result)
    _say_end(options, result)
    if interrupted is not None:
        raise interrupted
    _check_end(options, result)
    return result


def _within_limits(options: DownloadOptions) -> DownloadOptions:
    """The options with as many workers as the limit of open files allows."""
    wanted = options.network.workers
    workers = affordable(wanted, FILES_PER_WORKER)
    if workers < wanted:
        say(f"--workers {wanted} is lowered to {workers}, because this process may open few files (ulimit -n).")
    return replace(options, network=replace(options.network, workers=workers))


def _snapshot(options: DownloadOptions, session: RetryingSession) -> Snapshot:
    if options.source.bulk_file:
        return local_snapshot(options.source)
    return fetch_snapshot(session, options.api_url, options.source, options.lock)


def _printings(options: DownloadOptions, session: RetryingSession, snapshot: Snapshot) -> Snapshot | None:
    """The bulk file that lists printings. snapshot is that of the pictures, which may be the same. None if none is
    wanted. Beside a --bulk-file, Scryfall is not asked for one."""
    printed = printings_source(options.source)
    if printed == options.source:
        return snapshot
    if printed is None or options.source.bulk_file:
        return None
    try:
        return fetch_snapshot(session, options.api_url, printed, options.lock)
    except SuiteError as error:
        raise SuiteError(error.category, error.args[0], error.details,
                         f"{error.suggestion} The pictures alone: --printings none.", error.exit_code) from error


def _plan(options: DownloadOptions, snapshot: Snapshot, cached: set[str]) -> Plan:
    source = options.source
    report, tally = BulkReport(), Counter[str]()
    for _ in tasks_of(read_faces(snapshot.path, source, report), source.cache, cached, tally):
        pass
    for line in report.shown_bad_lines:
        say(f"Skipped in the bulk file: {line}")
    if report.bad_lines > len(report.shown_bad_lines):
        say(f"{report.bad_lines:,} entries of the bulk file were skipped.")
    plan = Plan(report.faces, tally["cached"], tally["to_fetch"], tally["placeholders"], tally["refused"],
                report.size_fallbacks, tally["shared"], report.bad_lines)
    say(_start_line(options, plan))
    return plan


def _start_line(options: DownloadOptions, plan: Plan) -> str:
    source, needed = options.source, plan.estimated_bytes(options.source.image_size)
    free = shutil.disk_usage(existing_folder(source.cache)).free
    parts = [f"{plan.cached:,} pictures cached",
             f"{plan.to_fetch:,} to fetch (about {needed / 1e6:,.1f} MB) with {options.network.workers} workers"]
    if needed > free:
        parts.append(f"only {free / 1e6:,.1f} MB free in {source.cache}")
    if plan.placeholders_skipped:
        parts.append(f"{plan.placeholders_skipped:,} without a scan skipped")
    if plan.other_image_size:
        parts.append(f"{plan.other_image_size:,} in another size than {source.image_size}")
    return f"{plan.faces:,} faces of {source.bulk_file or source.kind}: {', '.join(parts)}."


def _write_manifest(options: DownloadOptions, snapshot: Snapshot, printings: Snapshot | None,
                    result: DownloadResult) -> None:
    source, network = options.source, options.network
    parameters = asdict(source) | {
        "out": options.out, "workers": network.workers, "timeout_connect": network.timeout[0],
        "timeout_read": network.timeout[1], "max_retries": network.max_retries,
        "api_url": without_credentials(options.api_url)}
    write_json(options.out / DOWNLOAD_MANIFEST, {
        "version": MANIFEST_VERSION, "timestamp": utc_now(),
        "parameters": {name: str(value) if isinstance(value, Path) else value for name, value in parameters.items()},
        "source": snapshot.described() | {"file": str(snapshot.path), "printings": printings and printings.described()},
        "statistics": result.statistics()})


def _say_end(options: DownloadOptions, result: DownloadResult) -> None:
    filled = result.filled
    if result.to_fetch:
        say(f"Downloaded {filled.downloaded:,} of {result.to_fetch:,} pictures "
            f"({percent(filled.downloaded, result.to_fetch)}, {filled.bytes / 1e6:,.1f} MB"
            f"{per_second(filled.downloaded, result.seconds)}, {result.retries:,} retries) "
            f"into {options.source.cache}.")
    else:
        say(f"Nothing to download: {result.cached:,} pictures are in {options.source.cache} already.")
    if filled.failed:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in filled.failed_by_kind.items())
        say(f"{filled.failed:,} failed ({kinds}): {options.out / DOWNLOAD_FAILURES}. "
            "The same command tries them again.")


def _check_end(options: DownloadOptions, result: DownloadResult) -> None:
    """Raise SuiteError if the network was gone or if nothing usable is in the cache."""
    filled, usable = result.filled, result.filled.downloaded + result.cached
    if filled.outage:
        left = result.to_fetch - filled.downloaded - filled.failed
        raise SuiteError("Network Error", f"{OUTAGE_FAILURES} pictures in a row were lost to the network",
                         f"the last one: {filled.outage}; {left:,} were not tried",
                         "Check the connection, then run the same command again: it continues where it stopped.",
                         EXIT_ERROR if usable else EXIT_NOTHING)
    if not usable:
        raise SuiteError("Network Error" if filled.failed else "Validation Error",
                         "every download failed" if filled.failed else "no face has a picture to fetch",
                         f"{filled.failed:,} of {result.to_fetch:,} failed, {result.plan.placeholders_skipped:,} faces "
                         f"without a scan, {result.plan.refused_urls:,} refused addresses",
                         f"See {options.out / DOWNLOAD_FAILURES}; check the connection, --kind and --bulk-file.",
                         EXIT_NOTHING)
