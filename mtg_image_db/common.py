"""Code that every script shares: the retrying session, atomic writes, picture validation.

    session.fetch(url, lambda response: stream_body(response, file.write, MAX_PICTURE_BYTES, 120))
    with atomic_file(path) as file: ...

Reads and writes  the files and addresses it is given
"""
from __future__ import annotations

import contextlib
import errno
import os
import random
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from mtg_image_db import picture_formats as formats
from mtg_image_db.leftovers import temporary_path
from mtg_image_db.memory import return_freed_memory
from mtg_image_db.replies import FetchError, check_status, plain_cause
from mtg_image_db.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from requests import PreparedRequest, Response

Result = TypeVar("Result")
BACKOFF_CAP = 60.0  # seconds
MAX_INVALID_RETRIES = 2  # a body that is not a complete picture is requested up to two more times
MAX_SLOW_RETRIES = 1  # a body that drips is requested once more: its connection may be the slow part
MAX_REDIRECTS = 3
MAX_PICTURE_BYTES = 64 << 20
MAX_PIXELS = 100_000_000  # 300 MB decoded. A card has 0.8 million pixels, a photo from most phones 12 to 50
# A larger photo is decoded at 1/2 or 1/4 of its size. Each of 40 cards then has 220 to 440 pixels across.
PHOTO_PIXELS = 16_000_000


class InvalidContent(Exception):
    """A file or a response body is not valid. The message gives the reason."""


class TooManyPixels(InvalidContent):
    """A picture has more than MAX_PIXELS."""


# The retrying session

class RequestPace(Protocol):
    """Decides when a request may start and how a 429 is handled. scryfall/pace.py has Scryfall's rules."""

    def turn(self) -> contextlib.AbstractContextManager[None]: ...
    def rate_limited(self, seconds: float, api: bool) -> None: ...
    def back_off(self, seconds: float, why: str) -> None: ...


@dataclass(frozen=True)
class NetworkOptions:
    """workers: requests at the same time. timeout: seconds to connect, and seconds between two bytes. max_retries:
    attempts after the first. contact: an address at which the server's owner can reach the user."""
    workers: int = 16
    timeout: tuple[float, float] = (5.0, 30.0)
    max_retries: int = 5
    contact: str | None = None


class RetryingSession:
    """One requests.Session and one retry loop for all workers of a run. retries counts attempts after the first.

    address(url) returns the URL to request instead. It raises FetchError if the URL must not be requested. settings has
    the proxies and certificates for each server of these addresses (its netloc), as requests' send takes them.
    """

    def __init__(self, pace: RequestPace, options: NetworkOptions, address: Callable[[str], str],
                 settings: Mapping[str, dict[str, Any]]) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.options, self.address, self.retries = options, address, 0
        self._pace, self._lock, self._session = pace, threading.Lock(), requests.Session()
        # requests reads the whole body of a redirect, which may never end. _send follows redirects instead.
        self._session.resolve_redirects = lambda *_, **__: iter(())  # type: ignore[method-assign]
        agent = f"mtg-image-db/{__version__}" + (f" ({options.contact})" if options.contact else "")
        self._session.headers.update({"User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "identity"})
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=options.workers))
        # requests would read the environment for each picture, which is 1/4 of a request.
        self._settings, self._session.trust_env = settings, False

    def fetch(self, url: str, consume: Callable[[Response], Result], headers: Callable[[], dict[str, str]] = dict,
              api: bool = False, check: Callable[[], object] = lambda: None) -> Result:
        """GET the URL and return consume(response), which reads the body with stream_body. check() then validates the
        body without a turn, so another worker can send its request. Both may raise InvalidContent.

        An attempt includes the check. Network faults and 5xx are retried after 1, 2, 4, 8, 16 s (at most 60 s), or
        after a longer Retry-After, plus up to 25% at random. Invalid content is requested up to two more times, a slow
        body once more. After a 429, pace says when to go on. Other 4xx are final. Then raises FetchError.
        """
        import requests
        import urllib3

        met: Counter[str] = Counter()
        while True:
            try:
                request = self._request(url, headers())
                with self._pace.turn(), self._send(request) as response:
                    check_status(response)
                    result = consume(response)
                check()
                return result
            except InvalidContent as error:
                failure = FetchError(str(error), "invalid", 200)
            except FetchError as error:
                failure = error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = FetchError(self._through(request) + plain_cause(error), "network")
            met[failure.kind] += 1
            attempt = failure.attempts = met.total()
            seconds = max(min(BACKOFF_CAP, 2.0 ** (attempt - 1)), failure.retry_after)
            if failure.status == 429:
                self._pace.rate_limited(failure.retry_after if api else seconds, api)
            allowed = {"network": self.options.max_retries, "invalid": MAX_INVALID_RETRIES,
                       "too slow": MAX_SLOW_RETRIES}.get(failure.kind, 0)
            if attempt > self.options.max_retries or met[failure.kind] > allowed:
                raise failure
            with self._lock:
                self.retries += 1
            if failure.status != 429:
                unusual = api or seconds > BACKOFF_CAP  # the whole run waits for an API request
                again = f"trying again in {seconds:.0f} s ({attempt} of {self.options.max_retries})"
                why = f"{urlsplit(url).netloc}: {failure.cause}; {again}."
                self._pace.back_off(seconds * random.uniform(1.0, 1.25), why if unusual else "")

    def close(self) -> None:
        self._session.close()

    def _through(self, request: PreparedRequest) -> str:
        """The proxy of a request, to begin an error's text with. Empty without a proxy."""
        from requests.utils import select_proxy

        address = str(request.url)
        proxy = select_proxy(address, self._settings[urlsplit(address).netloc]["proxies"])
        return f"through the proxy {proxy}: " if proxy else ""

    def _request(self, url: str, headers: Mapping[str, Any]) -> PreparedRequest:
        from requests import Request

        try:
            return self._session.prepare_request(Request("GET", self.address(url), dict(headers)))
        except ValueError as error:
            raise FetchError(f"no web address: {error}", "refused") from error

    def _send(self, request: PreparedRequest) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self._session.send(request, timeout=self.options.timeout, allow_redirects=False,
                                              **self._settings[urlsplit(str(request.url)).netloc])
                target = self._session.get_redirect_target(response)
                if target is None:
                    return response
                response.close()
                url = urljoin(str(request.url), target)
            except ValueError as error:  # requests parses a redirect's target even if it does not follow it
                raise FetchError(f"no web address: {error}", "refused") from error
            request = self._request(url, request.headers)
        raise FetchError("redirects without end", "refused")


# Atomic writes

@contextlib.contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """Add the path to an OSError of this block. The system gives no path when a write fails, as on a full disk."""
    try:
        yield
    except OSError as error:
        if type(error) is OSError and error.filename is None:  # not subclasses: the errors of requests are OSErrors too
            error.filename = str(path)
        raise


def sync(file: BinaryIO) -> None:
    """Write a file's data to the disk. Some network file systems cannot, which is no reason to fail."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP):
            raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside path. After the block, it is synced to disk and replaces path, or is deleted if the
    block failed. A reader sees the complete old file or the complete new one. A link, mode and owner stay. A device or
    a pipe, also /dev/stdout, is written to."""
    old = path.stat() if path.exists() else None
    if old and (direct := _opened_directly(path, old)):
        with name_errors(path), direct:
            yield direct
        return
    target = path.resolve() if path.is_symlink() else path
    temporary = temporary_path(target)
    try:
        with name_errors(path), open(temporary, "w+b") as handle:
            yield handle
            if old:
                with contextlib.suppress(PermissionError):  # only root may give a file away
                    os.fchown(handle.fileno(), old.st_uid, old.st_gid)
                os.fchmod(handle.fileno(), stat.S_IMODE(old.st_mode))
            sync(handle)
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that the user gave
        temporary.unlink(missing_ok=True)
        raise


def _opened_directly(path: Path, found: os.stat_result) -> BinaryIO | None:
    """The opened file if it cannot be replaced: what this process's stdout or stderr goes to, a device or a pipe."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(found, os.fstat(stream)):
                return os.fdopen(os.dup(stream), "wb")
    return None if stat.S_ISREG(found.st_mode) else open(path, "wb")


# Picture validation

def open_pixels(source: Path | bytes, verify: bool = False) -> NDArray[np.uint8]:
    """Like open_picture, but returns RGB pixels, uint8 [H, W, 3]. The array is a writable copy."""
    return formats.pixels_of(open_picture(source, verify))


def open_photo(source: Path | bytes, page: int = 1) -> tuple[NDArray[np.uint8], float]:
    """(RGB pixels, uint8 [H, W, 3]; the length of a side divided by its length in the file). A photo of more than
    PHOTO_PIXELS is decoded at 1/2 or 1/4 of its size. page counts from 1. Raises InvalidContent, like open_picture."""
    picture, scale = _decoded(source, PHOTO_PIXELS, page=page)
    pixels = formats.pixels_of(picture)
    if scale < 1:
        del picture
        return_freed_memory()
    return pixels, scale


def check_picture(source: Path | bytes, verify: bool = False) -> None:
    """Raise InvalidContent if open_picture would. A JPEG is decoded at 1/8 of its size. This still reads every byte and
    takes two thirds of the time."""
    _decoded(source, 0, verify)


def open_picture(source: Path | bytes, verify: bool = False) -> Image:
    """The picture as RGB, completely decoded and upright (EXIF). Transparency becomes white, as in Scryfall's JPEGs.

    verify adds Pillow's integrity check (PNG checksums).
    Raises InvalidContent unless the bytes are one complete picture of at most MAX_PIXELS.
    """
    return _decoded(source, MAX_PIXELS, verify)[0]


def _decoded(source: Path | bytes, wanted: int, verify: bool = False, page: int = 1) -> tuple[Image, float]:
    """(The picture with at most the wanted number of pixels, its scale). 0 wants as few as a JPEG can give."""
    from PIL import Image

    data = source if isinstance(source, bytes) else source.read_bytes()
    if kind := formats.kind_of(data):
        raise InvalidContent(kind)
    data = formats.without_metadata(data)
    try:
        picture = formats.opened(data)
        if page > 1:
            picture.seek(page - 1)
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if verify:
            picture.verify()  # the object cannot be used afterwards
            picture = formats.opened(data)
        width, height = picture.size
        shrink = next((n for n in (1, 2, 4) if width * height <= wanted * n * n), 8)
        if shrink > 1:
            picture.draft(None, (max(1, width // shrink), max(1, height // shrink)))  # only JPEG can
        picture.load()
        # TIFF turns the picture while it loads it: the longer side stays the longer side.
        rest = shrink * max(picture.size) // max(width, height) if wanted else 1
        rgb = formats.to_rgb(picture, rest)
        return formats.turned(rgb, formats.orientation(picture)), max(rgb.size) / max(width, height)
    except Image.DecompressionBombError as error:  # Pillow's limit is 179 million
        raise TooManyPixels(f"too many pixels: more than {MAX_PIXELS:,}") from error
    except ImportError as error:
        raise InvalidContent("a HEIC picture: pip install pillow-heif reads it") from error
    except Exception as error:  # Pillow's decoders raise many kinds of errors on damaged bytes
        raise InvalidContent(formats.why_unread(data, error)) from error
