"""Draw small pictures of cards for the trainings of the networks: laid, fanned, piled, covered and cut off.

    drawn = training_scenes.draw(np.random.default_rng(1), cards)

Everything is drawn small and with few calls: a scene takes 20 ms. The scenes that measure the finder are others:
drawn_scenes.py and scene_kinds.py.
Reads   the pictures of cards that load_cards is given
Writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mirror.drawn_scenes import card_mask
from mirror.scene_kinds import BORDERS, SKINS
from mirror.training_layouts import EASY_SHARES, LAYOUTS, SHARES, Generator, Layout, camera
from mtg_image_db.common import open_pixels
from mtg_image_db.recognition.corner_net import BAR, SIDE
from mtg_image_db.recognition.finder import rectangle

CARD = 224, 312  # pixels, width and height
FARTHEST = 3 * SIDE  # corners farther away than this belong to cards of which almost nothing is seen
NARROW = 0.5625, 0.6667, 0.72, 0.75  # shorter side of a photo divided by its longer one


class Drawn(NamedTuple):
    """A scene. picture: uint8 [SIDE, SIDE, 3]. quads: float32 [n, 4, 2], corners clockwise from each card's top left.
    visible: int16 [SIDE, SIDE], the number of the card that a pixel shows, or -1."""
    picture: np.ndarray
    quads: np.ndarray
    visible: np.ndarray


def load_cards(paths: Sequence[Path]) -> list[np.ndarray]:
    """The pictures at the size in which they are drawn, uint8 [312, 224, 3] each."""
    import cv2

    return [np.asarray(cv2.resize(open_pixels(path), CARD, interpolation=cv2.INTER_AREA), np.uint8) for path in paths]


def draw(random: Generator, cards: Sequence[np.ndarray], easy: bool = False) -> Drawn:
    """Draw a scene of some of the cards. An easy one shows one card, or a few that do not touch."""
    picture, visible = _background(random, cards), np.full((SIDE, SIDE), -1, np.int16)
    quads: Layout = []
    view = camera(random)
    moved = SIDE / 2 + random.normal(0, 0.04 * SIDE, 2)
    shadow = random.uniform(0, 0.5) if random.random() < 0.7 else 0.0
    in_sleeves = random.random() < 0.2
    layout = LAYOUTS[random.choice(len(LAYOUTS), p=EASY_SHARES if easy else SHARES)]
    for corners in layout(random):
        seen = np.hstack([corners, np.ones((4, 1))]) @ view.T
        if seen[:, 2].min() < 0.25:
            continue
        quad = seen[:, :2] / seen[:, 2:] + moved
        if quad.max() < 0 or quad.min() > SIDE or np.abs(quad).max() > FARTHEST:
            continue
        if in_sleeves:
            _sleeve(picture, quad, random)
        _lay(picture, visible, _dressed(random, cards), quad, len(quads), shadow)
        quads.append(quad)
    if random.random() < 0.3:
        _fingers(picture, visible, random)
    if random.random() < 0.12:
        _coins(picture, visible, random)
    picture = _photographed(picture, random)
    if random.random() < 0.5:
        _add_bars(picture, visible, random)
    return Drawn(picture, np.array(quads, np.float32).reshape(-1, 4, 2), visible)


def _background(random: Generator, cards: Sequence[np.ndarray]) -> np.ndarray:
    """A table: plain, with a grain, with art on it, with lines, things and printed text."""
    import cv2

    base = random.uniform(10, 245, 3) if random.random() < 0.5 else random.uniform(10, 245) + random.normal(0, 8, 3)
    table = np.empty((SIDE, SIDE, 3), np.float32)
    table[:] = base
    for _ in range(int(random.integers(0, 4))):
        rows = int(2 ** random.uniform(1, 7.5))
        columns = int(rows * 2 ** random.uniform(-3, 1)) + 1
        noise = random.standard_normal((rows, columns, 3 if random.random() < 0.3 else 1), np.float32)
        grain = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).reshape(SIDE, SIDE, -1)
        table += np.float32(random.uniform(3, 30)) * grain
    if random.random() < 0.2:  # a play mat
        x, y, wide, high = random.integers([20, 36, 30, 30], [120, 120, 84, 60])
        art = _any(random, cards)[y:y + high, x:x + wide]
        art = cv2.resize(art, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        table = art * np.float32(random.uniform(0.4, 1)) + np.float32(random.uniform(0, 60))
    if random.random() < 0.6:
        for _ in range(int(random.integers(0, 25))):
            _clutter(table, base, random)
    if random.random() < 0.35:  # sheets and boxes, which are no cards
        for _ in range(int(random.integers(1, 4))):
            size = random.uniform(40, 260)
            sheet = cv2.boxPoints((random.uniform(0, SIDE, 2).tolist(), (size, size * random.uniform(0.4, 1)),
                                   random.uniform(0, 180)))
            cv2.fillConvexPoly(table, np.int32(sheet), random.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    return np.clip(table, 0, 255).astype(np.uint8)


def _any(random: Generator, cards: Sequence[np.ndarray]) -> np.ndarray:
    return cards[int(random.integers(len(cards)))]


def _clutter(table: np.ndarray, base: np.ndarray, random: Generator) -> None:
    import cv2

    points = np.int32(random.uniform(-0.2, 1.2, (4, 2)) * SIDE)
    colour = random.uniform(0, 255, 3) if random.random() < 0.5 else np.clip(base + random.normal(0, 40, 3), 0, 255)
    paint, what = colour.tolist(), random.random()
    if what < 0.45:
        cv2.line(table, points[0].tolist(), points[1].tolist(), paint, int(random.integers(1, 14)), cv2.LINE_AA)
    elif what < 0.6:
        cv2.circle(table, points[0].tolist(), int(random.integers(4, 90)), paint,
                   -1 if random.random() < 0.6 else 3, cv2.LINE_AA)
    elif what < 0.8:
        cv2.fillConvexPoly(table, cv2.convexHull(points), paint, cv2.LINE_AA)
    else:  # lines of text
        high = random.uniform(3, 14)
        for line in range(int(random.integers(2, 9))):
            left, top = points[0] + [0, 1.7 * high * line]
            for wide in random.uniform(3, 30, 8):
                cv2.rectangle(table, (int(left), int(top)), (int(left + wide), int(top + high)), paint, -1)
                left += wide + 4


def _dressed(random: Generator, cards: Sequence[np.ndarray]) -> np.ndarray:
    """A card as it is, or borderless, with a border of another colour, a back, or faded."""
    import cv2

    card, what = _any(random, cards).copy(), random.random()
    if what < 0.18:
        inner = card[36:172, 18:206] if random.random() < 0.4 else card[10:300, 10:214]
        card, other = np.asarray(cv2.resize(inner, CARD, interpolation=cv2.INTER_CUBIC)), _any(random, cards)
        if random.random() < 0.6:  # title and text printed over the art
            card[12:34, 14:210] = other[12:34, 14:210]
            card[176:290, 14:210] = cv2.addWeighted(card[176:290, 14:210], 0.3, other[176:290, 14:210], 0.7, 0)
    elif what < 0.30:
        wide = int(random.integers(7, 13))
        paint = np.clip(np.array(BORDERS[random.integers(len(BORDERS))]) + random.normal(0, 10, 3), 0, 255)
        for edge in (np.s_[:wide], np.s_[-wide:], np.s_[:, :wide], np.s_[:, -wide:]):
            card[edge] = paint
    elif what < 0.34:
        card[:] = np.clip(np.array([90, 60, 40]) + random.normal(0, 20, 3), 0, 255)
        cv2.ellipse(card, (112, 156), (85, 125), 0, 0, 360, random.uniform(60, 220, 3).tolist(), -1)
    if random.random() < 0.15:
        card = np.clip(card * random.uniform(0.6, 1.3, 3) + random.uniform(-15, 15, 3), 0, 255).astype(np.uint8)
    return card


def _lay(picture: np.ndarray, visible: np.ndarray, card: np.ndarray, quad: np.ndarray, number: int,
         shadow: float) -> None:
    """Put the card into the picture. shadow: how much darker it makes what is beside it, 0-1."""
    import cv2

    mask, longest = card_mask(*CARD), max(np.hypot(*(quad[i] - quad[i - 1])) for i in range(4))
    while longest < 0.6 * card.shape[0] and card.shape[0] > 40:
        card, mask = (cv2.resize(drawn, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for drawn in (card, mask))
    high, wide = card.shape[:2]
    first = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 6, 0)
    last = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + 7, SIDE)
    if (last - first < 4).any():
        return
    place = cv2.getPerspectiveTransform(rectangle(wide, high),
                                        np.float32(quad - first))
    size, part = (last - first).tolist(), np.s_[first[1]:last[1], first[0]:last[0]]
    cover = cv2.warpPerspective(mask, place, size)
    under, share = picture[part].astype(np.float32), cover[:, :, None].astype(np.float32) / 255
    if shadow:
        dark = cv2.GaussianBlur(np.roll(cover, (2, 2), (0, 1)), (0, 0), 3)[:, :, None].astype(np.float32) / 255
        under *= 1 - np.float32(shadow) * dark
    laid = cv2.warpPerspective(card, place, size, borderMode=cv2.BORDER_REPLICATE)
    picture[part] = np.clip(under * (1 - share) + laid * share, 0, 255).astype(np.uint8)
    visible[part][cover > 127] = number


def _sleeve(picture: np.ndarray, quad: np.ndarray, random: Generator) -> None:
    import cv2

    middle, over = quad.mean(axis=0), picture.copy()
    edge = middle + (quad - middle) * random.uniform(1.03, 1.1)
    cv2.fillConvexPoly(over, np.int32(edge), random.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    opaque = random.uniform(0.15, 1)
    picture[:] = cv2.addWeighted(over, opaque, picture, 1 - opaque, 0)


def _fingers(picture: np.ndarray, visible: np.ndarray, random: Generator) -> None:
    import cv2

    skin = np.array(SKINS[random.integers(len(SKINS))]) + random.normal(0, 10, 3)
    root, angle = random.uniform(0, SIDE, 2), random.uniform(0, 2 * math.pi)
    along = np.array([math.cos(angle), math.sin(angle)])
    for _ in range(int(random.integers(1, 5))):
        thick, mask = int(random.uniform(14, 46)), np.zeros((SIDE, SIDE), np.uint8)
        tip = root + along * random.uniform(60, 300) + random.normal(0, 10, 2)
        cv2.line(mask, np.int32(root).tolist(), np.int32(tip).tolist(), 255, thick, cv2.LINE_AA)
        share = mask[:, :, None].astype(np.float32) / 255
        shade = 1 - np.float32(0.25 / 255) * cv2.GaussianBlur(mask, (0, 0), 9)[:, :, None]
        flesh = np.float32(skin * random.uniform(0.75, 1.1)) * (0.85 + 0.15 * shade)
        picture[:] = np.clip(picture * shade * (1 - share) + flesh * share, 0, 255).astype(np.uint8)
        visible[mask > 127] = -1
        root = root + along[::-1] * [-1, 1] * thick * random.uniform(0.9, 1.6)


def _coins(picture: np.ndarray, visible: np.ndarray, random: Generator) -> None:
    import cv2

    for _ in range(int(random.integers(1, 4))):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        cv2.circle(mask, random.integers(0, SIDE, 2).tolist(), int(random.uniform(6, 45)), 255, -1)
        picture[mask > 0] = random.uniform(0, 255, 3)
        visible[mask > 0] = -1


def _photographed(picture: np.ndarray, random: Generator) -> np.ndarray:
    """Light, glare, colours, focus, noise and compression, as cameras give them."""
    import cv2

    seen = picture.astype(np.float32)
    if random.random() < 0.3:
        for _ in range(int(random.integers(1, 4))):
            glare = np.zeros((SIDE, SIDE), np.float32)
            axes = int(random.uniform(10, 130)), int(random.uniform(5, 60))
            cv2.ellipse(glare, random.integers(0, SIDE, 2).tolist(), axes, random.uniform(0, 180), 0, 360, 1, -1)
            seen += np.float32(random.uniform(60, 255)) * cv2.GaussianBlur(
                glare, (0, 0), random.uniform(3, 25))[:, :, None]
    if random.random() < 0.6:
        light = random.uniform(0.55, 1.25, random.integers(2, 4, 2)).astype(np.float32)
        seen *= cv2.resize(light, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[:, :, None]
    seen = 255 * (np.clip(seen, 0, 255) / 255) ** np.float32(random.uniform(0.6, 1.7))
    seen *= np.float32(random.uniform(0.88, 1.12, 3))
    if random.random() < 0.2:
        seen *= np.float32(random.uniform(0.2, 0.6))
    if random.random() < 0.15:
        seen[:] = seen.mean(axis=2, keepdims=True)
    if random.random() < 0.3:
        seen = seen * np.float32(random.uniform(0.5, 0.9)) + np.float32(random.uniform(0, 90))
    focus = random.random()
    if focus < 0.45:
        seen = cv2.GaussianBlur(seen, (0, 0), random.uniform(0.4, 2.2))
    elif focus < 0.6:  # the camera moved
        size = int(random.integers(3, 10))
        path = np.zeros((size, size), np.float32)
        cv2.line(path, random.integers(0, size, 2).tolist(), (size // 2, size // 2), 1)
        seen = cv2.filter2D(seen, -1, path / path.sum())
    seen += np.float32(random.uniform(0, 9)) * random.standard_normal(seen.shape, np.float32)
    shown = np.clip(seen, 0, 255).astype(np.uint8)
    if random.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 90))]
        shown = np.asarray(cv2.imdecode(cv2.imencode(".jpg", shown, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return shown


def _add_bars(picture: np.ndarray, visible: np.ndarray, random: Generator) -> None:
    """Make the photo narrower than high, or lower than wide: bars fill the rest, as in corner_net.py."""
    bar = (SIDE - int(SIDE * random.choice(NARROW))) // 2
    for edge in (np.s_[:bar], np.s_[-bar:]) if random.random() < 0.5 else (np.s_[:, :bar], np.s_[:, -bar:]):
        picture[edge], visible[edge] = BAR, -1
