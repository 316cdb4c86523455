"""What every script shares: the retrying session, atomic writes, picture validation.

    session.fetch(url, lambda response: stream_body(response, file.write, MAX_PICTURE_BYTES, 120))
    with atomic_file(path) as file: ...
    picture = open_picture(path)

Reads and writes  what it is given
"""
from __future__ import annotations

import contextlib
import io
import os
import platform
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from mtg_image_db.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from requests import PreparedRequest, Response

Result = TypeVar("Result")

BACKOFF_CAP = 60.0  # seconds
MAX_INVALID_RETRIES = 2  # a body that is not a complete picture is requested up to two more times
MAX_REDIRECTS = 3
TEMPORARY_SUFFIX = ".part"
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PICTURE_BYTES = 64 << 20
MAX_PIXELS = 100_000_000  # 300 MB decoded; a card has 0.8 million, most phones' photos 12 to 50


class InvalidContent(Exception):
    """A file or a body that is not what it should be. The message is the reason, in words."""


# The retrying session

class FetchError(Exception):
    """A URL that could not be fetched. kind is network, missing, invalid, refused, too slow or too large; status is
    the HTTP status if there was one; retry_after is in seconds."""

    def __init__(self, cause: str, kind: str, status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.cause, self.kind, self.status, self.retry_after = cause, kind, status, retry_after
        self.attempts = 0


class RequestPace(Protocol):
    """When a request may start, and what a 429 means. Scryfall's rules are in scryfall/pace.py."""

    def turn(self) -> contextlib.AbstractContextManager[None]: ...
    def rate_limited(self, seconds: float, api: bool) -> None: ...
    def back_off(self, seconds: float, why: str) -> None: ...


@dataclass(frozen=True)
class NetworkOptions:
    """workers: requests at the same time. timeout: seconds to connect, and between two bytes. max_retries: attempts
    after the first. contact: how the server's owner can reach whoever runs this."""
    workers: int = 16
    timeout: tuple[float, float] = (5.0, 30.0)
    max_retries: int = 5
    contact: str | None = None


class RetryingSession:
    """One pooled requests.Session and one retry loop for all workers of a run. retries counts attempts after the first.

    address(url) gives the URL to request instead, or raises FetchError for a URL that must not be requested. origins
    are the servers that it leads to.
    """

    def __init__(self, pace: RequestPace, options: NetworkOptions, address: Callable[[str], str],
                 origins: list[str]) -> None:
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
        # The environment's proxies and certificates are read once: doing it for each picture is a quarter of a request.
        urls = [str(requests.Request("GET", origin).prepare().url) for origin in origins]
        self._settings = {urlsplit(url).netloc: self._session.merge_environment_settings(url, {}, True, None, None)
                          for url in urls}
        self._session.trust_env = False

    def fetch(self, url: str, consume: Callable[[Response], Result], headers: Callable[[], dict[str, str]] = dict,
              api: bool = False, check: Callable[[], object] = lambda: None) -> Result:
        """GET the URL and return consume(response), which reads the body with stream_body. check() looks at what was
        read while another worker's request runs already. Both may raise InvalidContent.

        An attempt is the whole exchange, check included. Network faults and 5xx are retried after 1, 2, 4, 8, 16 s (at
        most 60 s, up to a quarter more at random, or Retry-After if that is longer). Invalid content is requested up to
        two more times. A 429 is the pace's business. Other 4xx are final. Raises FetchError after the last attempt.
        """
        import requests
        import urllib3

        met: Counter[str] = Counter()
        while True:
            try:
                request = self._request(url, headers())
                with self._pace.turn(), self._send(url, request) as response:
                    _check_status(response)
                    result = consume(response)
                check()
                return result
            except InvalidContent as error:
                failure = FetchError(str(error), "invalid", 200)
            except FetchError as error:
                failure = error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = FetchError(_plain_cause(error), "network")
            met[failure.kind] += 1
            attempt = failure.attempts = met.total()
            seconds = max(min(BACKOFF_CAP, 2.0 ** (attempt - 1)), failure.retry_after)
            if failure.status == 429:
                self._pace.rate_limited(failure.retry_after if api else seconds, api)
            allowed = {"network": self.options.max_retries, "invalid": MAX_INVALID_RETRIES}.get(failure.kind, 0)
            if attempt > self.options.max_retries or met[failure.kind] > allowed:
                raise failure
            with self._lock:
                self.retries += 1
            if failure.status != 429:
                unusual = api or seconds > BACKOFF_CAP  # the whole run waits for an API request
                why = f"{urlsplit(url).netloc}: {failure.cause}; trying again in {seconds:.0f} s " \
                      f"({attempt} of {self.options.max_retries})."
                self._pace.back_off(seconds * random.uniform(1.0, 1.25), why if unusual else "")

    def close(self) -> None:
        self._session.close()

    def _request(self, url: str, headers: Mapping[str, Any]) -> PreparedRequest:
        from requests import Request

        try:
            return self._session.prepare_request(Request("GET", self.address(url), dict(headers)))
        except ValueError as error:
            raise FetchError(f"no web address: {error}", "refused") from error

    def _send(self, url: str, request: PreparedRequest) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self._session.send(request, timeout=self.options.timeout, allow_redirects=False,
                                              **self._settings[urlsplit(str(request.url)).netloc])
                target = self._session.get_redirect_target(response)
                if target is None:
                    return response
                response.close()
                url = urljoin(url, target)
            except ValueError as error:  # requests parses the target of a redirect even when it does not follow it
                raise FetchError(f"no web address: {error}", "refused") from error
            request = self._request(url, request.headers)
        raise FetchError("redirects without end", "refused")


def stream_body(response: Response, write: Callable[[bytes], object], max_bytes: int, seconds: float) -> int:
    """Pass the body's bytes to write as they were sent, with no Content-Encoding undone. Returns their count.

    Raises FetchError past max_bytes, or when the body takes longer than seconds.
    """
    deadline, total = time.monotonic() + seconds, 0
    while chunk := response.raw.read1(1 << 16, decode_content=False):
        total += len(chunk)
        if total > max_bytes:
            raise FetchError(f"too large: more than {max_bytes:,} bytes", "too large", response.status_code)
        if time.monotonic() > deadline:
            raise FetchError(f"too slow: not complete after {seconds:.0f} s", "too slow", response.status_code)
        write(chunk)
    return total


def _check_status(response: Response) -> None:
    from urllib3.util import Retry

    status, header = response.status_code, response.headers.get("Retry-After")
    if status in (200, 206, 304):
        return
    try:
        seconds = Retry().parse_retry_after(header) if header else 0.0
    except Exception:  # urllib3's InvalidHeader: a malformed header asks for nothing
        seconds = 0.0
    kind = "network" if status == 429 or status >= 500 else "missing"
    raise FetchError(f"HTTP {status} {response.reason or ''}".strip(), kind, status, seconds)


def _plain_cause(error: BaseException) -> str:
    """The innermost reason of a requests error without object addresses: the system's words where it has some."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    system = error.strerror if isinstance(error, OSError) else None
    return system or f"{type(error).__name__}: {error}"[:300]


# Atomic writes

@contextlib.contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """Add the path to an OSError of this block: the system names files it cannot open, not files it cannot fill."""
    try:
        yield
    except OSError as error:
        if type(error) is OSError and error.filename is None:  # no subclass: requests' errors are OSErrors too
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside path. When the block ends well, it is synced to disk and replaces path; else it is
    deleted. A reader sees the old file or the new one, each complete."""
    owner = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"  # artefacts.py reads it from leftovers
    temporary = path.with_name(f".{path.name}.{owner}{TEMPORARY_SUFFIX}")
    try:
        with name_errors(path), open(temporary, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that the user gave
        temporary.unlink(missing_ok=True)
        raise


# Picture validation

def open_pixels(source: Path | bytes, verify: bool = False) -> NDArray[np.uint8]:
    """open_picture as RGB pixels, uint8 [H, W, 3], a copy that may be written to."""
    import numpy as np

    return np.array(open_picture(source, verify))


def check_picture(source: Path | bytes, verify: bool = False) -> None:
    """Raise InvalidContent where open_picture would. A JPEG is decoded at an eighth of its size: that reads every
    byte and takes two thirds of the time."""
    open_picture(source, verify, smallest=True)


def open_picture(source: Path | bytes, verify: bool = False, smallest: bool = False) -> Image:
    """The picture decoded completely, upright (EXIF), RGB, transparency over white as in Scryfall's JPEGs.

    verify adds Pillow's own integrity check (PNG checksums). smallest decodes as few pixels as the format allows.
    Raises InvalidContent where the bytes are not one complete picture of at most MAX_PIXELS.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise InvalidContent("empty file")
    if data[:64].lstrip()[:1] == b"<":
        raise InvalidContent("a web page, not a picture")
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if verify:
            picture.verify()  # which leaves the object unusable
            picture = Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
        if smallest:
            picture.draft(None, (1, 1))
        picture.load()
        return _to_rgb(ImageOps.exif_transpose(picture))
    except Image.DecompressionBombError as error:  # Pillow's own limit is 179 million
        raise InvalidContent(f"too many pixels: more than {MAX_PIXELS:,}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InvalidContent(reason or type(error).__name__) from error


def _to_rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")
