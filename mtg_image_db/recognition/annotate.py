"""A photo with its cards outlined, numbered and named.

    write(path, drawn(open_pixels(photo), cards))

Reads   nothing
Writes  the picture, as JPEG, PNG or WEBP according to the file name
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.common import atomic_file
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition.cards import LIKELY, RECOGNISED, UNKNOWN, Card

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
# By state: the outline, and the background of the number and the name. White text on it has a contrast of at least 4.5.
COLOURS = {RECOGNISED: ("#35c77f", "#1a7a4c"), LIKELY: ("#f2c230", "#8a6400"), UNKNOWN: ("#ff8a3c", "#b3541e")}
WEBP_SIDE = 16_383  # pixels, the format's limit
LINE_PART, TEXT_PART = 250, 36  # the longer side divided by these gives the width of the line and the size of the text
SMALL_TEXT = 0.6  # size of the text, where names do not fit on their cards: part of the usual one
PLACES = 0.5, 0.25, 0.75  # where a number is tried: shares of the way from the top of the card to its bottom

Box = tuple[float, float, float, float]  # left, top, right, bottom


def caption(card: Card, number: int) -> str:
    """The caption of the card with this number."""
    if card.state == UNKNOWN:
        return f"{number}. unknown"
    return f"{number}. {card.matches[0].name}" + (", likely" if card.state == LIKELY else "")


def drawn(photo: NDArray[np.uint8], cards: Sequence[Card], scale: float = 1.0, named: bool = True) -> Image:
    """Draw the cards on the upright RGB photo (uint8 [H, W, 3]), which was decoded at this scale.

    Each card is outlined, the top side double. The name stands over each card. If two names would cover each other,
    each card shows its number, and the names are listed below the photo. With named=False, there are only numbers.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(photo)
    draw, side = ImageDraw.Draw(picture), max(picture.size)
    line, size = max(2, side // LINE_PART), max(10, side // TEXT_PART)
    quads = [[(x * scale, y * scale) for x, y in card.quad] for card in cards]
    for card, corners in zip(cards, quads, strict=True):
        draw.line([*corners, corners[0], corners[1]], COLOURS[card.state][0], line, joint="curve")
        draw.line(corners[:2], COLOURS[card.state][0], 2 * line)
    font, captions = ImageFont.load_default(size), [caption(card, number) for number, card in enumerate(cards, 1)]
    boxes = [_over(corners, _size(draw, text, font, line), picture.size)
             for corners, text in zip(quads, captions, strict=True)]
    if named and not any(_cover(*pair) for pair in itertools.combinations(boxes, 2)):
        for card, text, box in zip(cards, captions, boxes, strict=True):
            _label(draw, text, font, box, line, COLOURS[card.state][1])
        return picture
    numbers, taken = ImageFont.load_default(max(10, round(size * SMALL_TEXT))), list[Box]()
    for number, (card, corners) in enumerate(zip(cards, quads, strict=True), 1):
        box = _free_box(corners, _size(draw, str(number), numbers, line), picture.size, taken)
        taken.append(box)
        _label(draw, str(number), numbers, box, line, COLOURS[card.state][1])
    return _with_list(picture, captions, [COLOURS[card.state][1] for card in cards], size) if named else picture


def _size(draw: ImageDraw, text: str, font: Any, line: int) -> tuple[float, float]:
    """(Width, height) of a label with this text."""
    _, _, right, bottom = draw.textbbox((0, 0), text, font)
    return right + 2 * line, bottom + 2 * line


def _over(corners: Sequence[tuple[float, float]], size: tuple[float, float], within: tuple[int, int]) -> Box:
    """The box of a label over a card, within the picture."""
    return _moved_in(min(x for x, _ in corners), min(y for _, y in corners) - size[1], size, within)


def _moved_in(left: float, top: float, size: tuple[float, float], within: tuple[int, int]) -> Box:
    left, top = (max(0.0, min(at, extent - part)) for at, extent, part in zip((left, top), within, size, strict=True))
    return left, top, left + size[0], top + size[1]


def _cover(box: Box, other: Box) -> bool:
    """True if two boxes have a common part."""
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _free_box(corners: Sequence[tuple[float, float]], size: tuple[float, float], within: tuple[int, int],
              taken: Sequence[Box]) -> Box:
    """The box of a number on a card, where it covers no other number. If there is none, the one in the middle."""
    boxes = list(_boxes_on(corners, size, within))
    return next((box for box in boxes if not any(_cover(box, other) for other in taken)), boxes[0])


def _boxes_on(corners: Sequence[tuple[float, float]], size: tuple[float, float],
              within: tuple[int, int]) -> Iterator[Box]:
    quad = np.array(corners)
    for down, across in itertools.product(PLACES, PLACES):
        top, bottom = quad[0] + across * (quad[1] - quad[0]), quad[3] + across * (quad[2] - quad[3])
        x, y = top + down * (bottom - top)
        yield _moved_in(x - size[0] / 2, y - size[1] / 2, size, within)


def _label(draw: ImageDraw, text: str, font: Any, box: Box, line: int, background: str) -> None:
    draw.rectangle(box, background)
    draw.text((box[0] + line, box[1] + line), text, "white", font)


def _with_list(picture: Image, captions: Sequence[str], colours: Sequence[str], size: int) -> Image:
    """The picture with the captions below it, in as many columns as fit."""
    from PIL import Image, ImageDraw, ImageFont

    font, gap = ImageFont.load_default(max(10, round(size * SMALL_TEXT))), size
    draw = ImageDraw.Draw(picture)
    captions = [_shortened(draw, text, font, picture.width - gap) for text in captions]
    wide = gap + max(draw.textlength(text, font) for text in captions)
    columns = max(1, int((picture.width - gap) // wide))
    lines = -(-len(captions) // columns)
    listed = Image.new("RGB", (picture.width, picture.height + (lines + 1) * gap), "white")
    listed.paste(picture)
    draw = ImageDraw.Draw(listed)
    for at, (text, colour) in enumerate(zip(captions, colours, strict=True)):
        column, row = divmod(at, lines)
        draw.text((gap / 2 + column * wide, picture.height + (row + 0.5) * gap), text, colour, font)
    return listed


def _shortened(draw: ImageDraw, text: str, font: Any, width: float) -> str:
    """The text, or its beginning and dots, if it is wider than this."""
    kept = len(text)
    while kept > 1 and draw.textlength(text[:kept] + "..." * (kept < len(text)), font) > width:
        kept -= 1
    return text[:kept] + "..." * (kept < len(text))


def write(path: Path, picture: Image) -> None:
    """Write the picture in the format of the path's suffix (one of FORMATS). It is shrunk if the format requires it."""
    if max(picture.size) > WEBP_SIDE and path.suffix.lower() == ".webp":
        picture.thumbnail((WEBP_SIDE, WEBP_SIDE))
    remove_leftovers(path.parent)
    with atomic_file(path) as file:
        picture.save(file, FORMATS[path.suffix.lower()], quality=90)
