"""When a worker may send a request: Scryfall's rate limits, for all workers of a run.

    pace = Pace(workers=16)
    with pace.turn(): ...      # waits during a pause, and while too many others hold a turn
    pace.rate_limited(0, api=True)

A 429 from the API limits a client for 30 seconds, and Scryfall bans clients that go on. So a 429 pauses every worker.
Reads and writes  nothing
"""
from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

from mtg_image_db.console import say

API_PAUSE = 30.0  # seconds, from Scryfall's documentation of its rate limits
QUIET_SECONDS = 10.0  # without a 429, after which twice as many workers may send requests
RELEASE_JITTER = 1.0  # seconds over which the workers come back after a pause
LOOK_AGAIN = 1.0  # seconds: more workers may be allowed by then
MAX_DOUBLINGS = 7  # from 1 to 128 workers


class Stopped(Exception):
    """The run is ending. Whoever waits for the network gives up."""


class Pace:
    """Turns for the workers of a run: none during a pause, and fewer at the same time after one.

    A 429 halves how many workers hold a turn at the same time. Every QUIET_SECONDS without another 429 double that
    number again, up to all workers. pauses counts the rate limits met. clock gives seconds (tests replace it).
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers, self.pauses = workers, 0
        self.stopping = threading.Event()
        self._clock, self._changed = clock, threading.Condition()
        self._paused_until, self._api_limits = float("-inf"), 0
        self._sending, self._allowed_after_pause = 0, workers

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it. Raises Stopped when the run ends."""
        with self._changed:
            while not self.stopping.is_set() and (seconds := self.seconds_to_wait()):
                self._changed.wait(seconds)
            if self.stopping.is_set():
                raise Stopped
            self._sending += 1
        try:
            yield
        finally:
            with self._changed:
                self._sending -= 1
                self._changed.notify()

    def stop(self) -> None:
        """End the run: whoever waits gets Stopped at once."""
        self.stopping.set()
        with self._changed:
            self._changed.notify_all()

    def rate_limited(self, seconds: float, api: bool) -> None:
        """A 429 arrived: pause every worker for these seconds.

        From the API the pause is at least API_PAUSE, doubled with each further 429. From the image host only half as
        many workers send requests afterwards.
        """
        if api:
            with self._changed:
                seconds = max(seconds, API_PAUSE * 2 ** self._api_limits)
                self._api_limits += 1
        self.pause(seconds, fewer=not api)

    def pause(self, seconds: float, fewer: bool = True) -> None:
        """Nobody sends a request for this long. Then (fewer) half as many workers do at the same time.

        A request that started before the pause may be limited too. That only prolongs the pause.
        """
        with self._changed:
            now = self._clock()
            if now >= self._paused_until:
                allowed = self.allowed(now)
                self.pauses += 1
                self._allowed_after_pause = max(1, allowed // 2) if fewer else allowed
                after = f", then at most {self._allowed_after_pause} send requests at the same time" \
                    if self._allowed_after_pause < self.workers else ""
                say(f"Rate limited: every worker pauses for {seconds:.0f} s{after}.")
            self._paused_until = max(self._paused_until, now + seconds)

    def back_off(self, seconds: float, why: str) -> None:
        """Wait before the next attempt, without a turn. why is said where it is not empty. Raises Stopped."""
        if why:
            say(why)
        if self.stopping.wait(seconds):
            raise Stopped

    def seconds_to_wait(self) -> float:
        """0 where a turn is free, else the seconds after which to look again if none is given back before."""
        now = self._clock()
        if now < self._paused_until:
            return self._paused_until - now + random.uniform(0.0, RELEASE_JITTER)
        return LOOK_AGAIN if self._sending >= self.allowed(now) else 0.0

    def allowed(self, now: float) -> int:
        """How many workers may hold a turn at this time of the clock."""
        quiet = min(max(0.0, now - self._paused_until), QUIET_SECONDS * MAX_DOUBLINGS)
        return min(self.workers, self._allowed_after_pause << int(quiet / QUIET_SECONDS))
