"""What the tests of the network share: a clock and a pace that do not wait, and the mirror's requests."""
from __future__ import annotations

import itertools
from pathlib import Path

from mirror.scryfall_mirror import Mirror
from mtg_image_db.common import NetworkOptions, RetryingSession
from mtg_image_db.scryfall.faces import read_faces
from mtg_image_db.scryfall.hosts import open_session
from mtg_image_db.scryfall.pace import RELEASE_JITTER, Pace


def picture_path(mirror: Mirror, number: int) -> str:
    """The path of a face's picture, as an expression that matches it alone."""
    faces = [face for face in read_faces(Path(mirror.root) / "unique-artwork.jsonl.gz") if not face.skip_reason]
    return "/" + faces[number].image_url.split("/", 3)[3].split("?")[0].replace(".", r"\.")


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CountedPace(Pace):
    """A pace that writes down how long it would pause and back off, and waits for neither."""

    def __init__(self) -> None:
        super().__init__(16, Clock())
        self.paused: list[float] = []
        self.backed_off: list[float] = []

    def pause(self, seconds: float, fewer: bool = True) -> None:
        super().pause(seconds, fewer)
        self.paused.append(seconds)
        self._clock.now += seconds + RELEASE_JITTER

    def back_off(self, seconds: float, why: str) -> None:
        self.backed_off.append(seconds)


def session_to(mirror: Mirror, pace: Pace, max_retries: int = 5) -> RetryingSession:
    return open_session(mirror.url, NetworkOptions(max_retries=max_retries), pace)


def waits(requests: list) -> list[float]:
    times = [request.time_monotonic for request in requests]
    return [later - earlier for earlier, later in itertools.pairwise(times)]
