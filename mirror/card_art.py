"""Paint the art of an invented card: one of four kinds of picture, in the colours of the card.

    art = paint(np.random.RandomState([7, 1]), seed=7, colors="UW", width=420, height=300)

Reads and writes  nothing
"""
from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageColor, ImageDraw

Array = NDArray[Any]
PALETTES = {  # for each letter three palettes of five colours: dark, middle, light, pale, accent
    "W": "4a3b2a 9c7b4f d9b978 f6e8c6 e8743b 3d4663 8b93ad cfc8c2 f7f2e6 d8a13a 5a3f46 b0848a e3bfae fbeede 5f9ea8",
    "U": "0b1f3a 1f4e79 4a90b8 b9e0ea f2b84b 1a1b4b 3a4aa0 6f9be0 d3e6f7 f0718a 08313a 0f6a73 39a9a0 bff0de ff9f5a",
    "B": "120d1c 3a2748 6d4b7d b79ac0 a4d65e 0f1013 2e3138 5d5a66 b5a9a2 d03a50 0d1a1c 263b3d 52696a a5b8ae d88cf0",
    "R": "2a0a0a 7a1f16 c8482c f4a259 ffe08a 2b1320 7d2a4b d1495b f79d65 fff1b8 2d1606 8a3f0c d9801f fbc560 d2f0e8",
    "G": "0d1f12 25502c 4f8a3a a9c76a f5e27a 10231f 1f5c4b 3f9b72 a8dcae f08a4b 1f2209 515a17 8f9a2f d4d98a c45a8a",
    "": "1e1f24 50545e 8f959c d5d6d2 d98a3d 2a211b 6b5646 a38c74 ddcdb4 5aa6a6 20262b 4a5a66 8fa0a8 dfe6e6 c98a5a",
}


def mix(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Array:
    """A mix of two colours. With `share` 0 it is the first, with 1 the second."""
    mixed: Array = np.asarray(first, float) * (1 - np.asarray(share)) + np.asarray(second, float) * share
    return mixed


def rgb(colour: str | ArrayLike) -> tuple[int, int, int]:
    """Three integers from 0 to 255, for a colour such as #3f76a8 or for any three numbers."""
    values = np.clip(ImageColor.getrgb(colour) if isinstance(colour, str) else colour, 0, 255)
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def to_picture(pixels: ArrayLike) -> Image.Image:
    """Turn float pixels [height, width, 3] into an RGB picture."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _palette(random: np.random.RandomState, colors: str) -> Array:
    """Five colours: the dark ones belong to the first letter, the light ones to the last."""
    first, last = (PALETTES[letter].split() for letter in (colors[:1], colors[-1:]))
    a, b = 5 * random.randint(3), 5 * random.randint(3)
    names = first[a:a + 2] + last[b + 2:b + 4] + first[a + 4:a + 5]
    colours: Array = np.clip(np.array([rgb("#" + name) for name in names]) * random.uniform(0.88, 1.12, 3), 0, 255)
    return colours


def _ramp(palette: Array, field: Array) -> Array:
    """Colour a field: dark where it is 0, pale where it is 1."""
    return np.stack([np.interp(field, np.linspace(0, 1, 4), palette[:4, k]) for k in range(3)], -1)


def noise(random: np.random.RandomState, w: int, h: int, cells: int, octaves: int = 4) -> Array:
    """Clouds: float32 [h, w] from 0 to 1. The largest clouds are 1/`cells` of the width."""
    total: Array = np.zeros((h, w), np.float32)
    for octave in range(octaves):
        n = cells << octave
        grid = random.random_sample((max(2, n * h // w) + 1, n + 1)).astype(np.float32)
        total += np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC)) / 2**octave
    total -= total.min()
    total /= total.max()
    return total


def _fill_below(image: Image.Image, line: Array, top: ArrayLike, bottom: ArrayLike) -> None:
    """Fill the area below a line from colour `top` to colour `bottom`. The line has a y for each x."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([(0, image.height), *enumerate(line.tolist()), image.size], fill=255)
    column = to_picture(mix(top, bottom, np.linspace(0, 1, image.height)[:, None, None]))
    image.paste(column.resize(image.size), mask=mask)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, fill: ArrayLike) -> None:
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=rgb(fill))


def _night(random: np.random.RandomState, palette: Array, w: int, h: int) -> Image.Image:
    cloud = np.clip(noise(random, w, h, 3) - 0.5, 0, 1)[..., None] ** 1.3
    art = _ramp(palette, 0.42 * noise(random, w, h, random.randint(2, 5), 5) ** 1.5) * 0.8 + cloud * palette[4]
    stars = np.zeros((h, w, 1))
    stars[random.randint(1, h, 500), random.randint(1, w, 500), 0] = random.uniform(80, 255, 500)
    art += np.maximum(np.maximum(stars, np.roll(stars, 1, 0)), np.roll(stars, 1, 1))
    x, y, radius = w * random.uniform(0.25, 0.75), h * random.uniform(0.25, 0.5), h * random.uniform(0.1, 0.27)
    dx, dy = np.arange(w) - x, np.arange(h)[:, None] - y
    lit = np.clip(0.5 + (dx * random.uniform(-1, 1) - dy * 0.6) / radius, 0.05, 1)[..., None]
    planet = _ramp(palette, 0.35 + 0.65 * noise(random, w, h, random.randint(3, 9), 3)) * lit
    image = to_picture(np.where((np.hypot(dx, dy) < radius)[..., None], planet, art))
    if random.random_sample() < 0.5:
        box = (x - radius * 1.9, y - radius * 0.45, x + radius * 1.9, y + radius * 0.45)
        # The arc omits the part of the ring behind the planet.
        ImageDraw.Draw(image).arc(box, -40, 220, rgb(palette[3]), int(radius * 0.14) + 2)
    hills = h * (0.95 - 0.2 * noise(random, w, 2, random.randint(2, 7), 5)[0])
    _fill_below(image, hills, palette[0] * 0.5, palette[0] * 0.2)
    return image


def _facets(random: np.random.RandomState, palette: Array, w: int, h: int) -> Image.Image:
    nx, ny = random.randint(6, 15), random.randint(5, 11)
    grid = np.stack(np.meshgrid(np.linspace(0, w, nx + 1), np.linspace(0, h, ny + 1)), -1)
    grid[1:-1, 1:-1] += random.uniform(-0.42, 0.42, (ny - 1, nx - 1, 2)) * (w / nx, h / ny)
    field, bright, image = noise(random, w, h, 2, 3), random.uniform(0.2, 0.8, 2) * (w, h), Image.new("RGB", (w, h))
    for j, i in np.ndindex(ny, nx):
        a, b, c, d = grid[j, i], grid[j, i + 1], grid[j + 1, i + 1], grid[j + 1, i]
        for corners in ((a, b, c), (a, c, d)) if random.randint(2) else ((b, c, d), (b, d, a)):
            middle = np.mean(corners, 0)
            tone = np.clip(0.85 * field[int(middle[1]), int(middle[0])] + random.uniform(-0.13, 0.13), 0, 1)
            glow = 0.9 * np.exp(-np.hypot(*(middle - bright)) / (0.22 * w))
            colour = rgb(mix(_ramp(palette, tone), palette[4], glow))
            ImageDraw.Draw(image).polygon(np.ravel(corners).tolist(), fill=colour)
    return image


def _forest(random: np.random.RandomState, palette: Array, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h))
    draw, slim, radius = ImageDraw.Draw(image), random.uniform(0.5, 1.3), h * random.uniform(0.06, 0.18)
    high = mix(palette[2], palette[3], random.uniform(0, 0.7))
    low_sky = mix(palette[3], palette[4], random.uniform(0, 0.5))
    _fill_below(image, np.zeros(w), high, low_sky)
    _disc(draw, w * random.uniform(0.15, 0.85), h * random.uniform(0.15, 0.45), radius, radius, palette[4] + 40)
    for depth in np.linspace(0, 1, random.randint(3, 6)):
        colour = mix(mix(palette[2], palette[3], 0.3), palette[0], depth)
        foot, tall = h * (0.66 + 0.34 * depth), h * (0.3 + 0.5 * depth)
        ridge = foot - 0.06 * h * noise(random, w, 2, 4, 5)[0]
        _fill_below(image, ridge, colour, mix(colour, palette[3], 0.4 * (1 - depth)))
        for x in np.arange(-20, w + 40, tall * random.uniform(0.2, 0.4)) + random.uniform(-18, 18):
            top = foot - tall * random.uniform(0.6, 1.1)
            draw.rectangle((x - 3, top, x + 3, foot), fill=rgb(colour))
            for tier in range(4):
                y, half = top + tier * (foot - top) * 0.19, tall * (0.07 + 0.035 * tier)
                low, wide = y + half * 1.6, half * slim
                draw.polygon([(x, y - half), (x - wide, low), (x + wide, low)], fill=rgb(colour))
    return image


def _beast(random: np.random.RandomState, palette: Array, w: int, h: int) -> Image.Image:
    cx, cy, s = w / 2, h * random.uniform(0.5, 0.6), min(w, h) * random.uniform(0.85, 1.1)
    dx, dy = np.arange(w) - cx, np.arange(h)[:, None] - cy + s * 0.15
    fall = np.exp(-np.hypot(dx, dy) / (0.35 * w))
    rays = random.uniform(0.02, 0.14) * np.sin(np.arctan2(dy, dx) * random.randint(5, 19))
    field = 0.15 + 0.6 * fall + rays + 0.22 * noise(random, w, h, 4)
    image = to_picture(mix(_ramp(palette, field), palette[4], 0.55 * fall[..., None] ** 2))
    draw, dark, mid = ImageDraw.Draw(image), palette[0] * 0.6, mix(palette[0], palette[1], 0.7)
    head, horn, tall, span = s * random.uniform((0.11, 0.1, 0.2, 0.5), (0.18, 0.34, 0.45, 0.75))
    up, feathers = cy - s * 0.23, random.choice([0, 3, 5, 7])
    for side in (-1, 1):
        for k in range(feathers):
            x, y = side * span * np.cos(1.5 * k / feathers - 0.9), span * np.sin(1.5 * k / feathers - 0.9)
            wing = [(cx, cy - s * 0.12), (cx + x, cy + y), (cx + x * 0.6, cy + y * 0.6 + s * 0.2)]
            draw.polygon(wing, fill=rgb(dark if k % 2 else mid))
        draw.polygon([(cx, up), (cx + side * horn, up - tall), (cx + side * head, up)], fill=rgb(mid))
        _disc(draw, cx + side * s * 0.12, cy + s * 0.3, s * 0.06, s * 0.2, dark)
    _disc(draw, cx, cy + s * 0.12, s * random.uniform(0.16, 0.26), s * random.uniform(0.2, 0.32), dark)
    _disc(draw, cx, up, head, head * random.uniform(0.85, 1.25), dark)
    for k, side in itertools.product(range(random.randint(1, 4)), (-1, 1)):
        x, y, eye = cx + side * head * (0.45 + 0.12 * k), up - head * (0.1 + 0.38 * k), head * (0.26 - 0.06 * k)
        _disc(draw, x, y, eye, eye * 0.75, palette[4])
        _disc(draw, x, y, eye * 0.3, eye * 0.7, dark)
    return image


PAINTERS = (_forest, _beast, _night, _facets)


def shows_a_beast(seed: int) -> bool:
    """True if the art of this seed is a creature."""
    return PAINTERS[seed % len(PAINTERS)] is _beast


def paint(random: np.random.RandomState, seed: int, colors: str, width: int, height: int) -> Image.Image:
    """The art of this seed and these colour letters, RGB."""
    # Drawn at twice the size and halved, because ImageDraw has no antialiasing.
    double = PAINTERS[seed % len(PAINTERS)](random, _palette(random, colors), width * 2, height * 2)
    drawn = np.asarray(double.reduce(2), np.float32)
    dx, dy = np.arange(width) - width / 2, np.arange(height)[:, None] - height / 2
    light = 1.06 - 0.6 * ((dx / width) ** 2 + (dy / height) ** 2) + 0.16 * (noise(random, width, height, 24, 3) - 0.5)
    return to_picture(drawn * light[..., None] + random.normal(0, 4, (height, width, 1)))
