"""Draw photos of cards: pictures laid on a table in known perspective, for the tests and the demo.

    photo, quads = drawn_scenes.scene([card], "wood", seed=3)

Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

TABLES = ("white", "black", "wood", "cloth", "clutter")
SIZE = 900, 1200
SUPERSAMPLED = 2


def scene(cards: Sequence[Image.Image], table: str = "wood", seed: int = 0, *, size: tuple[int, int] = SIZE,
          share: float = 0.55, turn: float | None = None, slant: float = 0.12, blur: float = 0.7,
          shift: tuple[float, float] = (0, 0), nearer: float = 1.0,
          squash: float = 1.0) -> tuple[Image.Image, list[np.ndarray]]:
    """Draw a photo of the cards. Returns (photo, each card's corners). The corners are float32 [4, 2], clockwise
    from the card's top left.

    size: width and height in pixels. share: the part of its place's height that a card fills. turn: degrees clockwise
    (None: random). slant: how far the corners leave the rectangle, as a part of its size. shift: how far all cards are
    moved, as a part of the photo's size. They may leave the photo. nearer and squash tilt each card, as a camera low
    over the table sees it: its near side is `nearer` times nearer than its far side, and its height is squashed.
    """
    import cv2

    random = np.random.default_rng(seed)
    width, height = (side * SUPERSAMPLED for side in size)
    photo = _table(table, random, width, height)
    columns = math.ceil(math.sqrt(len(cards) * size[0] / size[1]))
    rows = math.ceil(len(cards) / columns)
    quads = []
    for number, card in enumerate(cards):
        middle = np.array([(number % columns + 0.5) / columns + shift[0],
                           (number // columns + 0.5) / rows + shift[1]]) * (width, height)
        tall = share * min(height / rows, width / columns * 88 / 63)
        angle = math.radians(turn if turn is not None else random.uniform(-25, 25) + 180 * random.integers(2))
        quad = _tilted(_card_corners(tall, angle, slant, random), tall, nearer, squash) + middle
        quads.append((quad / SUPERSAMPLED).astype(np.float32))
        lay(photo, np.asarray(card.convert("RGB")), quad, round(tall / 60))
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    light = 1 + 0.25 * np.linspace(-1, 1, size[0])[None, :, None] * random.uniform(-1, 1)
    noisy = cv2.GaussianBlur(photo, (0, 0), blur) * light + random.normal(0, 3, photo.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), quads


def _card_corners(tall: float, angle: float, slant: float, random: np.random.Generator) -> np.ndarray:
    wide = tall * 63 / 88
    corners = np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2
    corners *= 1 + random.uniform(-slant, slant, (4, 1))
    return np.asarray(corners @ turned(angle))


def turned(angle: float) -> np.ndarray:
    """A matrix [2, 2]. Points [n, 2] @ this matrix are turned clockwise by an angle in radians."""
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _tilted(corners: np.ndarray, tall: float, nearer: float, squash: float) -> np.ndarray:
    """The corners around the card's middle, seen by a low camera. Its bottom is near."""
    depth = 1 - corners[:, 1] / (tall / 2) * (nearer - 1) / (nearer + 1)
    return np.asarray(corners * [1, squash] / depth[:, None])


def lay(photo: np.ndarray, card: np.ndarray, quad: np.ndarray, shadow: int) -> None:
    """Put the card (uint8 [h, w, 3]) into the photo at these corners, with round corners and a shadow of this width."""
    import cv2

    height, width = card.shape[:2]
    mask = card_mask(width, height)
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    place = cv2.getPerspectiveTransform(flat, quad.astype(np.float32))
    size = photo.shape[1::-1]
    cover = cv2.warpPerspective(mask, place, size)
    left, top, wide, tall = cv2.boundingRect(cover)
    reach = 3 * max(1, shadow) + 1  # of the blur: elsewhere nothing changes, and a whole photo takes 0.2 s
    here = np.s_[max(0, top - reach):top + tall + reach, max(0, left - reach):left + wide + reach]
    dark = cv2.GaussianBlur(cover[here], (0, 0), max(1, shadow))[:, :, None] / 255
    laid = cv2.warpPerspective(card, place, size, flags=cv2.INTER_AREA)[here]
    cover = cover[here][:, :, None] / 255
    part = photo[here] * (1 - 0.35 * dark)
    part *= 1 - cover
    part += laid * cover
    photo[here] = part


def card_mask(width: int, height: int) -> np.ndarray:
    """uint8 [height, width]: 255 inside a card with round corners, 0 outside."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    radius = width // 21
    cv2.rectangle(mask, (radius, 0), (width - radius, height), 255, -1)
    cv2.rectangle(mask, (0, radius), (width, height - radius), 255, -1)
    for x in (radius, width - 1 - radius):
        for y in (radius, height - 1 - radius):
            cv2.circle(mask, (x, y), radius, 255, -1)
    return mask


def _table(kind: str, random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """The picture of the table, uint8 [height, width, 3]."""
    import cv2

    plain = {"white": (228, 226, 220), "black": (38, 36, 40), "wood": (176, 132, 86), "cloth": (52, 92, 66),
             "clutter": (150, 150, 156)}[kind]
    table = np.full((height, width, 3), plain, np.float32)
    if kind == "wood":
        grain = cv2.resize(random.normal(0, 1, (height // 24, 12)).astype(np.float32), (width, height),
                           interpolation=cv2.INTER_CUBIC)
        table += 14 * grain[:, :, None]
        for board in range(1, 5):
            cv2.line(table, (0, board * height // 5), (width, board * height // 5), (96, 68, 44), 5)
    elif kind == "cloth":
        table += 22 * random.normal(0, 1, (height, width, 1)).astype(np.float32)
    elif kind == "clutter":
        for _ in range(40):
            at = random.uniform(0, 1, (2, 2)) * (width, height)
            colour = tuple(random.uniform(20, 240, 3).tolist())
            if random.random() < 0.5:
                cv2.line(table, tuple(map(int, at[0])), tuple(map(int, at[1])), colour, int(random.integers(4, 24)))
            else:
                cv2.circle(table, tuple(map(int, at[0])), int(random.integers(20, width // 10)), colour, -1)
    noisy = random.normal(0, 4, table.shape)
    noisy += table  # in place: each copy of it would be 100 MB
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)
