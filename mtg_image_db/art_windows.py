"""Where the art lies on a card, by frame and layout.

    window = window_of(Printed(frame="2015", layout="saga"))    # None: the usual place, USUAL
    art = cut(picture, window or USUAL)

The edges are a little inside the frame's own. So the vectors of art do not tell which frame is around it.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CARD, ART = REGIONS = "card", "art"  # what of a picture is compared: the complete card, or the art alone
ART_SIZES = "art_crop", "art"  # Scryfall's image sizes that show the art alone
BATTLE, ROOM = "Battle", "Room"  # words of a type line
AFTERMATH, EXTENDED = "Aftermath", "extendedart"  # a keyword, and a frame effect


class Window(NamedTuple):
    """A part of a picture, in shares of its width and height. turns says how often the picture is turned clockwise by
    90 degrees first, so that the art is upright."""
    left: float
    top: float
    right: float
    bottom: float
    turns: int = 0


# Measured where the mean of many pictures has its edges: frames 2015 (1,200 cards) and 2003 (160), which also holds for
# planeswalkers (16). With edges at the frame's own place, 31% of the ten nearest to a card with the frame of 2003 had
# that frame, too, and with these 23%. By chance, 10% have it.
USUAL = Window(0.092, 0.122, 0.908, 0.546)
COMPLETE = Window(0, 0, 1, 1)  # the picture is the art alone: ART_SIZES
OLD = Window(0.120, 0.102, 0.880, 0.536)  # frames 1993 and 1997: measured on one card
SAGA = Window(0.502, 0.120, 0.916, 0.832)  # measured on 4 cards
SIEGE = Window(0.085, 0.145, 0.965, 0.560, turns=1)  # battles: measured on 10 cards
# Not measured, for want of pictures: from the proportions of the printed cards.
CLASS = Window(0.084, 0.120, 0.498, 0.832)  # the mirror image of a saga
SPLIT = Window(0.080, 0.170, 0.445, 0.515, turns=1)  # the art of the first half
DOORS = Window(0.080, 0.170, 0.920, 0.515, turns=1)  # rooms: one picture behind both halves
FIRST_HALF = Window(0.092, 0.122, 0.908, 0.275)  # the upright half of a card with aftermath
FLIP = Window(0.092, 0.335, 0.908, 0.645)
PLANE = Window(0.060, 0.160, 0.940, 0.580, turns=1)
POSTER = Window(0.050, 0.050, 0.950, 0.900)  # art series
EDGE_TO_EDGE = Window(0.050, 0.122, 0.950, 0.560)  # borderless, and extended art
FULL_ART = Window(0.060, 0.122, 0.940, 0.820)  # without a text box: basic lands, and cards without text
BY_LAYOUT = {"saga": SAGA, "class": CLASS, "split": SPLIT, "flip": FLIP, "planar": PLANE, "art_series": POSTER}
BY_FRAME = {"1993": OLD, "1997": OLD}


@dataclass(frozen=True)
class Printed:
    """What Scryfall says of how a card is printed. effects are its frame effects."""
    frame: str = ""
    layout: str = ""
    type_line: str = ""
    border: str = ""
    effects: Collection[str] = ()
    keywords: Collection[str] = ()
    full_art: bool = False
    textless: bool = False


def window_of(card: Printed) -> Window | None:
    """Where the art of a card lies. None stands for USUAL."""
    words = card.type_line.split()
    if card.layout == "split" and AFTERMATH in card.keywords:
        return FIRST_HALF
    if card.layout == "split" and ROOM in words:
        return DOORS
    if BATTLE in words:
        return SIEGE
    if window := BY_LAYOUT.get(card.layout):
        return window
    if card.textless or (card.full_art and "Basic" in words):
        return FULL_ART
    if card.full_art or card.border == "borderless" or EXTENDED in card.effects:
        return EDGE_TO_EDGE
    return BY_FRAME.get(card.frame)


def window_in(metadata: Mapping[str, Any]) -> Window | None:
    """The window that a face's metadata names. None stands for USUAL."""
    shares = metadata.get("art_window")
    return Window(*shares) if shares else None


def cut(picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The part of a picture (uint8 [H, W, 3]) that a window shows, upright and at least one pixel large."""
    turned = np.rot90(picture, -window.turns)
    height, width = turned.shape[:2]
    left, right = round(window.left * width), round(window.right * width)
    top, bottom = round(window.top * height), round(window.bottom * height)
    part = turned[min(top, height - 1):max(bottom, top + 1), min(left, width - 1):max(right, left + 1)]
    return np.ascontiguousarray(part)
