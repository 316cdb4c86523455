"""Measure the similarity of a place in a photo and an indexed picture, and move the corners to raise it.

    similarity, quad = fit_corners(quad, similarity, index.hashes[row], Pyramid(grey_photo))

Reads and writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.embedding import picture_hash
from mtg_image_db.recognition.finder import Pyramid, rectangle, straighten

# The numbers were chosen on the development photos: docs/naming.md, "How often it is right".
SIZES = -0.03, 0.0, 0.03, 0.07  # sides are moved outward by these shares: some candidates are a card's inner frame
STEPS = 0.03, 0.015, 0.008  # share of the card's size by which corners and sides are moved
MOVES = 4  # the most moves with each step
HOPELESS = 0.4  # if the similarity is lower after the first step, finer steps do not make it a card
ART_STEPS = 0.03, 0.015  # the same, for the art alone, from where the complete card is most similar
ART_HOPELESS = 0.12  # for less similar art, nothing is moved
HASHED = 96, 128  # size in pixels of the straightened card, or art window, that is hashed


def similarity_to(hashes: NDArray[np.uint8], grey: Pyramid,
                  quads: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The similarity of each straightened quad of a grey photo to each hash: float32 [len(quads), len(hashes)].

    hashes is uint8 [N, 32]. Equal pictures have 1, unrelated pictures about 0.
    """
    return picture_hash.similarity(signs_of(quads, grey), picture_hash.unpack(hashes))


def signs_of(quads: Sequence[NDArray[np.float32]], grey: Pyramid) -> NDArray[np.float32]:
    """The bits of the hashes of the straightened quads, float32 [len(quads), 256] of 1 and -1."""
    return picture_hash.signs(np.stack([
        picture_hash.grey_square(straighten(grey, quad, *HASHED, reflect=False)) for quad in quads]))


def art_signs_of(quads: Sequence[NDArray[np.float32]], photo: Pyramid) -> NDArray[np.float32]:
    """The bits of the art hashes of cards at these quads of an RGB photo, float32 [len(quads), 768] of 1 and -1."""
    left, top, right, bottom = picture_hash.ART
    window = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    return np.stack([picture_hash.art_signs(straighten(photo, in_photo(window, quad), *HASHED, reflect=False))
                     for quad in quads])


def grown(quad: NDArray[np.float32], part: float) -> NDArray[np.float32]:
    """The quadrilateral with each side moved outward by a share of the card's width or height."""
    unit = rectangle(1, 1)
    return in_photo(unit + np.float32(part) * (2 * unit - 1), quad)


def in_photo(points: NDArray[np.float32], quad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where the photo shows points of the card, float32 [n, 2] as shares of its width and height."""
    return _projected(points, rectangle(1, 1), quad)


def on_card(points: NDArray[np.float32], quad: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where points of the photo are on the card, float32 [n, 2] as shares of its width and height."""
    return _projected(points, quad, rectangle(1, 1))


def _projected(points: NDArray[np.float32], before: NDArray[np.float32],
               after: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    view = cv2.getPerspectiveTransform(np.asarray(before, np.float32), np.asarray(after, np.float32))
    return np.asarray(cv2.perspectiveTransform(points[None], view)[0], np.float32)


def fit_corners(quad: NDArray[np.float32], similarity: float, picture: NDArray[np.uint8],
                grey: Pyramid) -> tuple[float, NDArray[np.float32]]:
    """Move corners and sides to where the complete card is most similar. Returns (similarity, quad).

    picture is a perceptual hash (uint8 [32]). similarity is that of the quad before any move.
    """
    bits = picture_hash.unpack(picture[None])
    return _fit(quad, similarity, STEPS, HOPELESS,
                lambda quads: picture_hash.similarity(signs_of(quads, grey), bits)[:, 0])


def best_art(quad: NDArray[np.float32], art_hash: NDArray[np.uint8], photo: Pyramid) -> float:
    """The highest similarity of a card's art to an art hash (uint8 [96]), after small moves of the corners and sides.
    photo is RGB."""
    bits = picture_hash.unpack(art_hash[None])

    def similarities(quads: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return picture_hash.art_similarity(art_signs_of(quads, photo), bits)[:, 0]

    similarity = float(similarities([quad])[0])
    if similarity >= ART_HOPELESS:
        similarity, _ = _fit(quad, similarity, ART_STEPS, ART_HOPELESS, similarities)
    return similarity


def _fit(quad: NDArray[np.float32], similarity: float, steps: Sequence[float], hopeless: float,
         similarities: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]],
         ) -> tuple[float, NDArray[np.float32]]:
    """Move corners and sides, at most MOVES times with each step, each time to the highest similarity. Returns
    (similarity, quad) after the last move."""
    import cv2

    for step in steps:
        if step < steps[0] and similarity < hopeless:
            break
        for _ in range(MOVES):
            moved = _moved(quad, step * math.sqrt(cv2.contourArea(quad)))
            found = similarities(moved)
            if found.max() <= similarity:
                break
            similarity, quad = float(found.max()), moved[int(found.argmax())]
    return similarity, quad


def _moved(quad: NDArray[np.float32], pixels: float) -> list[NDArray[np.float32]]:
    """All quadrilaterals with one corner moved along an axis, or with one side moved outward or inward."""
    moves = []
    for corner in range(4):
        following = (corner + 1) % 4
        across = (quad[corner] - quad[following])[::-1] * np.array([1, -1], np.float32)
        outward = across / max(float(np.linalg.norm(across)), 1e-6)
        for which, direction in ((corner, (1, 0)), (corner, (0, 1)), ([corner, following], outward)):
            for sign in (1, -1):
                other = quad.copy()
                other[which] += np.asarray(direction, np.float32) * np.float32(sign * pixels)
                moves.append(other)
    return moves
