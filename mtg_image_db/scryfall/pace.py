"""When a worker may send a request: Scryfall's rate limits, for all workers of a run.

    pace = Pace(workers=16)
    with pace.turn(): ...      # waits during a pause, and while too many others hold a turn
    pace.rate_limited(0, api=True)

A 429 from the API blocks a client for 30 seconds. Scryfall bans clients that continue. So a 429 pauses every worker.
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
QUIET_SECONDS = 10.0  # without a 429. Then twice as many workers may send requests
RELEASE_JITTER = 1.0  # the workers return over this time after a pause
LOOK_AGAIN = 1.0  # until a waiting worker checks again: more workers may be allowed by then
MAX_DOUBLINGS = 7  # from 1 to 128 workers


class Stopped(Exception):
    """The run is ending. A worker that waits for the network gives up."""


class Pace:
    """Turns for the workers of a run. During a pause there are none, and afterwards fewer at the same time.

    A 429 halves the number of workers that hold a turn at the same time. Every QUIET_SECONDS without a 429 double it
    again, up to all workers. pauses counts the rate limits met. clock returns seconds. Tests replace it.
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
        """End the run: every waiting worker gets Stopped at once."""
        self.stopping.set()
        with self._changed:
            self._changed.notify_all()

    def rate_limited(self, seconds: float, api: bool) -> None:
        """Handle a 429: pause every worker for these seconds.

        An API pause lasts at least API_PAUSE, and each further 429 doubles this minimum. After a pause from the image
        host, half as many workers send requests at the same time.
        """
        if api:
            with self._changed:
                seconds = max(seconds, API_PAUSE * 2 ** self._api_limits)
                self._api_limits += 1
        self.pause(seconds, fewer=not api)

    def pause(self, seconds: float, fewer: bool = True) -> None:
        """Let no worker send a request for this many seconds. With fewer, half as many may send afterwards.

        A request that started before the pause may get a 429 too. It only prolongs the pause.
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
        """Wait before the next attempt, without a turn. Prints why, if it is not empty. Raises Stopped."""
        if why:
            say(why)
        if self.stopping.wait(seconds):
            raise Stopped

    def seconds_to_wait(self) -> float:
        """0 if a turn is free. Otherwise the seconds to wait, unless a turn is returned before."""
        now = self._clock()
        if now < self._paused_until:
            return self._paused_until - now + random.uniform(0.0, RELEASE_JITTER)
        return LOOK_AGAIN if self._sending >= self.allowed(now) else 0.0

    def allowed(self, now: float) -> int:
        """The number of workers that may hold a turn at this time of the clock."""
        quiet = min(max(0.0, now - self._paused_until), QUIET_SECONDS * MAX_DOUBLINGS)
        return min(self.workers, self._allowed_after_pause << int(quiet / QUIET_SECONDS))
