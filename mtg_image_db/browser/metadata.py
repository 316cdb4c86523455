"""The index's metadata for the browser: one object for each row, or in columns, which take a quarter of the bytes.

    for part in columns(lines):  # of mtg_meta.jsonl
        file.write(part)

In columns, each value is shortened. A reader restores it in this order:
- A column that is a string equals the column with that name, which is not a string itself.
- If there is a `dictionary`, `values` are positions in it.
- `prefix` goes before every value.
- If `with_id` is true, `{id}` stands for the row's scryfall_id, also in the prefix.
Reads and writes  nothing
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import orjson

ID, ID_SIGN = "scryfall_id", "{id}"
WITH_ID = {"face_id", "image_url", "card_url"}
# Fields with few different values. face_id is {id}, except for cards with two sides.
DICTIONARIES = {"face_id", "set", "frame", "layout", "lang", "colors", "artist", "released_at", "image_status",
                "same_image_as", "set_name", "rarity", "finishes", "printed_name", "type_line", "border_color",
                "promo_types"}


def rows(lines: list[bytes]) -> Iterator[bytes]:
    """Yield the JSON array of the records in parts. The lines are JSON already, so they are not parsed (500,000)."""
    yield b"["
    for row, line in enumerate(lines):
        yield b"," * (row > 0) + line
    yield b"]"


def columns(lines: list[bytes]) -> Iterator[bytes]:
    """Yield the JSON object of the columns in parts. It holds the columns' text in memory, not 500,000 objects."""
    prefixes, same = _survey(lines)
    written = {name: _Column(name, prefix) for name, prefix in prefixes.items() if name not in same}
    for line in lines:
        record = orjson.loads(line)
        for name, column in written.items():
            column.append(_shortened(name, record))
    parts = {**{name: column.json() for name, column in written.items()},
             **{name: orjson.dumps(other) for name, other in same.items()}}
    for number, name in enumerate(prefixes):
        yield (b"," if number else b"{") + orjson.dumps(name) + b":" + parts[name]
    yield b"}"


class _Column:
    """The values of one field as they are written."""

    def __init__(self, name: str, prefix: str) -> None:
        self._places: dict[bytes, int] | None = {} if name in DICTIONARIES else None
        self._with_id, self._prefix, self._text = name in WITH_ID, prefix, bytearray()

    def append(self, value: Any) -> None:
        if self._places is not None:
            self._text += b"%d," % self._places.setdefault(orjson.dumps(value), len(self._places))
        else:
            self._text += orjson.dumps(value[len(self._prefix):] if self._prefix else value) + b","

    def json(self) -> bytes:
        head = b'{"with_id":true,' if self._with_id else b"{"
        head += b'"prefix":' + orjson.dumps(self._prefix) + b"," if self._prefix else b""
        if self._places is not None:
            head += b'"dictionary":[' + b",".join(self._places) + b"],"
        return head + b'"values":[' + self._text[:-1] + b"]}"


def _shortened(name: str, record: dict[str, Any]) -> Any:
    value = record[name]
    return value.replace(record[ID], ID_SIGN) if name in WITH_ID else value


def _survey(lines: list[bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """(field -> the common prefix of its values, field -> an earlier field with the same values)."""
    prefixes: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for line in lines:
        record = orjson.loads(line)
        if not prefixes:
            prefixes = {name: "" if name in DICTIONARIES or name == ID or isinstance(value, int)
                        else str(_shortened(name, record) or "") for name, value in record.items()}
            pairs = [(name, other) for i, name in enumerate(record) for other in list(record)[:i]
                     if name not in DICTIONARIES]
        pairs = [(name, other) for name, other in pairs if record[name] == record[other]]
        for name, prefix in prefixes.items():
            if prefix and not str(value := _shortened(name, record) or "").startswith(prefix):
                prefixes[name] = os.path.commonprefix([prefix, str(value)])  # noqa: RUF071 - texts, by character
    return prefixes, dict(reversed(pairs))  # the earliest of several equal fields, which equals no earlier one
