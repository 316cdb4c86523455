"""A folder of photos whose cards are known: read its two lists, and check them.

    for entry in read_lists(Path("my_photos"), known=names_in_the_index): ...

Reads   <DIR>/photos.jsonl, and <DIR>/negatives.jsonl if it is there
Writes  nothing
"""
from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mtg_image_db.console import SuiteError, say

PHOTOS, NEGATIVES = "photos.jsonl", "negatives.jsonl"
NEGATIVE = "negatives"  # the kind of pictures without any card
REQUIRED: dict[str, type] = {"file": str, "kind": str}
OPTIONAL: dict[str, Any] = {"cards": [], "instances": [], "unknown": False, "incomplete": False}
SHOWN = 5  # names that the index does not have, in the warning


def read_lists(folder: Path, known: Collection[str]) -> list[dict[str, Any]]:
    """The lines of both lists, with the defaults of what they leave out. Those of NEGATIVES have the kind NEGATIVE.

    Warns of cards that are not among the known names: they count as not named. Raises SuiteError if a line is not
    complete.
    """
    if not (folder / PHOTOS).is_file():
        raise SuiteError("Configuration Error", "the folder lacks the list of its pictures", folder / PHOTOS,
                         'See "Count it on your own photos" in docs/naming.md.')
    entries = [OPTIONAL | line for line in _lines(folder / PHOTOS, REQUIRED)]
    if (folder / NEGATIVES).is_file():
        entries += [OPTIONAL | {"unknown": True} | line | {"kind": NEGATIVE}
                    for line in _lines(folder / NEGATIVES, {"file": str})]
    names = {instance["name"] for entry in entries for instance in entry["instances"]}
    if missing := sorted(names - set(known)):
        say(f"Not in the index, so they cannot be named: {len(missing)} of {len(names)} cards in instances, "
            f"such as {', '.join(missing[:SHOWN])}")
    return entries


def _lines(path: Path, required: dict[str, type]) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise _wrong(path, number, f"no JSON ({error})") from error
        if not isinstance(line, dict):
            raise _wrong(path, number, "no object")
        for key, kind in required.items():
            if not isinstance(line.get(key), kind):
                raise _wrong(path, number, f"no {key}")
        if not all(map(_is_instance, line.get("instances", ()))):
            raise _wrong(path, number, "an instance needs name and quad, which is four corners [x, y]")
        lines.append(line)
    return lines


def _is_instance(value: Any) -> bool:
    """True for {"name": text, "quad": [[x, y] x 4]}."""
    quad = value.get("quad") if isinstance(value, dict) and isinstance(value.get("name"), str) else None
    return isinstance(quad, list) and len(quad) == 4 and all(
        isinstance(corner, list) and len(corner) == 2 for corner in quad)


def _wrong(path: Path, number: int, what: str) -> SuiteError:
    return SuiteError("Validation Error", "a line of the list is not complete", f"{path}, line {number}: {what}",
                      'See "Count it on your own photos" in docs/naming.md.')
