"""Bulk file -> card objects, one at a time, whatever the file's form.

    for card in read_cards(Path("unique-artwork.jsonl.gz"), report): ...

Reads   JSON Lines, a JSON array, an object around such an array, or objects one after the other; UTF-8 or UTF-16;
        plain, or packed as gzip, xz, bzip2, zip or tar. The content decides, not the name
Writes  nothing
"""
from __future__ import annotations

import bz2
import functools
import gzip
import io
import itertools
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from mtg_image_db.console import EXIT_NOTHING, SuiteError, printable, say

CardObject = dict[str, Any]  # a Scryfall card object, or one of its card_faces

GZIP_MAGIC, XZ_MAGIC, BZIP2_MAGIC, ZIP_MAGIC = b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"PK\x03\x04"
NOT_UNPACKED = {b"\x28\xb5\x2f\xfd": "Zstandard", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR"}
TAR_MARK, TAR_MARK_AT = b"ustar", 257
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LAYERS = 4  # a tar in a gzip in a zip has three
READ_BYTES = 1 << 20
MAX_CARD_BYTES = 16 << 20  # a card object is about 5 KB
MAX_CARD_EVENTS = 100_000  # a card object has about 250 keys and values
SHOWN_BAD_LINES = 5


@dataclass
class BulkReport:
    """Counts of a bulk file. read_cards and faces.read_faces fill it while iterating."""
    cards: int = 0
    faces: int = 0
    without_picture: int = 0
    size_fallbacks: int = 0
    bad_lines: int = 0
    shown_bad_lines: list[str] = field(default_factory=list)

    def skip(self, line: str) -> None:
        """Count an entry that is not a card. line says where and why. The first few lines are kept."""
        self.bad_lines += 1
        if len(self.shown_bad_lines) < SHOWN_BAD_LINES:
            self.shown_bad_lines.append(line)


def read_cards(path: Path, report: BulkReport) -> Iterator[CardObject]:
    """Yield every card object of the bulk file. Entries that are no cards are counted in the report.

    Raises SuiteError if the file is not a bulk file or is cut short.
    """
    import ijson

    try:
        with ExitStack() as opened:
            for position, value in enumerate(_values(_unpacked(path, opened), report), 1):
                if _is_card(value):
                    report.cards += 1
                    yield value
                else:
                    report.skip(f"object {position}: {_kind(value)}, not a card")
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile) as error:
        raise _broken(path, f"the packed data is damaged or cut short ({error})") from error
    except (ValueError, RuntimeError) as error:  # RuntimeError: a zip with a password, endless nesting
        raise _broken(path, str(error)) from error
    except ijson.JSONError as error:
        raise _broken(path, f"the JSON is broken or cut short ({_one_line(error)})") from error
    except OSError as error:
        if error.errno is None:  # bz2: the data is not valid
            raise _broken(path, f"the packed data is damaged or cut short ({error})") from error
        raise
    if not report.cards:
        why = f": {report.shown_bad_lines[0]}" if report.shown_bad_lines else ""
        raise SuiteError("Validation Error", "the bulk file holds no card", f"{path}{why}",
                         "Give --bulk-file a file of Scryfall card objects, or omit it.", EXIT_NOTHING)


def _is_card(value: object) -> TypeGuard[CardObject]:
    return isinstance(value, dict) and value.get("object", "card") == "card" and isinstance(value.get("id"), str)


def _kind(value: object) -> str:
    """What an entry is, in a word or two."""
    if not isinstance(value, dict):
        return f"a {type(value).__name__}"
    kind = value.get("object")
    return f"a Scryfall object of type {printable(kind)[:30]}" if isinstance(kind, str) and kind != "card" \
        else "an object without an id"


def _one_line(error: Exception) -> str:
    """The first line of a parser's message. The others draw the place."""
    message = error.args[0] if error.args else ""
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return text.partition("\n")[0].strip()


def _broken(path: Path, why: str) -> SuiteError:
    return SuiteError("Validation Error", "the bulk file cannot be read", f"{path}: {why}",
                      "Give a complete --bulk-file. Scryfall's own file: python download_images.py fetches it again.")


# Packed files

def _unpacked(path: Path, opened: ExitStack) -> io.BufferedReader:
    """A stream of the file's JSON text. opened closes the file. Raises ValueError if it is packed in a way that is
    not read here."""
    stream: Any = io.BufferedReader(opened.enter_context(io.FileIO(path)), READ_BYTES)
    for _ in range(MAX_LAYERS):
        head = stream.peek(512)
        if unpacker := next((name for magic, name in NOT_UNPACKED.items() if head.startswith(magic)), ""):
            raise ValueError(f"the file is packed as {unpacker}: unpack it first")
        inner = _layer(head, stream, opened)
        if inner is None:
            return stream
        stream = io.BufferedReader(opened.enter_context(inner), READ_BYTES)
    raise ValueError(f"the file is packed more than {MAX_LAYERS} times")


def _layer(head: bytes, stream: io.BufferedReader, opened: ExitStack) -> Any:
    """The content of a packed file. None if it is not packed."""
    if head.startswith(GZIP_MAGIC):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if head.startswith(XZ_MAGIC):
        return lzma.LZMAFile(stream)
    if head.startswith(BZIP2_MAGIC):
        return bz2.BZ2File(stream)
    if head.startswith(ZIP_MAGIC):
        archive = opened.enter_context(zipfile.ZipFile(stream))
        return archive.open(_with_cards({entry.filename: entry.file_size for entry in archive.infolist()}))
    if head[TAR_MARK_AT:].startswith(TAR_MARK):
        tar = opened.enter_context(tarfile.TarFile(fileobj=stream))
        return tar.extractfile(_with_cards({entry.name: entry.size for entry in tar if entry.isfile()}))
    return None


def _with_cards(sizes: dict[str, int]) -> str:
    """The file of an archive that is read, from the sizes by name: the largest JSON file, or else the largest. Folders
    and the extra entries of macOS are passed over."""
    files = {name: size for name, size in sizes.items()
             if not name.endswith("/") and not name.startswith("__MACOSX/") and name.rpartition("/")[2][:1] != "."}
    if not files:
        raise ValueError("the archive holds no file")
    chosen = max(files, key=lambda name: (".json" in name.lower(), files[name]))
    if len(files) > 1:
        _say_chosen(chosen, len(files))
    return chosen


@functools.cache
def _say_chosen(name: str, files: int) -> None:
    """Said once: a bulk file is read twice."""
    say(f"Of the {files} files in the archive, only {name} is read.")


# JSON text

def _values(stream: io.BufferedReader, report: BulkReport) -> Iterator[object]:
    """Yield the values of the text: its lines, or the elements of its array, or its objects."""
    head = stream.peek(READ_BYTES)[:READ_BYTES]
    if head.lstrip()[:1] == b"<":
        raise ValueError("the file is a web page")
    encoding = json.detect_encoding(head)
    if encoding == "utf-8-sig":
        stream.read(len(BYTE_ORDER_MARK))
        head, encoding = head[len(BYTE_ORDER_MARK):], "utf-8"
    if encoding != "utf-8":
        stream = _as_utf8(stream, encoding)
        head = stream.peek(READ_BYTES)
    if head.lstrip().startswith(b"["):
        return _items(stream, "item")
    one_a_line = not head.lstrip().startswith(b"{") or any(map(_is_card_line, head.splitlines()))
    return _lines(stream, report) if one_a_line else _items(stream)


def _is_card_line(line: bytes) -> bool:
    try:
        return _is_card(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def _lines(stream: io.BufferedReader, report: BulkReport) -> Iterator[object]:
    """Yield one object for each line. A line that is not JSON is skipped and reported."""
    for line_number in itertools.count(1):
        line = stream.readline(MAX_CARD_BYTES)
        if not line:
            return
        if len(line) == MAX_CARD_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_CARD_BYTES)
            report.skip(f"line {line_number}: longer than {MAX_CARD_BYTES:,} bytes")
        elif not line.isspace():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                report.skip(f"line {line_number}: {error.msg}")


def _items(stream: io.BufferedReader, prefix: str | None = None) -> Iterator[object]:
    """Yield the values at a prefix, as ijson writes it. Without one, the first object decides: it is a card, or it has
    the array of cards. Only one value is in memory."""
    import ijson

    text = _as_utf8(stream, "utf-8")
    if prefix is not None:
        yield from ijson.items(text, prefix, use_float=True)
        return
    events, seen = ijson.parse(text, multiple_values=True, use_float=True), list[Any]()
    prefix = _cards_prefix(events, seen)
    yield from ijson.items(itertools.chain(seen, events), prefix)


def _cards_prefix(events: Iterator[Any], seen: list[Any]) -> str:
    """Where the cards are: "" if the first object is one, else the prefix of the array of cards in it. The events read
    are appended to seen. Raises ValueError if there are MAX_CARD_EVENTS."""
    import ijson

    start = 0
    for event in events:
        place, kind, _ = event
        seen.append(event)
        if kind == "end_map" and not place:
            return ""
        if place.count(".") == 1 and place.endswith(".item"):  # an element of an array of the first object
            start = len(seen) - 1 if kind == "start_map" else start
            value = next(ijson.items(iter(seen[start:]), place), None) if kind == "end_map" else None
            if _is_card(value) and "name" in value:
                return place
        if len(seen) == MAX_CARD_EVENTS:
            raise ValueError("the first object is larger than a card and begins with no array of cards")
    return ""


class _Utf8(io.RawIOBase):
    """The bytes of a text, as UTF-8. Bytes that are not valid text become U+FFFD."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text, self._rest = text, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = self._text.read(READ_BYTES).encode(errors="replace")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _as_utf8(stream: io.BufferedReader, encoding: str) -> io.BufferedReader:
    return io.BufferedReader(_Utf8(io.TextIOWrapper(stream, encoding, errors="replace", newline="")), READ_BYTES)
