"""Where the art lies on a card: by frame and layout, as Scryfall's card object tells them.

    window = window_of(card, lambda key: card.get(key, ""))    # None: the usual place, art_windows.USUAL

Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Callable

from mtg_image_db.art_windows import Window
from mtg_image_db.scryfall.card_objects import CardObject

# The edges are a little inside the frame's own, as those of USUAL.
OLD = Window(0.120, 0.102, 0.880, 0.536)  # frames 1993 and 1997: measured on one card
SAGA = Window(0.502, 0.120, 0.916, 0.832)  # measured on 4 cards
SIEGE = Window(0.085, 0.145, 0.965, 0.560, turns=1)  # battles: measured on 10 cards
# Not measured, for want of pictures: from the proportions of the printed cards.
CLASS = Window(0.084, 0.120, 0.498, 0.832)  # the mirror image of a saga. Cases have it too
SPLIT = Window(0.080, 0.170, 0.445, 0.515, turns=1)  # the art of the first half
ROOM = Window(0.080, 0.170, 0.920, 0.515, turns=1)  # one picture behind both halves
AFTERMATH_TOP = Window(0.092, 0.122, 0.908, 0.328)  # the upright half
FLIP = Window(0.092, 0.305, 0.908, 0.618)
PLANE = Window(0.060, 0.160, 0.940, 0.580, turns=1)
ART_CARD = Window(0.050, 0.050, 0.950, 0.900)  # art series
EDGE_TO_EDGE = Window(0.050, 0.122, 0.950, 0.560)  # borderless, and extended art
FULL_ART = Window(0.060, 0.122, 0.940, 0.820)  # without a text box: basic lands, and cards without text
BY_LAYOUT = {"class": CLASS, "case": CLASS, "split": SPLIT, "flip": FLIP, "planar": PLANE, "art_series": ART_CARD}
BY_TYPE = {"Saga": SAGA, "Battle": SIEGE}  # whatever the layout: both also transform
BY_FRAME = {"1993": OLD, "1997": OLD}


def window_of(card: CardObject, text: Callable[[str], str]) -> Window | None:
    """Where the art of a card or of one side lies. None stands for USUAL. text gives a field of the side, or else of
    the card, as text."""
    layout, words = text("layout"), text("type_line").split()
    if layout == "split" and _has_aftermath(card):
        return AFTERMATH_TOP
    if layout == "split" and "Room" in words:
        return ROOM
    for window in (*(BY_TYPE[word] for word in words if word in BY_TYPE), BY_LAYOUT.get(layout)):
        if window:
            return window
    if card.get("textless") is True or (card.get("full_art") is True and "Basic" in words):
        return FULL_ART
    extended = "extendedart" in _list(card, "frame_effects")
    if card.get("full_art") is True or text("border_color") == "borderless" or extended:
        return EDGE_TO_EDGE
    return BY_FRAME.get(text("frame"))


def _has_aftermath(card: CardObject) -> bool:
    """True if the second half lies across the first. Bulk files of 2019 have no keywords: then its text tells."""
    halves = _list(card, "card_faces")
    second = halves[1].get("oracle_text") if len(halves) > 1 and isinstance(halves[1], dict) else ""
    return "Aftermath" in _list(card, "keywords") or (isinstance(second, str) and second.startswith("Aftermath"))


def _list(card: CardObject, key: str) -> list[object]:
    value = card.get(key)
    return value if isinstance(value, list) else []
