"""The network, for every script: one HTTP client, one retry loop and one pace for all workers of a run.

    client = HttpClient(workers=16)
    size = client.fetch(url, lambda response: stream_body(response, file.write, MAX_PICTURE_BYTES, 120))

Reads   Scryfall's hosts, or the mirror that stands for them
Writes  nothing; what consumes a reply does
"""
from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from mtg_image_db.common import VERSION, InvalidContent, printable, say

# Scryfall refuses a library's default agent and wants a way to reach whoever runs the client.
USER_AGENT = f"mtg-image-db/{VERSION} (+https://github.com/mtg-image-db/mtg-image-db; contact via issues)"
API_URL = "https://api.scryfall.com"
SCRYFALL_HOSTS = ("api.scryfall.com", "data.scryfall.io", "cards.scryfall.io")
API_PAUSE = 30.0  # seconds: Scryfall limits a client for this long after a 429, and bans those who go on
BACKOFF_CAP = 60.0
INVALID_RETRIES = 2
MAX_REDIRECTS = 3
QUIET_SECONDS = 10.0  # without a 429, after which twice as many workers may ask at once
RELEASE_JITTER = 1.0  # seconds over which the workers come back after a pause
LOOK_AGAIN = 1.0  # seconds: more may ask at once by then

Result = TypeVar("Result")


class FetchError(Exception):
    """A URL that could not be had: cause in words, kind (network, missing, invalid, refused, too slow,
    too large), the HTTP status if there was one, and the attempts made."""

    def __init__(self, cause: str, kind: str, status: int | None = None, attempts: int = 0,
                 retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.cause, self.kind, self.status = cause, kind, status
        self.attempts, self.retry_after = attempts, retry_after


class Stopped(Exception):
    """The run is ending; whoever waits for the network gives up."""


class Pace:
    """When a worker may ask: never during a pause, and after one fewer workers at once.

    A rate limit halves how many may ask at the same time; every QUIET_SECONDS without another one
    doubles that again, up to all of them. pauses counts the rate limits met.
    """

    def __init__(self, workers: int) -> None:
        self.workers, self.pauses = workers, 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._paused_until = 0.0
        self._asking, self._at_once = 0, workers

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it. Raises Stopped when the run ends."""
        with self._changed:
            while not self.stopping.is_set() and (seconds := self._seconds_to_wait()):
                self._changed.wait(seconds)
            if self.stopping.is_set():
                raise Stopped
            self._asking += 1
        try:
            yield
        finally:
            with self._changed:
                self._asking -= 1
                self._changed.notify()

    def stop(self) -> None:
        """End the run: who waits for a turn or sleeps gets Stopped, at once."""
        self.stopping.set()
        with self._changed:
            self._changed.notify_all()

    def pause(self, seconds: float, fewer: bool = True) -> None:
        """No worker asks for this long, then (fewer) half as many at once as before.

        What was asked before a pause and is limited too only prolongs it.
        """
        with self._changed:
            now = time.monotonic()
            if now >= self._paused_until:
                self.pauses += 1
                self._at_once = max(1, self._allowed(now) // 2) if fewer else self._allowed(now)
                then = f", then at most {self._at_once} ask at once" if self._at_once < self.workers else ""
                say(f"Rate limited: every worker pauses for {seconds:.0f} s{then}.")
            self._paused_until = max(self._paused_until, now + seconds)

    def sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped

    def _seconds_to_wait(self) -> float:
        """0 where a turn is free, else the seconds after which to look again, if none is given back before."""
        now = time.monotonic()
        if now < self._paused_until:
            return self._paused_until - now + random.uniform(0.0, RELEASE_JITTER)
        return LOOK_AGAIN if self._asking >= self._allowed(now) else 0.0

    def _allowed(self, now: float) -> int:
        doublings = int((now - self._paused_until) / QUIET_SECONDS)
        return min(self.workers, self._at_once << min(doublings, 7))  # at most 128 workers


class HttpClient:
    """One pooled requests.Session, one Pace and one retry loop for all workers of a run.

    api_url other than Scryfall's own is a mirror that answers for all three of its hosts: their
    URLs keep their names (the cache and the artefacts are the same) and are asked of the mirror.
    retries counts the attempts after the first.
    """

    def __init__(self, api_url: str = API_URL, workers: int = 1, timeout: tuple[float, float] = (5.0, 30.0),
                 max_retries: int = 5) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        self.api_url, self.timeout, self.max_retries = api_url.rstrip("/"), timeout, max_retries
        self.session = requests.Session()
        # requests would read the whole body of a redirect to find the next, with no end to it; _get follows them
        self.session.resolve_redirects = lambda *_, **__: iter(())
        self.session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=workers))
        # the environment's proxies and certificates, read once: for each picture that is a quarter of a request
        self._settings: dict[str, dict] = {}
        for address in (*(f"https://{host}" for host in SCRYFALL_HOSTS), self.api_url):
            prepared = requests.Request("GET", address).prepare().url  # the host in lower case
            self._settings[_origin(prepared)] = self.session.merge_environment_settings(prepared, {}, True, None, None)
        self.session.trust_env = False
        self.pace = Pace(workers)
        self.retries = self._api_limits = 0
        self._lock = threading.Lock()

    def address(self, url: str) -> str:
        """Where url is asked for. Raises FetchError for anything but Scryfall's hosts and the mirror."""
        api = urlsplit(self.api_url)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise FetchError(f"no web address: {url[:200]}", "refused") from error
        if (parts.scheme, parts.netloc) == (api.scheme, api.netloc):
            return url
        if parts.scheme == "https" and parts.netloc in SCRYFALL_HOSTS:
            return url if api.netloc in SCRYFALL_HOSTS else \
                parts._replace(scheme=api.scheme, netloc=api.netloc).geturl()
        raise FetchError(f"refused address: {url[:200]}", "refused")

    def fetch(self, url: str, consume: Callable[[Any], Result], headers: Callable[[], dict[str, str]] = dict,
              api: bool = False, check: Callable[[], Any] = lambda: None) -> Result:
        """GET url; returns consume(response), which reads the body (stream_body). Then check() looks at what was
        read, when the turn is another worker's already. Both may raise InvalidContent. Any status but 200, 206
        and 304 is a failure.

        An attempt is the whole exchange, from connect to what check finds in the body. Network faults and 5xx
        wait 1, 2, 4, 8, 16 s (cap 60, up to a quarter of jitter, Retry-After if longer); invalid content is
        asked for again at most twice; other 4xx never. A 429 pauses every worker of the run: from the API for
        at least 30 s, doubled with each further one. Raises FetchError after the last attempt, Stopped when the
        run ends.
        """
        import requests
        import urllib3

        met: Counter[str] = Counter()
        for attempt in itertools.count(1):
            try:
                request = self._request(url, headers())
                with self.pace.turn(), self._get(url, request) as response:
                    self._check_status(response)
                    result = consume(response)
                check()
                return result
            except InvalidContent as error:
                failure = FetchError(str(error), "invalid", 200)
            except FetchError as error:
                failure = error
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = FetchError(_plain_cause(error), "network")
            failure.attempts = attempt
            seconds = max(min(BACKOFF_CAP, 2.0 ** (attempt - 1)), failure.retry_after)
            if failure.status == 429:
                self.pace.pause(max(self._api_pause(), failure.retry_after) if api else seconds, fewer=not api)
            met[failure.kind] += 1
            allowed = {"network": self.max_retries, "invalid": INVALID_RETRIES}
            if attempt > self.max_retries or met[failure.kind] > allowed.get(failure.kind, 0):
                raise failure
            with self._lock:
                self.retries += 1
            if failure.status != 429:
                if api or seconds > BACKOFF_CAP:  # one request everything waits for, or an uncommon wait
                    say(f"{urlsplit(url).netloc}: {failure.cause}; trying again in {seconds:.0f} s "
                        f"({attempt} of {self.max_retries}).")
                self.pace.sleep(seconds * random.uniform(1.0, 1.25))
        raise AssertionError("unreachable")

    def _api_pause(self) -> float:
        self._api_limits += 1
        return API_PAUSE * 2 ** (self._api_limits - 1)

    def _request(self, url: str, headers: Mapping[str, str]):
        from requests import Request

        try:
            return self.session.prepare_request(Request("GET", self.address(url), headers))
        except ValueError as error:
            raise FetchError(f"no web address: {error}", "refused") from error

    def _get(self, url: str, request):
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self.session.send(request, timeout=self.timeout, allow_redirects=False,
                                             **self._settings[_origin(request.url)])
                target = self.session.get_redirect_target(response)
                if target is None:
                    return response
                response.close()
                url = urljoin(url, target)
            except ValueError as error:  # requests reads the target even when it is not to follow it
                raise FetchError(f"no web address: {error}", "refused") from error
            request = self._request(url, request.headers)
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


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def stream_body(response, write: Callable[[bytes], Any], max_bytes: int, seconds: float) -> int:
    """Pass the body's bytes, as sent (no Content-Encoding undone), to write; returns their count.

    Raises FetchError past max_bytes, or when the whole takes longer than seconds.
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


def _plain_cause(error: BaseException) -> str:
    """The innermost reason of a requests error, without object addresses: the system's words where it has some."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return printable(error.strerror)
    return printable(f"{type(error).__name__}: {error}")[:300]
