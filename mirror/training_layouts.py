"""Where cards lie in a training scene: one, cut off, a few, in rows, in a fan, in a pile. And the camera above them.

    corners = LAYOUTS[random.choice(len(LAYOUTS), p=SHARES)](random)

Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mirror.drawn_scenes import turned
from mtg_image_db.recognition.corner_net import SIDE
from mtg_image_db.recognition.finder import CARD_RATIO

Generator = np.random.Generator
Layout = list[np.ndarray]  # corners, [4, 2] each, in pixels around the middle of the table. The last card is on top


def camera(random: Generator) -> np.ndarray:
    """A homography [3, 3] from the table into the picture: a camera at any angle, seldom a low one."""
    tilt = min(abs(random.normal()) * math.radians(random.choice([6, 18, 35])), math.radians(60))
    turn, distance = turned(random.uniform(0, 2 * math.pi)), random.uniform(0.9, 2.2) * SIDE
    around, tilted = np.eye(3), np.eye(3)
    around[:2, :2] = turn
    tilted[1:, 1:] = [[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]]
    space = around.T @ tilted @ around
    return np.vstack([space[:2] * [1, 1, 0], [*space[2, :2] / distance, 1]])


def _corners(middle: np.ndarray, tall: float, angle: float) -> np.ndarray:
    wide = tall * CARD_RATIO
    return np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2 @ turned(angle) + middle


def _direction(random: Generator) -> float:
    """The angle of a card: any, or about that of the picture."""
    if random.random() < 0.55:
        return float(random.uniform(0, 2 * math.pi))
    return float(random.choice([0, 0.5, 1, 1.5], p=[0.7, 0.1, 0.1, 0.1]) * math.pi + random.normal(0, 0.12))


def _one(random: Generator) -> Layout:
    tall = SIDE * random.uniform(0.18, 0.98)
    return [_corners(random.uniform(-0.45, 0.45, 2) * (SIDE - 0.8 * tall), tall, _direction(random))]


def _cut_off(random: Generator) -> Layout:
    return [_corners(random.uniform(-0.55, 0.55, 2) * SIDE, SIDE * random.uniform(0.4, 1.6), _direction(random))]


def _few(random: Generator) -> Layout:
    tall, up = SIDE * random.uniform(0.2, 0.5), _direction(random)
    placed: Layout = []
    for middle in random.uniform(-0.5, 0.5, (20, 2)) * SIDE:
        if all(np.hypot(*(middle - other.mean(axis=0))) > 0.9 * tall for other in placed):
            angle = up + random.normal(0, 0.3) if random.random() < 0.7 else random.uniform(0, 2 * math.pi)
            placed.append(_corners(middle, tall, angle))
        if len(placed) == 5:
            break
    return placed[:random.integers(2, 6)]


def _grid(random: Generator) -> Layout:
    """A binder page, cards in rows, or columns in which each card covers most of the one above."""
    tall, up = SIDE / random.integers(2, 8) * random.uniform(0.75, 1.1), _direction(random)
    across = random.uniform(1.0, 1.15)
    down = random.uniform(0.15, 0.6) if random.random() < 0.3 else across
    rows, columns, disorder = int(random.integers(1, 7)), int(random.integers(1, 8)), random.uniform(0, 0.08)
    placed = []
    for row in range(rows):
        for column in range(columns):
            middle = np.array([(column - (columns - 1) / 2) * CARD_RATIO * across, (row - (rows - 1) / 2) * down])
            middle = tall * middle @ turned(up) + random.normal(0, 0.3 * disorder, 2) * tall
            placed.append(_corners(middle, tall, up + random.normal(0, disorder)))
    return placed


def _fan(random: Generator) -> Layout:
    """Cards as they are held in a hand, or laid down one over the other."""
    count, tall, up = int(random.integers(2, 12)), SIDE * random.uniform(0.35, 1.1), _direction(random)
    step, reach, shift = random.uniform(-0.22, 0.22), random.uniform(0.5, 3), random.uniform(0.03, 0.3)
    along = random.uniform(0, 2 * math.pi) if random.random() < 0.5 else \
        random.choice([0, 0.5, 1, 1.5]) * math.pi + random.normal(0, 0.2)
    start, placed = random.uniform(-0.15, 0.15, 2) * SIDE, []
    for number in np.arange(count) - count / 2:
        angle = number * step
        middle = np.array([math.sin(angle) * reach, (1 - math.cos(angle)) * reach]) + random.normal(0, 0.02, 2)
        middle += number * shift * np.array([math.cos(along), math.sin(along)])
        placed.append(_corners(tall * middle @ turned(up) + start, tall, up + angle + random.normal(0, 0.04)))
    return placed if random.random() < 0.5 else placed[::-1]


def _pile(random: Generator) -> Layout:
    tall, up = SIDE * random.uniform(0.25, 0.8), _direction(random)
    return [_corners(random.normal(0, 0.28, 2) * SIDE, tall, random.uniform(0, 2 * math.pi) if random.random() < 0.6
                     else up + random.normal(0, 0.3)) for _ in range(int(random.integers(2, 9)))]


def _none(random: Generator) -> Layout:
    return []


LAYOUTS: tuple[Callable[[Generator], Layout], ...] = (_one, _cut_off, _few, _grid, _fan, _pile, _none)
EASY_SHARES = 0.7, 0, 0.3, 0, 0, 0, 0
SHARES = 0.2, 0.13, 0.14, 0.12, 0.28, 0.11, 0.02
