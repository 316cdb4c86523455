"""Draw photos of the kinds in which a card is easily missed, for the tests and scripts/eval_photos.py.

    photo, quads = scene_kinds.photo_of("covered", [card, other], seed=3)

Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageOps

from mirror.drawn_scenes import SIZE, TABLES, lay, scene, turned
from mtg_image_db.embedding.picture_hash import ART

Photo = tuple[Image.Image, list[np.ndarray]]
CROWD = 9  # cards of the kind "crowded"
SKINS = (224, 172, 140), (190, 130, 95), (110, 72, 52), (240, 200, 176)
# Shares of a card's width and height (left, top, right, bottom), measured on frames of 2003 and 2015, which agree.
TITLE, TEXT = (0.06, 0.05, 0.94, 0.105), (0.076, 0.626, 0.922, 0.915)
BORDERS = (236, 233, 226), (188, 188, 186), (168, 138, 72)  # white, silver, gold


def _slant(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """Seen from a low camera: wider than tall, the near side up to twice as near as the far one."""
    return scene(cards[:1], _table(random), seed, share=0.6, nearer=random.uniform(1.2, 2.0),
                 squash=random.uniform(0.55, 0.75), slant=0.02)


def _crowded(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """Nine cards in a close grid: the outlines of their neighbours and of groups are larger."""
    return scene(cards[:CROWD], _table(random), seed, share=0.97, turn=random.uniform(-3, 3), slant=0.01)


def _borderless(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """The art reaches the edges of the card, and shines through the text box. The card lies on wood."""
    card = cards[0].convert("RGB")
    full_art, title, text = (card.crop(box_of(part, card.size)) for part in (ART, TITLE, TEXT))
    borderless = ImageOps.fit(full_art, card.size, Image.Resampling.BICUBIC)
    borderless.paste(title, box_of(TITLE, card.size)[:2])
    left, top, right, bottom = box_of(TEXT, card.size)
    borderless.paste(Image.blend(borderless.crop((left, top, right, bottom)), text, 0.5), (left, top))
    return scene([borderless], "wood", seed, share=random.uniform(0.4, 0.8))


def _cut_off(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """The picture's border cuts off a quarter to two thirds of the card."""
    missing, upright = random.uniform(0.25, 0.66), random.random() < 0.5
    tall, side = 0.75, random.choice([-1, 1])  # the card's height as a share of the photo's
    out = 0.5 + tall * (missing - 0.5) if upright else 0.5 + tall * SIZE[1] / SIZE[0] * (missing - 0.5)
    return scene(cards[:1], _table(random), seed, share=tall, turn=(0 if upright else 90) + random.uniform(-8, 8),
                 slant=0.03, shift=(0, side * out) if upright else (side * out, 0))


def _covered(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """Another card or fingers lie on a quarter to a half of the card."""
    photo, quads = scene(cards[:1], _table(random), seed, share=0.6)
    pixels, quad = np.array(photo), quads[0]
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    if random.random() < 0.5 and len(cards) > 1:
        part, turn = random.uniform(0.25, 0.5), random.uniform(-0.3, 0.3)
        away = down * (1 - part) if random.random() < 0.7 else across * random.choice([-1, 1]) * (1 - part)
        middle = quad.mean(axis=0)
        lay(pixels, np.asarray(cards[1].convert("RGB")), (quad - middle) @ turned(turn) + middle + away, 5)
    else:
        _fingers(pixels, quad, random)
    return Image.fromarray(pixels), quads


def _fingers(pixels: np.ndarray, quad: np.ndarray, random: np.random.Generator) -> None:
    """Three fingers that hold the card from one of its long sides."""
    import cv2

    skin = np.array(SKINS[random.integers(len(SKINS))]) * random.uniform(0.8, 1.1)
    side, inward = (quad[[0, 3]], quad[1] - quad[0]) if random.random() < 0.5 else (quad[[1, 2]], quad[0] - quad[1])
    thick = int(0.16 * np.linalg.norm(inward))
    for at in random.uniform(0.15, 0.5) + np.arange(3) * 0.19:
        start = side[0] + at * (side[1] - side[0]) - 1.2 * inward
        end = start + inward * (1.2 + random.uniform(0.3, 0.6))
        shade = tuple((skin * random.uniform(0.9, 1.05)).tolist())
        cv2.line(pixels, tuple(np.int32(start).tolist()), tuple(np.int32(end).tolist()), shade, thick, cv2.LINE_AA)


def _glare(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """A lamp is reflected by the sleeve or the foil."""
    import cv2

    photo, quads = scene(cards[:1], _table(random), seed, share=0.6)
    light, (quad,) = np.zeros((*SIZE[::-1], 1), np.float32), quads
    tall = float(np.linalg.norm(quad[3] - quad[0]))
    for _ in range(2):
        spot = quad.mean(axis=0) + random.uniform(-0.3, 0.3, 2) * tall
        axes = int(random.uniform(0.1, 0.45) * tall), int(random.uniform(0.05, 0.14) * tall)
        cv2.ellipse(light, tuple(np.int32(spot).tolist()), axes, random.uniform(0, 180), 0, 360, 255, -1)
    light = cv2.GaussianBlur(light, (0, 0), tall / 25)[:, :, None] * random.uniform(0.8, 1.2)
    return _picture(np.asarray(photo) + light), quads


def _dim(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """A dark room: little light and much noise."""
    photo, quads = scene(cards[:1], _table(random), seed, share=0.5, blur=1.2)
    return _picture(np.asarray(photo) * random.uniform(0.12, 0.3) + random.normal(0, 5, (*SIZE[::-1], 3))), quads


def _tiny(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """A card 110 to 150 pixels high."""
    return scene(cards[:1], _table(random), seed, share=random.uniform(0.09, 0.125))


def _reframed(cards: Sequence[Image.Image], random: np.random.Generator, seed: int) -> Photo:
    """Another printing of the art: a border of another colour, other tints, and a smaller art window."""
    card = np.array(cards[0].convert("RGB"))
    height, width = card.shape[:2]
    left, top, right, bottom = box_of(ART, (width, height))
    art = Image.fromarray(card[top:bottom, left:right])
    inset = round(0.025 * width)
    card = np.clip(card * random.uniform(0.75, 1.15, 3), 0, 255).astype(np.uint8)
    card[top + inset:bottom - inset, left + inset:right - inset] = np.asarray(
        art.resize((right - left - 2 * inset, bottom - top - 2 * inset)))
    border = round(0.045 * width)
    for edge in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
        card[edge] = BORDERS[random.integers(len(BORDERS))]
    return scene([Image.fromarray(card)], _table(random), seed, share=0.6)


KINDS: dict[str, Callable[[Sequence[Image.Image], np.random.Generator, int], Photo]] = {
    "slant": _slant, "crowded": _crowded, "borderless": _borderless, "cut off": _cut_off, "covered": _covered,
    "glare": _glare, "dim": _dim, "tiny": _tiny, "another frame": _reframed}


def photo_of(kind: str, cards: Sequence[Image.Image], seed: int) -> Photo:
    """Draw a photo of this kind. Returns (photo, corners): those of cards[0], cards[1] and so on, as drawn_scenes.scene
    gives them. "crowded" shows the first nine cards, the other kinds one. "covered" may lay cards[1] on top."""
    return KINDS[kind](cards, np.random.default_rng([seed, len(kind)]), seed)


def box_of(part: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The pixels (left, top, right, bottom) of a part of a card of this size."""
    left, top, right, bottom = (round(share * side) for share, side in zip(part, size * 2, strict=True))
    return left, top, right, bottom


def _table(random: np.random.Generator) -> str:
    return TABLES[random.integers(len(TABLES))]


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
