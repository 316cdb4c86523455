"""Code that the comparisons of bench.py share: sizes, folders, and the lines of the table.

Reads and writes  the folder they are given
"""
from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workbench import Run, write_pictures
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL, import_open_clip


@dataclass(frozen=True)
class Sizes:
    """The number of items in each comparison."""
    pictures: int  # fetched, validated
    one_worker: int  # of them, by one worker
    cached: int
    bulk: int  # objects in default_cards
    embedded: int
    rebuilt: int
    vectors: int


FULL = Sizes(pictures=1970, one_worker=200, cached=54_000, bulk=116_568, embedded=600, rebuilt=20_000, vectors=54_000)
QUICK = Sizes(pictures=480, one_worker=40, cached=5_400, bulk=11_657, embedded=64, rebuilt=400, vectors=6_000)


CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Figure:
    """A line of the table. target is a bound of ratio, such as ">= 12". Empty if there is no target."""
    figure: str
    ours: str
    reference: str
    ratio: float
    target: str
    note: str = ""

    @property
    def met(self) -> bool | None:
        if not self.target:
            return None
        sign, value = self.target.split()[:2]
        return self.ratio >= float(value) if sign == ">=" else self.ratio <= float(value)


@dataclass
class Bench:
    """The state that the comparisons share. peers is the interpreter of the other tools (None: they are skipped)."""
    folder: Path
    sizes: Sizes
    peers: Path | None

    def fresh(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def pictures(self) -> Path:
        """A mirror's folder with `normal` pictures. cache/ in it holds their cache."""
        root = self.folder / "pictures"
        if not root.exists():
            write_pictures(root, self.sizes.pictures, "normal", root / "cache")
        return root

    def weights(self) -> Path:
        """A weights file of the default model, with random numbers."""
        import torch

        path = self.folder / "random.pt"
        if not path.exists():
            torch.manual_seed(0)
            torch.save(import_open_clip().create_model(DEFAULT_MODEL, pretrained=None).state_dict(), path)
        return path


def best(times: int, once: Callable[[], Run]) -> float:
    """The fewest seconds of several runs. Disturbances on a shared machine only add time."""
    return min(once().seconds for _ in range(times))


def seconds(what: Callable[[], object]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started
