"""A photo with its cards outlined and named.

    write(path, drawn(open_pixels(photo), cards))

Reads   nothing
Writes  the picture, as JPEG, PNG or WEBP according to the file name
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.common import atomic_file
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.recognition.namer import Card

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
RECOGNISED, NOT_RECOGNISED = ("#35c77f", "#1a7a4c"), ("#ff8a3c", "#b3541e")  # outline, background of the caption
NOT_KNOWN = "Not recognised"
WEBP_SIDE = 16_383  # pixels, the format's limit
LINE_PART, TEXT_PART = 250, 36  # the longer side divided by these gives the width of the line and the size of the text


def shown(cards: Sequence[Card]) -> Sequence[Card]:
    """The cards to show to a user: the recognised ones. If there are none, the best guess."""
    return [card for card in cards if card.accepted] or cards[:1]


def caption(card: Card, number: int) -> str:
    """The caption of the shown card with this number."""
    return f"{number}. {card.matches[0].name}" if card.accepted else NOT_KNOWN


def drawn(photo: NDArray[np.uint8], cards: Sequence[Card], scale: float = 1.0) -> Image:
    """Draw each shown card's outline and caption on the upright RGB photo (uint8 [H, W, 3]), which was decoded at this
    scale. The top side is double."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(photo)
    draw, side = ImageDraw.Draw(picture), max(picture.size)
    line, font = max(2, side // LINE_PART), ImageFont.load_default(max(10, side // TEXT_PART))
    for number, card in enumerate(shown(cards), 1):
        colour, background = RECOGNISED if card.accepted else NOT_RECOGNISED
        corners = [(x * scale, y * scale) for x, y in card.quad]
        draw.line([*corners, corners[0], corners[1]], colour, line, joint="curve")
        draw.line(corners[:2], colour, 2 * line)
        left, top = min(x for x, _ in corners), min(y for _, y in corners)
        text = caption(card, number)
        box = draw.textbbox((0, 0), text, font)
        at = (max(0, min(left, picture.width - box[2] - 2 * line)), max(0, top - box[3] - 2 * line))
        draw.rectangle((at[0], at[1], at[0] + box[2] + 2 * line, at[1] + box[3] + 2 * line), background)
        draw.text((at[0] + line, at[1] + line), text, "white", font)
    return picture


def write(path: Path, picture: Image) -> None:
    """Write the picture in the format of the path's suffix (one of FORMATS). It is shrunk if the format requires it."""
    if max(picture.size) > WEBP_SIDE and path.suffix.lower() == ".webp":
        picture.thumbnail((WEBP_SIDE, WEBP_SIDE))
    remove_leftovers(path.parent)
    with atomic_file(path) as file:
        picture.save(file, FORMATS[path.suffix.lower()], quality=90)
