"""A photo -> quadrilaterals that may be cards, by a small neural network that has learned where corners are.

    for candidate in find_corners(photo):
        card = straighten(Pyramid(photo), candidate.quad, 244, 340)

The network sees the photo at 384 x 384 pixels. Each part of a card that can be seen tells where all four corners are:
also those that are covered, or outside the photo. scripts/train_finder.py has trained it, on scenes drawn of 1,537
cards: 3,600 steps, seed 1. Its corners are then off by 12% of a card in the median, in scenes with all kinds of covers.
Reads   card_corners.onnx beside this file
Writes  nothing
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.recognition import networks
from mtg_image_db.recognition.finder import Candidate, Picture, Quad, intersection_over_union, is_clockwise

WEIGHTS = Path(__file__).with_name("card_corners.onnx")
SIDE = 384  # pixels: the photo's longer side becomes this long. Bars fill the shorter one
BAR = 114  # their grey value
STRIDE = 8  # pixels between two cells. Each cell tells the corners of the card that is seen there
TURNS = 4  # a cell has an answer for cards that are turned by about 0, 45, 90 and 135 degrees
UNIT = 64.0  # pixels: the unit of the answers
MIN_CONFIDENCE = 0.15
COMPARED = 400  # answers that are compared, the most confident first
SAME, AGREEING = 0.6, 0.8  # intersection over union from which on two answers are of one card, and are averaged
MAX_CANDIDATES = 40



def find_corners(photo: Picture) -> list[Candidate]:
    """At most MAX_CANDIDATES quadrilaterals in an RGB photo (uint8 [H, W, 3]), the most confident first. The first side
    of each is a card's top or bottom."""
    picture, scale, offset = _boxed(photo)
    quads, confidence = _answers(networks.run(WEIGHTS, picture[None])[0])
    return _distinct((quads - offset) / np.float32(scale), confidence)


def _boxed(photo: Picture) -> tuple[Picture, float, NDArray[np.float32]]:
    """(the photo in the middle of a square, uint8 [SIDE, SIDE, 3], its scale, where its top left is)."""
    import cv2

    scale = SIDE / max(photo.shape[:2])
    height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    square, left, top = np.full((SIDE, SIDE, 3), BAR, np.uint8), (SIDE - width) // 2, (SIDE - height) // 2
    square[top:top + height, left:left + width] = small
    return square, scale, np.array([left, top], np.float32)


def _answers(output: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The network's output, float32 [9 * TURNS, rows, columns], as quads (float32 [n, 4, 2], in pixels of the square)
    and confidences (float32 [n], 0-1), the most confident first."""
    confidence = 1 / (1 + np.exp(-output[:TURNS]))
    first = np.argsort(-confidence, axis=None)[:COMPARED]
    turn, row, column = np.unravel_index(first, confidence.shape)
    corners = output[TURNS:].reshape(TURNS, 8, *output.shape[1:])[turn, :, row, column].reshape(-1, 4, 2)
    centres = np.stack([column, row], axis=1)[:, None].astype(np.float32) * STRIDE + STRIDE / 2
    kept = confidence[turn, row, column] >= MIN_CONFIDENCE
    return (centres + UNIT * corners)[kept].astype(np.float32), confidence[turn, row, column][kept].astype(np.float32)


def _distinct(quads: NDArray[np.float32], confidence: NDArray[np.float32]) -> list[Candidate]:
    """One candidate a card: the mean of the answers that agree, each weighted by the square of its confidence."""
    groups: list[list[tuple[float, Quad]]] = []
    for quad, sure in zip(quads, confidence.tolist(), strict=True):
        if not is_clockwise(quad):
            continue
        for group in groups:
            shared = intersection_over_union(quad, group[0][1])
            if shared > SAME:
                if shared > AGREEING:
                    group.append((sure, _alike(quad, group[0][1])))
                break
        else:
            if len(groups) < MAX_CANDIDATES:
                groups.append([(sure, quad)])
    return [Candidate(np.average([quad for _, quad in group], axis=0,
                                 weights=[sure ** 2 for sure, _ in group]).astype(np.float32), group[0][0])
            for group in groups]


def _alike(quad: Quad, other: Quad) -> Quad:
    """The quadrilateral, or it turned by half a turn, whichever is nearer to the other."""
    turned = np.roll(quad, 2, axis=0)
    return quad if np.abs(quad - other).sum() <= np.abs(turned - other).sum() else turned
