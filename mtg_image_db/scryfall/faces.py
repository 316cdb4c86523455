"""Bulk file -> faces: Scryfall's card objects read one at a time, a face for each picture.

    for face in read_faces(Path("unique-artwork.jsonl.gz"), "normal"): ...

Reads   JSON Lines or a JSON array, plain or gzip, told apart by their first bytes
Writes  nothing
"""
from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import itertools
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from mtg_image_db.common import EXIT_NOTHING, SuiteError, printable
from mtg_image_db.console import ArgumentParser, directory, existing_file, number, one_of
from mtg_image_db.scryfall.bulk import BYTE_ORDER_MARK, GZIP_MAGIC, READ_BYTES

KINDS = ("unique_artwork", "default_cards", "all_cards", "oracle_cards")
# Each key of a whole card's picture, and where to look when a card lacks it: the same pixels in
# the other format, then the next larger. From the table of image sizes in Scryfall's documentation.
_ASCENDING = ("thumb", "small", "grid", "normal", "display", "large", "png")
IMAGE_KEYS = {key: _ASCENDING[i:] for i, key in enumerate(_ASCENDING)} | {
    "crop": ("crop", "border_crop", "normal", "display", "large", "png"),
    "border_crop": ("border_crop", "crop", "normal", "display", "large", "png"),
}
DEFAULT_IMAGE_SIZE = "normal"
CACHE, OUT = Path("image_cache"), Path("index_out")
WITHOUT_SCAN = ("missing", "placeholder")  # image_status of cards whose image_uris all show "no image"
# Card images live on cards.scryfall.io; other hosts of Scryfall's serve backs and the "soon" picture.
CARD_HOST, SCRYFALL_DOMAINS = "cards.scryfall.io", (".scryfall.io", ".scryfall.com")

MAX_LINE_BYTES = 16 << 20  # a card object is about 5 KB
SHOWN_BAD_LINES = 5


@dataclass(frozen=True, slots=True)
class Face:
    """One picture of a card: the card itself, or one side of it. The fields up to image_status are
    the metadata line of the index; left_out is why this face has no place there, or ""."""
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
    fell_back: bool
    left_out: str

    def metadata(self) -> dict:
        return {name: getattr(self, name) for name in METADATA_FIELDS}


METADATA_FIELDS = tuple(Face.__dataclass_fields__)[:-2]


def cache_name(image_url: str) -> str:
    """A picture's file in the cache: sha1 of its whole URL, whose query is the scan's epoch."""
    suffix = os.path.splitext(image_url.partition("?")[0])[1].lower()
    digest = hashlib.sha1(image_url.encode(), usedforsecurity=False).hexdigest()
    return digest + (suffix if suffix in (".png", ".webp") else ".jpg")


@dataclass
class BulkReport:
    """What was met while reading a bulk file; filled in by read_faces as it goes."""
    cards: int = 0
    faces: int = 0
    without_picture: int = 0
    fell_back: int = 0
    bad_lines: int = 0
    shown_bad_lines: list[str] = field(default_factory=list)

    def skip(self, line: str) -> None:
        """Count something that is no card; line says where and why, and the first few are kept."""
        self.bad_lines += 1
        if len(self.shown_bad_lines) < SHOWN_BAD_LINES:
            self.shown_bad_lines.append(line)


def shown_flags(args: argparse.Namespace) -> str:
    """What a next command needs to mean the same faces: each source flag that is not its default, a space before it."""
    defaults = {"kind": KINDS[0], "cache": CACHE, "out": OUT, "image_size": DEFAULT_IMAGE_SIZE, "limit": None,
                "bulk_file": None}
    shown = [f"--{name.replace('_', '-')} {getattr(args, name)}" for name, default in defaults.items()
             if getattr(args, name) != default]
    shown += ["--include-placeholders"] if args.include_placeholders else []
    return "".join(f" {flag}" for flag in shown)


def add_source_flags(parser: ArgumentParser) -> None:
    """The flags that say which faces are meant, the same for every script that reads the bulk file."""
    parser.add_argument("--kind", type=one_of(*KINDS), default=KINDS[0], metavar="KIND",
                        help=f"which bulk file: {', '.join(KINDS)} (default: unique_artwork)")
    parser.add_argument("--cache", type=directory, default=CACHE, metavar="DIR",
                        help="where pictures and bulk files are kept (default: image_cache)")
    parser.add_argument("--out", type=directory, default=OUT, metavar="DIR",
                        help="where results and manifests are written (default: index_out)")
    parser.add_argument("--limit", type=number(int, 1), metavar="N", help="only the first N faces (default: all)")
    parser.add_argument("--image-size", type=one_of(*IMAGE_KEYS), default=DEFAULT_IMAGE_SIZE, metavar="KEY",
                        help=f"which picture of a card: {', '.join(IMAGE_KEYS)} (default: normal)")
    parser.add_argument("--bulk-file", type=existing_file, metavar="PATH",
                        help="a bulk file of your own: JSON Lines or a JSON array, plain or gzip")
    parser.add_argument("--include-placeholders", action="store_true",
                        help="also cards that Scryfall has no scan of yet")
    parser.add_argument("--strict", action="store_true", help="exit with 4 if any picture failed")


# Faces

def read_faces(path: Path, image_size: str, include_placeholders: bool = False, limit: int | None = None,
               report: BulkReport | None = None) -> Iterator[Face]:
    """Every face of the bulk file in its order, those without a usable picture too (Face.left_out);
    ends after limit usable ones. Holds one card at a time.

    Raises SuiteError where the file is not a bulk file or is cut short.
    """
    report = report or BulkReport()
    usable = 0
    for card in _read_cards(path, report):
        sides = _sides(card)
        report.without_picture += not sides
        for face_id, side in sides:
            if usable == limit:
                return
            face = _face(card, side, face_id, image_size, include_placeholders)
            report.faces += 1
            report.fell_back += face.fell_back
            usable += not face.left_out
            yield face


def picture_urls(path: Path) -> Iterator[str]:
    """Every picture address in the bulk file, of all sizes."""
    for card in _read_cards(path, BulkReport()):
        for _, side in _sides(card):
            yield from filter(lambda url: isinstance(url, str), side["image_uris"].values())


def _sides(card: dict) -> list[tuple[str, dict]]:
    """(face_id, the object that has the picture) of a card. Where image_uris are decides, never layout:
    new layouts appear every year."""
    if isinstance(card.get("image_uris"), dict):
        return [(card["id"], card)]
    sides = card.get("card_faces")
    return [(f"{card['id']}:face:{i}", side) for i, side in enumerate(sides if isinstance(sides, list) else ())
            if isinstance(side, dict) and isinstance(side.get("image_uris"), dict)]


def _face(card: dict, side: dict, face_id: str, image_size: str, include_placeholders: bool) -> Face:
    def text(key: str, default: str | None = "") -> str | None:
        """The field of the side, else of the card; one that is no text counts as not there."""
        return next((value for value in (side.get(key), card.get(key)) if value and isinstance(value, str)), default)

    uris, colors = side["image_uris"], side.get("colors") or card.get("colors")
    # Next the larger ones; a card that has only smaller pictures still has its largest.
    order = *IMAGE_KEYS[image_size], *reversed(_ASCENDING)
    key = next((key for key in order if isinstance(uris.get(key), str)), "")
    url = uris.get(key, "")
    return Face(
        name=text("name"), scryfall_id=card["id"], face_id=face_id, set=text("set"),
        collector_number=text("collector_number"), frame=text("frame"), layout=text("layout"), lang=text("lang"),
        colors=[color for color in colors if isinstance(color, str)] if isinstance(colors, list) else [],
        image_url=url, card_url=uris["normal"] if isinstance(uris.get("normal"), str) else url,
        scryfall_uri=text("scryfall_uri"), oracle_id=text("oracle_id", None),
        illustration_id=text("illustration_id", None), artist=text("artist"), released_at=text("released_at", None),
        image_status=text("image_status", None), fell_back=key != image_size,
        left_out=_why_left_out(url, card, include_placeholders))


def _why_left_out(url: str, card: dict, include_placeholders: bool) -> str:
    if card.get("image_status") in WITHOUT_SCAN and not include_placeholders:
        return "placeholder"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host or not url.startswith(("https://", "http://")):
        return f"invalid: not a web address: {printable(url)[:100]}"
    if host != CARD_HOST and host.endswith(SCRYFALL_DOMAINS):
        return f"invalid: {printable(host)} serves no card images"
    return ""


# Cards

def _read_cards(path: Path, report: BulkReport) -> Iterator[dict]:
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    with gzip.open(path) if packed else open(path, "rb") as stream:
        reader = io.BufferedReader(stream, READ_BYTES)  # type: ignore[arg-type]
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
                         "Give --bulk-file a file of Scryfall card objects, or leave it away.", EXIT_NOTHING)


def _is_card(value: object) -> bool:
    return isinstance(value, dict) and value.get("object", "card") == "card" and isinstance(value.get("id"), str)


def _broken(path: Path, why: str) -> SuiteError:
    return SuiteError("Validation Error", "the bulk file cannot be read", f"{path}: {why}",
                      "python download_images.py fetches a damaged snapshot again; a --bulk-file must be whole.")


def _lines(reader: io.BufferedReader, report: BulkReport) -> Iterator[object]:
    """One object a line; a line that is none is skipped and reported."""
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
    """The elements of one JSON array, however it is broken into lines, holding a window of it.

    Raises ValueError where an element is not JSON or the array does not end.
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
        try:  # as for lines: the standard library lets half a surrogate pass, which no file can hold
            yield orjson.loads(window[start:at].encode())
        except orjson.JSONDecodeError:
            yield None
