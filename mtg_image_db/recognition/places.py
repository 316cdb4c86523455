"""A photo -> the places where cards may lie, by outlines and by two networks.

    for place in guesses(photo):
        card = straighten(Pyramid(photo), place.quad, 244, 340)

corner_net.py and finder.py propose rough places. corner_refiner.py moves their corners, and tells which corner is the
card's top left. namer.py then asks the index which places are cards.
Reads and writes  nothing
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike

from mtg_image_db.recognition.corner_net import find_corners
from mtg_image_db.recognition.corner_refiner import Place, refine
from mtg_image_db.recognition.finder import (
    SAME_PLACE,
    Picture,
    Pyramid,
    find_quads,
    intersection_over_union,
    overlap,
    rectangle,
    upright,
)

# The numbers were chosen on the development photos: docs/naming.md.
SAME_ROUGH = 0.9  # intersection over union from which on an outline adds nothing to what the network found
SAME_REFINED = 0.75  # intersection over union from which on two refined places are one
MIN_CONFIDENCE = 0.2  # of 630 less confident places in the development photos, 15 were at a known card
MAX_REFINED = 60
FARTHEST = 3  # times the photo's longer side: corners farther away are of no card
MIN_SURE = 0.9  # that the refiner has found the top left. From it on, only this turn is tried
MIN_SURE_UPRIGHT = 0.6  # from it on, this turn and the reverse are tried. Below it, all four
ALIKE = 0.6  # quads are of about one size if the smaller area is at least this share of the larger one
# Two such quads are at one place from this intersection over union on, or if this share of the smaller one lies in the
# larger one. Two cards of a fan have up to 0.60 and 0.76.
SAME_IOU, WITHIN = 0.7, 0.9


def guesses(photo: Picture) -> list[Place]:
    """Places where cards may be in an RGB photo (uint8 [H, W, 3]).

    The complete photo comes first, both ways up, or in all four turns if it is wider than high. Nothing has looked at
    it, so its confidence is 0. Then the places that were found, the most confident first. A place comes two or four
    times if its top left is not sure.
    """
    frame = rectangle(photo.shape[1], photo.shape[0])
    frames = [frame, np.roll(frame, 2, axis=0)]
    if not np.array_equal(upright(frame), frame):
        frames += [upright(frame), np.roll(upright(frame), 2, axis=0)]
    found = []
    for place in find_places(photo):
        turns = (0,) if place.sure >= MIN_SURE else (0, 2) if place.sure >= MIN_SURE_UPRIGHT else (0, 2, 1, 3)
        found += [place._replace(quad=np.roll(place.quad, turn, axis=0)) for turn in turns]
    return [Place(frame, 0.0, 0.0) for frame in frames] + found


def find_places(photo: Picture) -> list[Place]:
    """At most MAX_REFINED places that may be cards in an RGB photo (uint8 [H, W, 3]), the most confident first."""
    with ThreadPoolExecutor(1) as beside:  # 0.05 s less for a photo, of 0.24
        corners = beside.submit(find_corners, photo)
        outlined = [candidate.quad for candidate in find_quads(photo)]
        learned = [candidate.quad for candidate in corners.result()]
    new = [quad for quad in outlined if all(intersection_over_union(quad, other) < SAME_ROUGH for other in learned)]
    pyramid, farthest = Pyramid(photo), FARTHEST * max(photo.shape[:2])
    once = refine(pyramid, [*learned, *new])
    twice = refine(pyramid, [place.quad for place in once])
    kept: list[Place] = []
    for place in sorted([*once, *twice], key=lambda place: -place.confidence):
        if place.confidence >= MIN_CONFIDENCE and len(kept) < MAX_REFINED and np.abs(place.quad).max() < farthest \
                and all(intersection_over_union(place.quad, other.quad) < SAME_REFINED for other in kept):
            kept.append(place)
    return kept


def same_place(quad: ArrayLike, other: ArrayLike) -> bool:
    """True if two quadrilaterals are guesses of one place. A small one within a large one is a part of it. Cards of
    one size may cover much of each other in a fan."""
    import cv2

    smaller, larger = sorted(cv2.contourArea(np.asarray(corners, np.float32)) for corners in (quad, other))
    if smaller < ALIKE * larger:
        return overlap(quad, other) > SAME_PLACE
    return intersection_over_union(quad, other) > SAME_IOU or overlap(quad, other) > WITHIN
