"""A server's reply: its body within limits, and why a URL could not be fetched, in words that a user can act on.

    check_status(response)
    stream_body(response, file.write, MAX_PICTURE_BYTES, 120)

Reads and writes  nothing
"""
from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


class FetchError(Exception):
    """A URL could not be fetched. kind is network, missing, invalid, refused, too slow or too large. status is the HTTP
    status, None without a reply. retry_after is in seconds."""

    def __init__(self, cause: str, kind: str, status: int | None = None, retry_after: float = 0.0) -> None:
        cause = without_credentials(cause)
        super().__init__(cause)
        self.cause, self.kind, self.status, self.retry_after = cause, kind, status, retry_after
        self.attempts = 0


def without_credentials(text: str) -> str:
    """The text with the user and password of every URL replaced by ***."""
    return _CREDENTIALS.sub("***@", text) if "@" in text else text


def check_status(response: Response) -> None:
    """Raise FetchError unless the reply has a body that was asked for (200, 206) or none is needed (304)."""
    status = response.status_code
    if status in (200, 206, 304):
        return
    kind = "network" if status == 429 or status >= 500 else "missing"
    raise FetchError(f"HTTP {status} {response.reason or ''}".strip(), kind, status,
                     _retry_after(response.headers))


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds until the server wants the next request. A date is read against the reply's own Date, because this
    machine's clock may differ. 0 if the header is missing or malformed."""
    from email.utils import parsedate_to_datetime  # 0.01 s of every script's start

    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(timezone.utc)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # TypeError: one of the dates has no time zone
        return 0.0


def stream_body(response: Response, write: Callable[[bytes], object], max_bytes: int, seconds: float,
                keep_gzip: bool = False) -> int:
    """Pass the body's bytes to write. A Content-Encoding is undone, although none was asked for. With keep_gzip, gzip
    is kept: the bulk file is gzip itself, and some servers call that its encoding. Returns the number of bytes.

    Raises FetchError if the body has more than max_bytes (unpacked) or takes longer than seconds.
    """
    from urllib3 import HTTPResponse

    encodings = {word.strip() for word in response.headers.get("Content-Encoding", "").lower().split(",")}
    unpack = not (keep_gzip and encodings <= {"gzip", "x-gzip"})
    if unpack and (unknown := encodings - {"", "identity", *HTTPResponse.CONTENT_DECODERS}):
        raise FetchError(f"packed as {', '.join(sorted(unknown))}, which was not asked for", "refused",
                         response.status_code)
    deadline, total = time.monotonic() + seconds, 0
    while chunk := response.raw.read1(1 << 16, decode_content=unpack):
        total += len(chunk)
        if total > max_bytes:
            raise FetchError(f"too large: more than {max_bytes:,} bytes", "too large", response.status_code)
        if time.monotonic() > deadline:
            raise FetchError(f"too slow: not complete after {seconds:.0f} s", "too slow", response.status_code)
        write(chunk)
    return total


def plain_cause(error: BaseException) -> str:
    """The innermost reason of a requests error, without object addresses. The system's text is used if there is one."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    system = error.strerror if isinstance(error, OSError) else None
    return system or f"{type(error).__name__}: {error}"[:300]
