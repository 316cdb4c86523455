"""What every script shares: artefact names, exit codes and errors, atomic files, picture
decoding, and one HTTP client with one retry loop.

Retry behaviour is here and nowhere else (HttpClient); so is the one place that opens
pictures (open_picture) and the one that writes files other programs read (atomic_file).
"""
from __future__ import annotations

import contextlib
import datetime
import io
import itertools
import json
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin, urlsplit

VERSION = "1.1.0"
# Scryfall refuses a library's default agent and wants a way to reach whoever runs the client.
USER_AGENT = f"mtg-image-db/{VERSION} (+https://github.com/mtg-image-db/mtg-image-db; contact via issues)"

EMBEDDINGS, META, INDEX = "mtg_embeddings.npy", "mtg_meta.jsonl", "mtg_cards.faiss"
KEPT, PICTURES, REJECTED = "kept_indices.npy", "mtg_pictures.npy", "rejected.jsonl"
BROWSER_VECTORS, BROWSER_META = "embeddings.i8bin", "meta.json"
BUILD_MANIFEST, DOWNLOAD_MANIFEST = "build_manifest.json", "download_manifest.json"
DOWNLOAD_CHECKPOINT, DOWNLOAD_FAILURES = "download_checkpoint.json", "download_failures.jsonl"
TEMPORARY_SUFFIX = ".part"
TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, UTC
PICTURE_SUFFIXES = (".jpg", ".png", ".webp")

EXIT_OK, EXIT_ERROR, EXIT_NOTHING, EXIT_NO_DIRECTORY, EXIT_FAILURES, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 100_000_000  # 300 MB decoded; a card has 0.8 million, most phones' photos 12 to 50
# Goes into every vector's fingerprint: raise it when open_picture or embedder.prepare changes what it returns.
PREPROCESSING = 1
MAX_PICTURE_BYTES = 64 << 20

Result = TypeVar("Result")


# Errors and exit codes

class SuiteError(Exception):
    """An error a user can cause or meet, printed as three lines; exit_code ends the script."""

    def __init__(self, category: str, what: str, details: object, suggestion: str,
                 exit_code: int = EXIT_ERROR) -> None:
        super().__init__(what)
        self.exit_code = exit_code
        self.lines = (f"ERROR: {category}: {printable(what)}",
                      f"  Details: {printable(details)}",
                      f"  Suggestion: {printable(suggestion)}")

    def __str__(self) -> str:
        return "\n".join(self.lines)


class InvalidContent(Exception):
    """A file or body that is not what it should be; the message is the reason, in words."""


def printable(text: object) -> str:
    """text with control characters escaped: names come from the network, terminals obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(text: str) -> None:
    """One line of progress for the person at the terminal, above the bar if there is one."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def require_directory(path: Path, what: str, suggestion: str, exit_code: int = EXIT_NO_DIRECTORY) -> None:
    if not path.is_dir():
        raise SuiteError("Configuration Error", f"the {what} directory does not exist", path, suggestion, exit_code)


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "N/A"


def per_second(count: float, seconds: float) -> str:
    return f"{count / seconds:,.1f}" if count and seconds > 0 else "N/A"


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime(TIMESTAMP)


# Files

@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a unique temporary file beside path; it replaces path, synced to disk, when the block
    ends well, and is deleted when it does not. A reader sees the old file or the new one whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    with atomic_file(path) as handle:
        # surrogateescape: a path that is no UTF-8 is written as the bytes it has
        handle.write(json.dumps(value, indent=2, ensure_ascii=False).encode(errors="surrogateescape") + b"\n")


def read_json(path: Path) -> dict | None:
    """The object in the file, or None where there is no such file or it holds no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def cached_names(cache: Path) -> set[str]:
    """The pictures in the cache; a name that exists was written whole."""
    if not cache.is_dir():
        return set()
    with os.scandir(cache) as entries:
        return {entry.name for entry in entries if entry.name.endswith(PICTURE_SUFFIXES) and entry.name[0] != "."}


# Pictures

def open_picture(source: Path | bytes, verify: bool = False):
    """The whole picture decoded, upright (EXIF), RGB, transparency over white (as Scryfall's JPEGs).

    Returns a PIL.Image.Image. Raises InvalidContent where the bytes are not one whole picture
    of at most MAX_PIXELS; verify adds Pillow's own integrity check (PNG checksums).
    """
    from PIL import Image, ImageOps

    def opened() -> Image.Image:
        return Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)

    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise InvalidContent("empty file")
    if data[:64].lstrip()[:1] == b"<":
        raise InvalidContent("a web page, not a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warning at 89 million pixels; ours is MAX_PIXELS
            picture = opened()
        if picture.width * picture.height > MAX_PIXELS:
            raise InvalidContent(f"too many pixels: {picture.width} x {picture.height}")
        if verify:
            picture.verify()  # leaves the object unusable
            picture = opened()
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        return _to_rgb(picture)
    except InvalidContent:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise InvalidContent(reason or type(error).__name__) from error


def _to_rgb(picture):
    from PIL import Image

    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


# HTTP

API_URL = "https://api.scryfall.com"
SCRYFALL_HOSTS = ("api.scryfall.com", "data.scryfall.io", "cards.scryfall.io")
API_PAUSE = 30.0  # seconds: Scryfall limits a client for this long after a 429, and bans those who go on
BACKOFF_CAP = 60.0
INVALID_RETRIES = 2
MAX_REDIRECTS = 3


class FetchError(Exception):
    """A URL that could not be had: cause in words, kind (network, missing, invalid, refused),
    the HTTP status if there was one, and the attempts made."""

    def __init__(self, cause: str, kind: str, status: int | None = None, attempts: int = 0,
                 retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.cause, self.kind, self.status = cause, kind, status
        self.attempts, self.retry_after = attempts, retry_after


class Stopped(Exception):
    """The run is ending; whoever waits for the network gives up."""


class HttpClient:
    """One pooled requests.Session, one pause gate and one retry loop for all workers of a run.

    api_url other than Scryfall's own is a mirror that answers for all three of its hosts: their
    URLs keep their names (the cache and the artefacts are the same) and are asked of the mirror.
    Counters: retries (attempts after the first), pauses (rate limits met).
    """

    def __init__(self, api_url: str = API_URL, workers: int = 1, timeout: tuple[float, float] = (5.0, 30.0),
                 max_retries: int = 5) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.api_url, self.timeout, self.max_retries = api_url.rstrip("/"), timeout, max_retries
        self.session = requests.Session()
        self.session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=workers))
        self.retries = self.pauses = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._paused_until = 0.0

    def address(self, url: str) -> str:
        """Where url is asked for. Raises FetchError for anything but Scryfall's hosts and the mirror."""
        api = urlsplit(self.api_url)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise FetchError(f"no web address: {url[:200]}", "refused") from error
        if parts.scheme in ("http", "https") and parts.hostname == api.hostname:
            return url
        if parts.scheme == "https" and parts.netloc in SCRYFALL_HOSTS:
            return url if api.netloc in SCRYFALL_HOSTS else \
                parts._replace(scheme=api.scheme, netloc=api.netloc).geturl()
        raise FetchError(f"refused address: {url[:200]}", "refused")

    def fetch(self, url: str, consume: Callable[[Any], Result], headers: Callable[[], dict[str, str]] = dict,
              api: bool = False) -> Result:
        """GET url; returns consume(response). consume reads the body (stream_body) and may
        raise InvalidContent. Any status but 200, 206 and 304 is a failure.

        An attempt is the whole exchange, from connect to what consume finds in the body. Network faults and 5xx
        wait 1, 2, 4, 8, 16 s (cap 60, up to a quarter of jitter, Retry-After if longer); invalid content is
        asked for again at most twice; other 4xx never. A 429 pauses every worker of the run: from the API for
        at least 30 s, doubled with each further one. Raises FetchError after the last attempt, Stopped when the
        run ends.
        """
        import requests
        import urllib3

        for attempt in itertools.count(1):
            self._wait_for_gate()
            try:
                with self._get(url, headers()) as response:
                    self._check_status(response)
                    return consume(response)
            except InvalidContent as error:
                failure = FetchError(str(error), "invalid", 200)
            except FetchError as error:
                failure = error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = FetchError(_plain_cause(error), "network")
            failure.attempts = attempt
            backoff = min(BACKOFF_CAP, 2.0 ** (attempt - 1))
            if failure.status == 429:
                self._pause(max(API_PAUSE * backoff if api else backoff, failure.retry_after))
            allowed = {"network": self.max_retries, "invalid": min(INVALID_RETRIES, self.max_retries)}
            if attempt > allowed.get(failure.kind, 0):
                raise failure
            with self._lock:
                self.retries += 1
            if failure.status != 429:
                seconds = max(backoff, failure.retry_after)
                if api or seconds > BACKOFF_CAP:  # one request everything waits for, or an uncommon wait
                    say(f"{failure.cause}: trying again in {seconds:.0f} s.")
                self._sleep(seconds * random.uniform(1.0, 1.25))
        raise AssertionError("unreachable")

    def _get(self, url: str, headers: dict[str, str]):
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self.session.get(self.address(url), headers=headers, stream=True, timeout=self.timeout,
                                            allow_redirects=False)
                target = self.session.get_redirect_target(response)
                if target is None:
                    return response
                response.close()
                url = urljoin(url, target)
            except ValueError as error:  # requests reads the target even when it is not to follow it
                raise FetchError(f"no web address: {error}", "refused") from error
        raise FetchError("redirects without end", "refused")

    def _check_status(self, response) -> None:
        from urllib3.util import Retry

        status = response.status_code
        if status in (200, 206, 304):
            return
        retry_after = response.headers.get("Retry-After")
        try:
            seconds = Retry().parse_retry_after(retry_after) if retry_after else 0.0
        except Exception:  # urllib3's InvalidHeader: a malformed header is no instruction
            seconds = 0.0
        kind = "network" if status == 429 or status >= 500 else "missing"
        raise FetchError(f"HTTP {status} {response.reason or ''}".strip(), kind, status, retry_after=seconds)

    def _pause(self, seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now >= self._paused_until:
                self.pauses += 1
                say(f"Rate limited: every worker pauses for {seconds:.0f} s.")
            self._paused_until = max(self._paused_until, now + seconds)

    def _wait_for_gate(self) -> None:
        while (left := self._paused_until - time.monotonic()) > 0:
            self._sleep(left + random.uniform(0.0, 1.0))
        if self.stopping.is_set():
            raise Stopped

    def _sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped


def stream_body(response, write: Callable[[bytes], Any], max_bytes: int, seconds: float) -> int:
    """Pass the body's bytes, as sent (no Content-Encoding undone), to write; returns their count.

    Raises FetchError past max_bytes, or when the whole takes longer than seconds.
    """
    deadline, total = time.monotonic() + seconds, 0
    while chunk := response.raw.read1(1 << 16, decode_content=False):
        total += len(chunk)
        if total > max_bytes:
            raise FetchError(f"too large: more than {max_bytes:,} bytes", "refused", response.status_code)
        if time.monotonic() > deadline:
            raise FetchError(f"too slow: not complete after {seconds:.0f} s", "refused", response.status_code)
        write(chunk)
    return total


def _plain_cause(error: BaseException) -> str:
    """The innermost reason of a requests error, without object addresses."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return printable(f"{type(error).__name__}: {error}")[:300]
