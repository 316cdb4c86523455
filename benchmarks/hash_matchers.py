"""Name cards by perceptual hashes alone, over the same candidates: the comparison of eval_photos.py --hashes.

Reads   the reference pictures in the cache
Writes  nothing
"""
from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import open_picture
from mtg_image_db.console import SuiteError
from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.finder import Pyramid, straighten
from mtg_image_db.threads import map_ahead

CARD = 488, 680
HASH_SIZES = {"64-bit pHash": 8, "256-bit pHash": 16}


class HashMatcher:
    """Names cards by the imagehash package's pHash. named[file] holds the name for each known card of a photo: that of
    the indexed card nearest to any candidate at its place, or to the card at its true corners."""

    def __init__(self, names: Sequence[str], hashes: np.ndarray, hash_size: int, corners_given: bool) -> None:
        self.names, self.hashes, self.hash_size, self.corners_given = names, hashes, hash_size, corners_given
        self.named: dict[str, list[str]] = {}

    def name(self, file: str, photo: Pyramid, places: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]]) -> None:
        """Name a photo's known cards. places holds for each its true corners and its candidates."""
        self.named[file] = [self._nearest(photo, [corners] if self.corners_given else candidates)
                            for corners, candidates in places]

    def _nearest(self, photo: Pyramid, quads: Sequence[np.ndarray]) -> str:
        best = len(self.hashes[0]) + 1, ""
        for quad in quads:
            distance = (self.hashes != _phash(Image.fromarray(straighten(photo, quad, *CARD, reflect=False)),
                                              self.hash_size)).sum(axis=1)
            row = int(distance.argmin())
            best = min(best, (int(distance[row]), self.names[row]))
        return best[1]


def open_matchers(index: CardIndex, cache: Path) -> dict[str, HashMatcher]:
    """A matcher for each hash size, with candidates and with the true corners. Raises SuiteError."""
    if importlib.util.find_spec("imagehash") is None:
        raise SuiteError("Configuration Error", "the package imagehash is not installed", "--hashes compares with it",
                         "pip install -r requirements-dev.txt")
    faces = [index.face(row) for row in range(len(index.metadata))]
    names = [face["name"] for face in faces]

    def hashes(face: dict) -> list[np.ndarray]:
        picture = open_picture(cache / cache_name(face["image_url"]))
        return [_phash(picture, size) for size in HASH_SIZES.values()]

    columns = [np.stack(column) for column in zip(*map_ahead(hashes, faces, os.cpu_count() or 1, 64), strict=True)]
    return {f"{title}{', corners given' * given}": HashMatcher(names, column, size, given)
            for given in (False, True)
            for (title, size), column in zip(HASH_SIZES.items(), columns, strict=True)}


def _phash(picture: Image.Image, hash_size: int) -> np.ndarray:
    import imagehash

    return imagehash.phash(picture, hash_size).hash.ravel()
