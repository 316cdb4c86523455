"""Bulk file -> faces: read Scryfall's card objects one at a time, and give a face for each picture.

    for face in read_faces(Path("unique-artwork.jsonl.gz"), Source(image_size="normal")): ...

Reads   JSON Lines or a JSON array, plain or gzip. The first bytes decide
Writes  nothing
"""
from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import orjson

from mtg_image_db.arguments import CACHE, OUT
from mtg_image_db.console import EXIT_NOTHING, SuiteError, printable
from mtg_image_db.scryfall.hosts import CARD_HOST, DOMAINS

CardObject = dict[str, Any]  # a Scryfall card object, or one of its card_faces

KINDS = ("unique_artwork", "default_cards", "all_cards", "oracle_cards")
# Each image size, and the sizes to use if a card lacks it: first the same pixels in the other format, then the next
# larger. From the table of image sizes in Scryfall's documentation.
_ASCENDING = ("thumb", "small", "grid", "normal", "display", "large", "png")
IMAGE_KEYS = {key: _ASCENDING[i:] for i, key in enumerate(_ASCENDING)} | {
    "crop": ("crop", "border_crop", "normal", "display", "large", "png"),
    "border_crop": ("border_crop", "crop", "normal", "display", "large", "png"),
}
WITHOUT_SCAN = ("missing", "placeholder")  # a card with this image_status has a "no image" picture in every size
BYTE_ORDER_MARK, GZIP_MAGIC = b"\xef\xbb\xbf", b"\x1f\x8b"
READ_BYTES = 1 << 20
MAX_LINE_BYTES = 16 << 20  # a card object is about 5 KB
SHOWN_BAD_LINES = 5


@dataclass(frozen=True)
class Source:
    """The faces to use, their bulk file and the folder of their pictures.

    image_size is a key of IMAGE_KEYS. limit is the number of usable faces (None: all). bulk_file is a file to read
    instead of the snapshot of this kind.
    """
    kind: str = KINDS[0]
    cache: Path = CACHE
    limit: int | None = None
    image_size: str = "normal"
    bulk_file: Path | None = None
    include_placeholders: bool = False


def source_from_args(args: argparse.Namespace) -> Source:
    """The Source that the flags of arguments.add_source_flags describe."""
    return Source(kind=args.kind, cache=args.cache, limit=args.limit, image_size=args.image_size,
                  bulk_file=args.bulk_file, include_placeholders=args.include_placeholders)


@dataclass(frozen=True, slots=True)
class Face:
    """One picture of a card: of the card itself, or of one side.

    The fields up to image_status are the metadata line of the index. size_fallback is true if the card lacks the wanted
    size. skip_reason says why the face is not indexed. It is "" if the face is indexed.
    """
    name: str
    scryfall_id: str
    face_id: str
    set: str
    collector_number: str
    frame: str
    layout: str
    lang: str
    colors: list[str]
    image_url: str
    card_url: str
    scryfall_uri: str
    oracle_id: str | None
    illustration_id: str | None
    artist: str
    released_at: str | None
    image_status: str | None
    size_fallback: bool
    skip_reason: str

    def metadata(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in METADATA_FIELDS}


METADATA_FIELDS = tuple(Face.__dataclass_fields__)[:-2]


@dataclass
class BulkReport:
    """Counts of a bulk file. read_faces fills it while iterating."""
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


def flags_of(source: Source, out: Path) -> list[str]:
    """The flags that the next command needs for the same faces: those without their default value."""
    values = {"kind": source.kind, "cache": source.cache, "out": out, "image_size": source.image_size,
              "limit": source.limit, "bulk_file": source.bulk_file}
    defaults = {"kind": Source.kind, "cache": CACHE, "out": OUT, "image_size": Source.image_size}
    flags = [word for name, value in values.items() if value != defaults.get(name)
             for word in (f"--{name.replace('_', '-')}", str(value))]
    return [*flags, "--include-placeholders"] if source.include_placeholders else flags


# Faces

def read_faces(path: Path, source: Source | None = None, report: BulkReport | None = None) -> Iterator[Face]:
    """Yield every face of the bulk file in order, also faces without a usable picture (see Face.skip_reason). Stops
    after source.limit usable faces. Holds one card in memory at a time.

    Raises SuiteError if the file is not a bulk file or is cut short.
    """
    source, report = source or Source(), report or BulkReport()
    usable = 0
    for card in _read_cards(path, report):
        sides = _sides(card)
        report.without_picture += not sides
        for face_id, side in sides:
            if usable == source.limit:
                return
            face = _face(card, side, face_id, source)
            report.faces += 1
            report.size_fallbacks += face.size_fallback
            usable += not face.skip_reason
            yield face


def picture_urls(path: Path) -> Iterator[str]:
    """Yield every picture URL in the bulk file, of all sizes."""
    for card in _read_cards(path, BulkReport()):
        for _, side in _sides(card):
            yield from filter(lambda url: isinstance(url, str), side["image_uris"].values())


def _sides(card: CardObject) -> list[tuple[str, CardObject]]:
    """(face_id, the object that has the picture) for each picture of a card. The position of image_uris decides, not
    the layout: new layouts appear every year."""
    if isinstance(card.get("image_uris"), dict):
        return [(card["id"], card)]
    sides = card.get("card_faces")
    return [(f"{card['id']}:face:{i}", side) for i, side in enumerate(sides if isinstance(sides, list) else ())
            if isinstance(side, dict) and isinstance(side.get("image_uris"), dict)]


def _face(card: CardObject, side: CardObject, face_id: str, source: Source) -> Face:
    def text_or_none(key: str) -> str | None:
        """The side's field, or the card's if the side has none. A field that is not text counts as missing."""
        return next((value for value in (side.get(key), card.get(key)) if value and isinstance(value, str)), None)

    def text(key: str) -> str:
        return text_or_none(key) or ""

    uris, colors = side["image_uris"], side.get("colors") or card.get("colors")
    # The wanted size, then the larger ones. A card with only smaller pictures gives its largest.
    order = *IMAGE_KEYS[source.image_size], *reversed(_ASCENDING)
    key = next((key for key in order if isinstance(uris.get(key), str)), "")
    url = uris.get(key, "")
    return Face(
        name=text("name"), scryfall_id=card["id"], face_id=face_id, set=text("set"),
        collector_number=text("collector_number"), frame=text("frame"), layout=text("layout"), lang=text("lang"),
        colors=[color for color in colors if isinstance(color, str)] if isinstance(colors, list) else [],
        image_url=url, card_url=uris["normal"] if isinstance(uris.get("normal"), str) else url,
        scryfall_uri=text("scryfall_uri"), oracle_id=text_or_none("oracle_id"),
        illustration_id=text_or_none("illustration_id"), artist=text("artist"),
        released_at=text_or_none("released_at"), image_status=text_or_none("image_status"),
        size_fallback=key != source.image_size, skip_reason=_skip_reason(url, card, source.include_placeholders))


def _skip_reason(url: str, card: CardObject, include_placeholders: bool) -> str:
    if card.get("image_status") in WITHOUT_SCAN and not include_placeholders:
        return "placeholder"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host or not url.startswith(("https://", "http://")):
        return f"invalid: not a web address: {printable(url)[:100]}"
    if host != CARD_HOST and host.endswith(DOMAINS):
        return f"invalid: {printable(host)} serves no card images"
    return ""


# Cards

def _read_cards(path: Path, report: BulkReport) -> Iterator[CardObject]:
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    with gzip.open(path) if packed else open(path, "rb") as stream:
        reader: Any = io.BufferedReader(stream, READ_BYTES)
        try:
            if reader.peek(3).startswith(BYTE_ORDER_MARK):
                reader.read(3)
            values = _array(reader) if reader.peek(64).lstrip()[:1] == b"[" else _lines(reader, report)
            for position, value in enumerate(values, 1):
                if _is_card(value):
                    report.cards += 1
                    yield value
                else:
                    report.skip(f"object {position}: not a card")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _broken(path, f"the gzip data is damaged or cut short ({error})") from error
        except (ValueError, RecursionError) as error:
            raise _broken(path, str(error)) from error
    if not report.cards:
        raise SuiteError("Validation Error", "the bulk file holds no card", path,
                         "Give --bulk-file a file of Scryfall card objects, or omit it.", EXIT_NOTHING)


def _is_card(value: object) -> TypeGuard[CardObject]:
    return isinstance(value, dict) and value.get("object", "card") == "card" and isinstance(value.get("id"), str)


def _broken(path: Path, why: str) -> SuiteError:
    return SuiteError("Validation Error", "the bulk file cannot be read", f"{path}: {why}",
                      "python download_images.py fetches a damaged snapshot again; a --bulk-file must be complete.")


def _lines(reader: io.BufferedReader, report: BulkReport) -> Iterator[object]:
    """Yield one object for each line. A line that is not an object is skipped and reported."""
    for line_number in itertools.count(1):
        line = reader.readline(MAX_LINE_BYTES)
        if not line:
            return
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = reader.readline(MAX_LINE_BYTES)
            report.skip(f"line {line_number}: longer than {MAX_LINE_BYTES:,} bytes")
        elif not line.isspace():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                report.skip(f"line {line_number}: {error}")


def _array(reader: io.BufferedReader) -> Iterator[object]:
    """Yield the elements of one JSON array. Line breaks may be anywhere. Only a window of the file is in memory.

    Raises ValueError if an element is not JSON or if the array does not end.
    """
    decoder = json.JSONDecoder()
    text = io.TextIOWrapper(reader, encoding="utf-8", errors="replace")
    window, at = text.read(READ_BYTES).lstrip()[1:], 0
    while True:
        while at < len(window) and window[at] in " \t\r\n,":
            at += 1
        if window[at:at + 1] == "]":
            return
        try:
            start, (_, at) = at, decoder.raw_decode(window, at)
        except json.JSONDecodeError:
            more = text.read(READ_BYTES)
            if not more or len(window) - at > MAX_LINE_BYTES:
                raise ValueError("the JSON array is broken or cut short") from None
            window, at = window[at:] + more, 0
            continue
        try:  # the standard library accepts half a surrogate, which no file can hold
            yield orjson.loads(window[start:at].encode())
        except orjson.JSONDecodeError:
            yield None
