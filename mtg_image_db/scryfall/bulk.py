"""Scryfall's bulk files on disk: one snapshot of each kind. It is at most a day older than the server's.

Reads   the API's bulk descriptor and the file it names
Writes  <cache>/bulk/<kind>.jsonl.gz and <kind>.json, which says what was fetched and when, and whether pictures of
        that kind were downloaded
"""
from __future__ import annotations

import datetime
import gzip
import hashlib
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtg_image_db.artefacts import READ_BYTES, file_sha256, read_json, write_json
from mtg_image_db.common import InvalidContent, RetryingSession, name_errors, sync
from mtg_image_db.console import TIMESTAMP, SuiteError, command, disk_space, say, unwritable, utc_now
from mtg_image_db.leftovers import TEMPORARY_SUFFIX
from mtg_image_db.locks import hold
from mtg_image_db.replies import FetchError, stream_body, without_credentials
from mtg_image_db.scryfall.card_objects import BYTE_ORDER_MARK, GZIP_MAGIC
from mtg_image_db.scryfall.faces import Source, flags_of, printings_source

if TYPE_CHECKING:
    from requests import Response

SNAPSHOT_HOURS = 24  # Scryfall asks that bulk data be kept at least this long
MAX_BULK_BYTES, BULK_SECONDS = 8 << 30, 3 * 3600
PARTIAL_FILES = f"*.jsonl.gz.{'[0-9a-f]' * 12}{TEMPORARY_SUFFIX}"  # names of interrupted fetches, as a glob
MAX_DESCRIPTOR_BYTES, DESCRIPTOR_SECONDS = 1 << 20, 60
PICTURES = "pictures"  # key of a descriptor: false if the bulk file was fetched for its printings alone


@dataclass(frozen=True)
class Snapshot:
    """A bulk file on disk. updated_at is from the API's descriptor (None for a --bulk-file)."""
    path: Path
    kind: str
    updated_at: str | None

    def described(self) -> dict[str, Any]:
        """The entry `source` of a manifest."""
        return {"kind": self.kind, "updated_at": self.updated_at}


def local_snapshot(source: Source) -> Snapshot:
    """The bulk file to read without a network: the --bulk-file, or the snapshot that a download left.

    Raises SuiteError if there is none.
    """
    if source.bulk_file is not None:
        return Snapshot(source.bulk_file, source.kind, None)
    path = _snapshot_path(source)
    if not path.exists():
        raise SuiteError("Configuration Error", f"there is no bulk snapshot of {source.kind}", path,
                         f"Run {command('download_images.py', '--kind', source.kind, '--cache', source.cache)} first.")
    return Snapshot(path, source.kind, (_descriptor(path) or {}).get("updated_at"))


def local_printings(source: Source, out: Path) -> Snapshot | None:
    """The bulk file that lists printings, read without a network. None if none is wanted, or if it is missing, which is
    said. out is for the command that fetches it."""
    printed = printings_source(source)
    if printed is None:
        return None
    if printed.bulk_file is None and not (path := _snapshot_path(printed)).exists():
        how = "a download without --bulk-file fetches it" if source.bulk_file else \
            f"to fetch it, run {command('download_images.py', *flags_of(source, out))}"
        say(f"The index will list no printings, because {path} is missing: {how}")
        return None
    return local_snapshot(printed)


def keep_pictures(snapshot: Snapshot, lock: bool = True) -> None:
    """Note that pictures of this kind are downloaded, so that validate_cache.py --prune keeps them from now on."""
    path = snapshot.path
    if counts_for_pictures(path) or unwritable(path.parent) is not None:
        return
    with hold(path.with_suffix(".lock"), wait=float("inf"), lock=lock):
        write_json(_descriptor_path(path), (read_json(_descriptor_path(path)) or {}) | {PICTURES: True})


def counts_for_pictures(path: Path) -> bool:
    """False if the bulk file at path was fetched for its printings alone. Earlier versions fetched none for that."""
    return (read_json(_descriptor_path(path)) or {}).get(PICTURES) is not False


def fetch_snapshot(session: RetryingSession, api_url: str, source: Source, lock: bool = True) -> Snapshot:
    """The bulk file of this kind. If the one on disk is a day old, Scryfall is asked for a newer one.

    One conditional request fetches the descriptor. The file is fetched only if it has changed. An interrupted fetch is
    resumed by Range. The file is checked completely before it is put in place. If two downloads run at the same time,
    only one fetches it, unless lock is false. In a folder that cannot be written, an old file is used as it is.
    Raises SuiteError.
    """
    path, kind = _snapshot_path(source), source.kind
    if (known := _fresh(path, api_url)) is not None:
        return Snapshot(path, kind, known["updated_at"])
    if (place := unwritable(path.parent)) is not None:
        return _unrenewed(path, api_url, place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold(path.with_suffix(".lock"), wait=float("inf"), lock=lock):
        if (known := _fresh(path, api_url)) is not None:  # another download has fetched it meanwhile
            return Snapshot(path, kind, known["updated_at"])
        known = _descriptor(path, api_url)
        if known and file_sha256(path) != known["sha256"]:
            say(f"{path} is damaged: fetching it again.")
            known = None
        pictures = path.exists() and counts_for_pictures(path)
        try:
            descriptor, etag = _request_descriptor(session, f"{api_url.rstrip('/')}/bulk-data/{kind}", known)
            if known and (descriptor is None or descriptor.get("updated_at") == known["updated_at"]):
                write_json(_descriptor_path(path), {**known, "checked_at": utc_now()})
                return Snapshot(path, kind, known["updated_at"])
            descriptor = descriptor or {}
            url = descriptor.get("jsonl_download_uri") or descriptor.get("download_uri")
            if not isinstance(url, str):
                raise FetchError("the descriptor names no file to download", "invalid")
            size = descriptor.get("compressed_size")
            _fetch_file(session, url, size if isinstance(size, int) else None, path)
        except FetchError as error:
            raise SuiteError("Network Error", f"the bulk data of {kind} could not be fetched",
                             f"{api_url}: {error.cause} (attempts: {error.attempts})",
                             "Check the connection (and $MTG_SCRYFALL_API), then run the same command again."
                             ) from error
        write_json(_descriptor_path(path), {
            "type": kind, PICTURES: pictures, "api_url": without_credentials(api_url), "url": url, "etag": etag,
            "bytes": path.stat().st_size, "sha256": file_sha256(path), "updated_at": descriptor.get("updated_at"),
            "checked_at": utc_now()})
        return Snapshot(path, kind, descriptor.get("updated_at"))


def _snapshot_path(source: Source) -> Path:
    return source.cache / "bulk" / f"{source.kind}.jsonl.gz"


def _descriptor_path(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0] + ".json")


def _fresh(path: Path, api_url: str) -> dict[str, Any] | None:
    """The descriptor of an undamaged snapshot that needs no check yet. Otherwise None."""
    known = _descriptor(path, api_url)
    if known is None or not 0 <= _hours_since(known["checked_at"]) < SNAPSHOT_HOURS:
        return None
    return known if file_sha256(path) == known["sha256"] else None


def _unrenewed(path: Path, api_url: str, place: Path) -> Snapshot:
    """The old snapshot, in a folder that cannot be written. Raises SuiteError if there is none."""
    known = _descriptor(path, api_url)
    if known is None or file_sha256(path) != known["sha256"]:
        raise SuiteError("Disk Error", "there is no bulk snapshot, and the folder cannot be written", place,
                         "Name a folder that you may write to with --cache.")
    say(f"{place} cannot be written: the bulk file of {known['updated_at']} is used as it is.")
    return Snapshot(path, path.name.split(".")[0], known["updated_at"])


def _descriptor(path: Path, api_url: str | None = None) -> dict[str, Any] | None:
    """The descriptor saved with the snapshot at path. None if the two do not belong together, or if the snapshot is not
    from this api_url."""
    known = read_json(_descriptor_path(path))
    if known is None or not path.exists() or path.stat().st_size != known.get("bytes"):
        return None
    complete = all(isinstance(known.get(key), str) for key in ("api_url", "updated_at", "checked_at", "sha256"))
    here = api_url is None or known.get("api_url") == without_credentials(api_url)
    return known if complete and here and isinstance(known.get("etag"), (str, type(None))) else None


def _hours_since(timestamp: str) -> float:
    """Negative if the clock was ahead when the timestamp was written."""
    try:
        then = datetime.datetime.strptime(timestamp, TIMESTAMP).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return float("inf")
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds() / 3600


def _request_descriptor(session: RetryingSession, url: str,
                        known: dict[str, Any] | None) -> tuple[dict[str, Any] | None, str | None]:
    """(descriptor, ETag), or (None, None) if the API says that nothing has changed."""
    headers = {"Accept": "application/json;q=0.9,*/*;q=0.8"}
    if known and known.get("etag"):
        headers["If-None-Match"] = known["etag"]

    def consume(response: Response) -> tuple[dict[str, Any] | None, str | None]:
        if response.status_code == 304 and known:
            return None, None
        body = io.BytesIO()
        stream_body(response, body.write, MAX_DESCRIPTOR_BYTES, DESCRIPTOR_SECONDS)
        try:
            descriptor = json.loads(body.getvalue())
        except (ValueError, RecursionError):
            descriptor = None
        if not isinstance(descriptor, dict):
            raise InvalidContent("the reply is not a JSON object")
        return descriptor, response.headers.get("ETag")

    return session.fetch(url, consume, lambda: headers, api=True)


def _fetch_file(session: RetryingSession, url: str, compressed_size: int | None, path: Path) -> None:
    """Fetch url and put the file in place. The partial file's name has the URL's hash, and Scryfall's URLs have the
    file's time. So only a partial file of the same version is resumed."""
    version = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()[:12]
    partial = path.with_name(f"{path.name}.{version}{TEMPORARY_SUFFIX}")
    size = f"{compressed_size / 1e6:,.2f} MB" if compressed_size else "size unknown"
    say(f"Fetching {session.address(url)} ({size}).")

    def resume() -> dict[str, str]:
        return {"Range": f"bytes={partial.stat().st_size}-"} if partial.exists() else {}

    def consume(response: Response) -> None:
        with name_errors(path), open(partial, "ab" if response.status_code == 206 else "wb") as file:
            stream_body(response, file.write, MAX_BULK_BYTES, BULK_SECONDS, keep_gzip=True)
            sync(file)
        found = partial.stat().st_size
        try:
            # A server that packs the file once more sends another number of bytes. The reader unpacks it twice.
            if compressed_size is not None and found != compressed_size and "Content-Encoding" not in response.headers:
                raise InvalidContent(f"{found} bytes instead of the announced {compressed_size}")
            _check_form(partial)
        except InvalidContent:
            partial.unlink()
            raise

    if partial.exists() and partial.stat().st_size >= (compressed_size or 0):
        partial.unlink()  # a complete but unchecked file, or another file: it cannot be resumed
    with disk_space(lambda: compressed_size or 0):
        session.fetch(url, consume, resume)
    partial.replace(path)
    for leftover in path.parent.glob(PARTIAL_FILES.replace("*.jsonl.gz", path.name)):
        leftover.unlink()


def _check_form(path: Path) -> None:
    """Raise InvalidContent if the file is not complete gzip data and does not begin like JSON."""
    with open(path, "rb") as file:
        head = file.read(64)
    if not head.startswith(GZIP_MAGIC):
        if head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] not in (b"[", b"{"):
            raise InvalidContent("neither gzip nor JSON")
        return
    try:
        with gzip.open(path) as stream:
            while stream.read(READ_BYTES):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidContent(f"damaged gzip data: {error}") from error
