"""A bulk file of printings -> mtg_printings.jsonl: for each artwork of the index every printing in paper.

    statistics, listed = stage_printings(out, snapshot)

The printings need no pictures: 54,000 artworks with a picture tell 116,000 printings apart.
Reads   the bulk file, and the staged mtg_meta.jsonl in <out>
Writes  staged in <out>: mtg_printings.jsonl; a nameless temporary file in <out> while it runs
"""
from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.artefacts import META, PRINTINGS, artwork_key, staged
from mtg_image_db.common import name_errors
from mtg_image_db.console import SuiteError, say
from mtg_image_db.index.printings import FIELDS
from mtg_image_db.scryfall.bulk import Snapshot
from mtg_image_db.scryfall.card_objects import BulkReport
from mtg_image_db.scryfall.faces import Face, read_printings

ORDER = itemgetter("set", "collector_number", "lang", "face_id")  # of printings of the same day


def stage_printings(out: Path, snapshot: Snapshot | None) -> tuple[dict[str, int], Snapshot | None]:
    """Stage the printings that a bulk file lists. Returns their numbers, for the statistics, and the bulk file.

    Without a bulk file nothing is staged. If it cannot be read, nothing is staged either, which is said, and None is
    returned for it: the rest of the index does not depend on it.
    """
    counts = {"artworks_with_printings": 0, "printings": 0}
    if snapshot is None:
        return counts, None
    try:
        with name_errors(out / PRINTINGS), tempfile.TemporaryFile(dir=out) as spool:
            artworks = _artworks_of_index(out)
            numbers, ends = _spool_printings(snapshot.path, artworks, spool)
            counts["printings"] = len(numbers)
            with open(staged(out, PRINTINGS), "wb") as file:
                for number, printings in _grouped(spool, numbers, ends):
                    counts["artworks_with_printings"] += 1
                    file.write(orjson.dumps({"artwork": artworks[number], "printings": printings}) + b"\n")
    except SuiteError as error:
        say(f"The index lists no printings: {error.args[0]} ({error.details}).")
        return counts, None
    return counts, snapshot


def _artworks_of_index(out: Path) -> list[str]:
    """The keys of the artworks that have a row, in the order of their bytes."""
    with open(staged(out, META), "rb") as lines:
        faces = map(orjson.loads, lines)
        return sorted({artwork_key(face["illustration_id"], face["name"]) for face in faces}, key=str.encode)


def _spool_printings(bulk: Path, artworks: list[str], spool: BinaryIO) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Write the printings of these artworks one after the other, as JSON. Returns for each the place of its artwork,
    int32 [P], and where in the spool each ends, after a 0: int64 [P + 1].

    So 12 bytes of each printing stay in memory. As objects, those of all_cards would take 2 GB.
    """
    places = {artwork: place for place, artwork in enumerate(artworks)}
    numbers, ends, report = array("i"), array("q", [0]), BulkReport()
    for artwork, face in read_printings(bulk, places, report):
        data = orjson.dumps(_record(face))
        spool.write(data)
        numbers.append(places[artwork])
        ends.append(ends[-1] + len(data))
    spool.flush()
    if report.bad_lines:
        say(f"{report.bad_lines:,} entries of {bulk} were skipped.")
    return np.array(numbers, np.int32), np.array(ends, np.int64)


def _record(face: Face) -> dict[str, Any]:
    """A printing in the file. A card that bears its own name has no printed_name."""
    record = {field: getattr(face, field) for field in FIELDS}
    if face.printed_name is None:
        del record["printed_name"]
    return record


def _grouped(spool: BinaryIO, numbers: NDArray[np.int32],
             ends: NDArray[np.int64]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield (place of the artwork, its printings, the newest first) for each artwork that has any. Only those of one
    artwork are in memory."""
    by_artwork = np.argsort(numbers, kind="stable")
    for group in np.split(by_artwork, np.flatnonzero(np.diff(numbers[by_artwork])) + 1):
        if not len(group):
            return
        printings = [orjson.loads(os.pread(spool.fileno(), int(ends[i + 1] - ends[i]), int(ends[i]))) for i in group]
        printings.sort(key=ORDER)
        printings.sort(key=lambda printing: printing["released_at"] or "", reverse=True)
        yield int(numbers[group[0]]), printings
