"""Card objects -> faces: a face for each picture of a card, and for each printing of an artwork.

    for face in read_faces(Path("unique-artwork.jsonl.gz"), Source(image_size="normal")): ...
    for artwork, face in read_printings(Path("default-cards.jsonl.gz"), artworks): ...

Reads   the bulk file, through card_objects.py
Writes  nothing
"""
from __future__ import annotations

import argparse
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtg_image_db.arguments import CACHE, OUT
from mtg_image_db.art_windows import COMPLETE, Window
from mtg_image_db.artefacts import artwork_key
from mtg_image_db.console import printable
from mtg_image_db.scryfall.art_places import window_of
from mtg_image_db.scryfall.card_objects import BulkReport, CardObject, read_cards
from mtg_image_db.scryfall.hosts import CARD_HOST, DOMAINS

KINDS = ("unique_artwork", "default_cards", "all_cards", "oracle_cards")
NO_PRINTINGS = "none"
PRINTINGS_KINDS = ("default_cards", "all_cards", NO_PRINTINGS)  # of --printings
# Each image size, and the sizes to use if a card lacks it: first the same pixels in the other format, then the next
# larger. From the table of image sizes in Scryfall's documentation.
_ASCENDING = ("thumb", "small", "grid", "normal", "display", "large", "png")
IMAGE_KEYS = {key: _ASCENDING[i:] for i, key in enumerate(_ASCENDING)} | {
    "crop": ("crop", "border_crop", "normal", "display", "large", "png"),
    "border_crop": ("border_crop", "crop", "normal", "display", "large", "png"),
}
# Sizes that show the art alone. A card without them gives its picture, in which the art has its window.
ART_KEYS = dict.fromkeys(("art_crop", "art"), ("art_crop", "art", *IMAGE_KEYS["normal"]))
IMAGE_SIZES = IMAGE_KEYS | ART_KEYS
WITHOUT_SCAN = ("missing", "placeholder")  # a card with this image_status has a "no image" picture in every size


@dataclass(frozen=True)
class Source:
    """The faces to use, their bulk file and the folder of their pictures.

    image_size is a key of IMAGE_SIZES. limit is the number of usable faces (None: all). bulk_file is a file to read
    instead of the snapshot of this kind. printings is the kind of bulk file that lists the printings of each artwork,
    or NO_PRINTINGS.
    """
    kind: str = KINDS[0]
    cache: Path = CACHE
    limit: int | None = None
    image_size: str = "normal"
    bulk_file: Path | None = None
    include_placeholders: bool = False
    printings: str = PRINTINGS_KINDS[0]


def source_from_args(args: argparse.Namespace) -> Source:
    """The Source that the flags of arguments.add_source_flags describe."""
    return Source(kind=args.kind, cache=args.cache, limit=args.limit, image_size=args.image_size,
                  bulk_file=args.bulk_file, include_placeholders=args.include_placeholders, printings=args.printings)


def printings_source(source: Source) -> Source | None:
    """Where the printings are read: another snapshot, or the same bulk file if it is of that kind. None for
    NO_PRINTINGS."""
    if source.printings == NO_PRINTINGS:
        return None
    return source if source.printings == source.kind else replace(source, kind=source.printings, bulk_file=None)


@dataclass(frozen=True, slots=True)
class Face:
    """One picture of a card: of the card itself, or of one side.

    The fields up to art_window are the metadata line of the index. name is that of the side, and card_name that of
    the card: "Delver of Secrets // Insectile Aberration". The last two ids are the shops' numbers. art_window is
    where the art lies in the picture (art_windows.Window), or None for the usual place. The next four describe a
    printing. size_fallback is true if the card lacks the wanted size. skip_reason says why the face is not
    indexed. It is "" if it is indexed.
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
    card_name: str
    set_name: str
    rarity: str
    finishes: list[str]
    printed_name: str | None
    type_line: str
    tcgplayer_id: int | None
    cardmarket_id: int | None
    color_identity: list[str]
    art_window: Window | None
    border_color: str
    promo: bool
    promo_types: list[str]
    full_art: bool
    size_fallback: bool
    skip_reason: str

    def metadata(self) -> dict[str, Any]:
        window = self.art_window and list(self.art_window)
        return {name: getattr(self, name) for name in METADATA_FIELDS} | {"art_window": window}


METADATA_FIELDS = tuple(Face.__dataclass_fields__)[:-6]


def flags_of(source: Source, out: Path) -> list[str]:
    """The flags that the next command needs for the same faces: those without their default value."""
    values = {"kind": source.kind, "cache": source.cache, "out": out, "image_size": source.image_size,
              "limit": source.limit, "bulk_file": source.bulk_file, "printings": source.printings}
    defaults = {"kind": Source.kind, "cache": CACHE, "out": OUT, "image_size": Source.image_size,
                "printings": Source.printings}
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
    for card in read_cards(path, report):
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
    for card in read_cards(path, BulkReport()):
        for _, side in _sides(card):
            yield from _pictures(side).values()


def read_printings(path: Path, artworks: Container[str],
                   report: BulkReport | None = None) -> Iterator[tuple[str, Face]]:
    """Yield (artwork key, face) for every printing in paper of these artworks, whether it has a picture or not.

    Raises SuiteError if the file is not a bulk file or is cut short.
    """
    source = Source()
    for card in read_cards(path, report or BulkReport()):
        for face_id, side in _printed_sides(card) if _in_paper(card) else ():
            artwork = artwork_key(_text(side, card, "illustration_id"), _text(side, card, "name") or "")
            if artwork in artworks:
                yield artwork, _face(card, side, face_id, source)


def _in_paper(card: CardObject) -> bool:
    """True if the card exists in paper. Where `games` says nothing, every card counts that is not digital. Reprints
    that no tournament allows had an empty list in 2019."""
    games = card.get("games")
    return "paper" in games if games and isinstance(games, list) else card.get("digital") is not True


def _printed_sides(card: CardObject) -> list[tuple[str, CardObject]]:
    """(face_id, object) for each side that is an artwork of its own. The pictures decide. If the card has none, the
    artworks' ids do. If it has no ids either, the card and each side may be meant: the artwork's name tells them
    apart."""
    if found := _sides(card):
        return found
    sides = _card_faces(card)
    if _text(card, card, "illustration_id"):
        return [(card["id"], card)]
    return sides if any(_text(side, card, "illustration_id") for _, side in sides) else [(card["id"], card), *sides]


def _card_faces(card: CardObject) -> list[tuple[str, CardObject]]:
    """(face_id, object) for each of the card_faces."""
    sides = card.get("card_faces")
    return [(f"{card['id']}:face:{i}", side) for i, side in enumerate(sides if isinstance(sides, list) else ())
            if isinstance(side, dict)]


def _sides(card: CardObject) -> list[tuple[str, CardObject]]:
    """(face_id, the object that has the picture) for each picture of a card. The position of the pictures decides, not
    the layout: new layouts appear every year."""
    found = [(face_id, side) for face_id, side in _card_faces(card) if isinstance(side.get("image_uris"), dict)]
    own = isinstance(card.get("image_uris"), dict)
    # Where both have addresses, those that lead to a picture count. If none does, the card's own are the reason.
    if own and (not found or _has_picture(card) or not any(_has_picture(side) for _, side in found)):
        return [(card["id"], card)]
    return found


def _has_picture(side: CardObject) -> bool:
    """True if one of its addresses is that of a picture of a whole card."""
    return any(key in IMAGE_KEYS and not _fault(url) for key, url in _pictures(side).items())


def _pictures(side: CardObject) -> dict[str, str]:
    """The picture URLs of a card or of one side, by image size. Empty if it has none."""
    uris = side.get("image_uris")
    return {key: url for key, url in uris.items() if url and isinstance(url, str)} if isinstance(uris, dict) else {}


def _text(side: CardObject, card: CardObject, key: str) -> str | None:
    """The side's field, or the card's if the side has none. A field that is not text counts as missing."""
    return next((value for value in (side.get(key), card.get(key)) if value and isinstance(value, str)), None)


def _face(card: CardObject, side: CardObject, face_id: str, source: Source) -> Face:
    def text_or_none(key: str) -> str | None:
        return _text(side, card, key)

    def text(key: str) -> str:
        return text_or_none(key) or ""

    def number(key: str) -> int | None:
        return value if isinstance(value := card.get(key), int) and not isinstance(value, bool) else None

    uris, colors = _pictures(side), side.get("colors") or card.get("colors")
    # The wanted size, then the larger ones. A card with only smaller pictures gives its largest.
    order = source.image_size, *IMAGE_SIZES[source.image_size], *reversed(_ASCENDING)
    key = next((key for key in order if key in uris), "")
    url = uris.get(key, "")
    return Face(
        name=text("name"), scryfall_id=card["id"], face_id=face_id, set=text("set"),
        collector_number=text("collector_number"), frame=text("frame"), layout=text("layout"), lang=text("lang"),
        colors=_texts(colors),
        image_url=url, card_url=uris.get("normal", url),
        scryfall_uri=_without_tracking(text("scryfall_uri")), oracle_id=text_or_none("oracle_id"),
        illustration_id=text_or_none("illustration_id"), artist=text("artist"),
        released_at=text_or_none("released_at"), image_status=text_or_none("image_status"),
        card_name=card_name if isinstance(card_name := card.get("name"), str) else text("name"),
        set_name=text("set_name"), rarity=text("rarity"), finishes=_texts(card.get("finishes")),
        printed_name=text_or_none("printed_name"), type_line=text("type_line"), tcgplayer_id=number("tcgplayer_id"),
        cardmarket_id=number("cardmarket_id"), color_identity=_texts(card.get("color_identity")),
        art_window=COMPLETE if key in ART_KEYS else window_of(card, text), border_color=text("border_color"),
        promo=card.get("promo") is True, promo_types=_texts(card.get("promo_types")),
        full_art=card.get("full_art") is True, size_fallback=key != source.image_size,
        skip_reason=_skip_reason(uris, url, card, source.include_placeholders))


def _texts(value: object) -> list[str]:
    """The texts in a list. Anything else counts as an empty list."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _without_tracking(link: str) -> str:
    """The link without the parameters that tell its server who sent the visitor: ?utm_source=api."""
    page, _, query = link.partition("?")
    kept = "&".join(part for part in query.split("&") if not part.startswith("utm_"))
    return f"{page}?{kept}" if kept else page


def _skip_reason(uris: dict[str, str], url: str, card: CardObject, include_placeholders: bool) -> str:
    if card.get("image_status") in WITHOUT_SCAN and not include_placeholders:
        return "placeholder"
    if not url:
        return f"invalid: no picture of a whole card{', only ' * bool(uris)}{printable(', '.join(uris))[:100]}"
    return _fault(url)


def _fault(url: str) -> str:
    """Why there is no card picture at an address. Empty if there may be one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("https", "http"):
        return f"invalid: not a web address: {printable(url)[:100]}"
    if host != CARD_HOST and host.endswith(DOMAINS):
        return f"invalid: {printable(host)} serves no card images"
    return ""
