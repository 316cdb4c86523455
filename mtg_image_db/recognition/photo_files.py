"""What the user names -> the photos to look at: files, folders, a list on stdin, and each page of a TIFF.

    photos = photos_of(["scan.tif", "photos/", "-"])

Reads   folders, stdin, and the headers of TIFF files
Writes  nothing
"""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtg_image_db.picture_formats import SUFFIXES, TIFF_SUFFIXES, page_numbers

STDIN = "-"


@dataclass(frozen=True)
class PhotoFile:
    """A photo to look at. page counts from 1 in a file of several pages. Otherwise it is None."""
    path: Path
    page: int | None = None

    @property
    def label(self) -> str:
        """What a user knows the photo by."""
        return f"{self.path}, page {self.page}" if self.page else str(self.path)


def photos_of(named: Sequence[str | Path]) -> list[PhotoFile]:
    """The photos of files, folders and STDIN, in this order. A folder stands for the pictures in it and below it, in
    the order of their names. A file that cannot be read stays: its answer says why."""
    return [PhotoFile(path, page) for path in _paths(named) for page in _pages(path)]


def _paths(named: Iterable[str | Path]) -> Iterator[Path]:
    for name in named:
        if str(name) == STDIN:
            listed = os.fsdecode(sys.stdin.buffer.read()) if sys.stdin else ""
            yield from _paths(line for line in listed.splitlines() if line and line != STDIN)
        elif (path := Path(name)).is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES
                              and not file.name.startswith(".") and file.is_file())
        else:
            yield path


def _pages(path: Path) -> list[int | None]:
    numbers = page_numbers(path) if path.suffix.lower() in TIFF_SUFFIXES else []
    return [None] if len(numbers) < 2 else [*numbers]
