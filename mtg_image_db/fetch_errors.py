"""Why a URL could not be fetched, in words that a user can act on.

    raise FetchError(plain_cause(error), "network")

Reads and writes  nothing
"""
from __future__ import annotations

import re
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
    from urllib3.util import Retry

    status, header = response.status_code, response.headers.get("Retry-After")
    if status in (200, 206, 304):
        return
    try:
        seconds = Retry().parse_retry_after(header) if header else 0.0
    except Exception:  # urllib3's InvalidHeader: a malformed Retry-After is ignored
        seconds = 0.0
    kind = "network" if status == 429 or status >= 500 else "missing"
    raise FetchError(f"HTTP {status} {response.reason or ''}".strip(), kind, status, seconds)


def plain_cause(error: BaseException) -> str:
    """The innermost reason of a requests error, without object addresses. The system's text is used if there is one."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    system = error.strerror if isinstance(error, OSError) else None
    return system or f"{type(error).__name__}: {error}"[:300]
