"""A photo -> quadrilaterals that may be cards, and the straightened picture of each.

    for candidate in find_quads(photo):
        card = straighten(Pyramid(photo), candidate.quad, 244, 340)

It makes many cheap guesses: from edges and thresholds of several strengths. The hull of each closed outline becomes a
quadrilateral. If the picture's border cuts a card off, the missing part is completed. places.py then refines the
guesses.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CARD_RATIO = 63 / 88  # a card's width divided by its height, both in mm
# The other numbers were chosen on the development photos: docs/naming.md, "How often it is right".
WORK_SIDE = 800  # length in pixels of the longer side of the working picture, in which outlines are found
MIN_AREA, MAX_AREA = 0.008, 0.98  # share of the picture. In a photo of 40 cards, each takes 0.017
MIN_FILL = 0.9  # share of the quadrilateral that its outline fills. Round corners cost 0.01, a circle fills 0.79
MIN_RATIO = 0.5  # shorter side divided by the longer one, at any camera angle
MAX_NEARER = 2.2  # the farthest corner's distance to the camera divided by the nearest one's. Up to 2.0 in drawn scenes
MIN_SEEN = 0.35  # share of a cut-off card that must be in the picture
SAME = 0.05  # two guesses are equal if their corners differ by less than this share of their size
SAME_PLACE = 0.5  # a guess is at the place of a larger or better one that shares more than this part of it
MAX_CANDIDATES = 60
MAX_COMPARED = 400  # guesses compared pair by pair to remove equal ones. A photo gives 5 to 200
CUT_CONFIDENCE = 0.8
CANNY = (20, 60), (50, 120), (90, 200)  # weak and strong gradient: for dark on dark, a plain table, a busy table
ADAPTIVE = (51, 7), (151, 10), (51, -7)  # window and difference, for outlines darker (or lighter) than around them
PERCENTILES = 10, 25, 40, 55  # of the grey values: thresholds that separate dark cards from a lighter table
BORDER = 3  # in pixels of the working picture: what is nearer to its edge touches the border


Quad = NDArray[np.float32]  # [4, 2] corners, or [2, 2] ends of a side, [x, y] in pixels
Picture = NDArray[np.uint8]  # [H, W] or [H, W, 3]


@dataclass(frozen=True)
class Candidate:
    """A guess. quad: float32 [4, 2], the corners clockwise in pixels of the photo. The first side is a short one (the
    card's top or bottom). Corners may lie outside the photo. confidence: 0-1, how close the shape is to a card's."""
    quad: Quad
    confidence: float


class Pyramid:
    """A picture (uint8 [H, W] or [H, W, 3]) and its halved sizes. A size is made when it is first needed."""

    def __init__(self, picture: Picture) -> None:
        self._levels = {1.0: picture}

    def near(self, scale: float) -> tuple[Picture, float]:
        """The smallest of the halved pictures that is not smaller than scale, and its scale."""
        import cv2

        level = 1.0
        while level / 2 >= scale and min(self._levels[level].shape[:2]) > 1:
            if level / 2 not in self._levels:
                half = cv2.resize(self._levels[level], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                self._levels[level / 2] = np.asarray(half, np.uint8)
            level /= 2
        return self._levels[level], level


def straighten(photo: Pyramid, quad: Quad, width: int, height: int, reflect: bool = True) -> Picture:
    """Cut out the quadrilateral as uint8 [height, width(, 3)]. quad[0] becomes the top left.

    Outside the photo, the photo is mirrored: this suits the embedding. Of 81 cut-off cards it names 41. With the border
    pixels repeated it names 32. reflect=False repeats the border pixels: this suits the hash. It then names 53 cards,
    with mirroring 29.
    """
    import cv2

    picture, level = photo.near(2 * height / max(1.0, _sides(quad).max()))
    view = cv2.getPerspectiveTransform(np.float32(quad * level), rectangle(width, height))
    straight = cv2.warpPerspective(picture, view, (width, height), flags=cv2.INTER_LINEAR,
                                   borderMode=cv2.BORDER_REFLECT if reflect else cv2.BORDER_REPLICATE)
    return np.asarray(straight, np.uint8)


def find_quads(photo: Picture) -> list[Candidate]:
    """At most MAX_CANDIDATES guesses in an RGB photo (uint8 [H, W, 3]). Those that overlap no better one come first."""
    import cv2

    scale = min(1.0, WORK_SIDE / max(photo.shape[:2]))
    size = [max(1, round(side * scale)) for side in photo.shape[1::-1]]
    work = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else photo
    area = work.shape[0] * work.shape[1]
    found = [candidate for outlines in _outlines(work) for candidate in _quads(outlines, area)]
    found = _distinct(sorted(found, key=lambda candidate: -candidate.confidence)[:MAX_COMPARED])
    hidden = [any(overlap(candidate.quad, better.quad) > SAME_PLACE for better in found[:i])
              for i, candidate in enumerate(found)]
    order = sorted(range(len(found)), key=hidden.__getitem__)
    return [Candidate(found[i].quad / np.float32(scale), found[i].confidence) for i in order[:MAX_CANDIDATES]]


def rectangle(width: float, height: float) -> Quad:
    """The corners of an upright rectangle at the origin: float32 [4, 2], clockwise from the top left."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)


def upright(quad: Any) -> Quad:
    """The corners clockwise, float32 [4, 2], so that the first side is a short one."""
    import cv2

    quad = np.asarray(quad, np.float32).reshape(4, 2)
    if cv2.contourArea(quad, oriented=True) < 0:
        quad = quad[::-1]
    sides = _sides(quad)
    return np.roll(quad, -1, axis=0) if sides[0] + sides[2] > sides[1] + sides[3] else quad.copy()


def overlap(quad: ArrayLike, other: ArrayLike) -> float:
    """The common area of two convex quadrilaterals, as a share (0-1) of the smaller one."""
    import cv2

    corners, others = np.asarray(quad, np.float32), np.asarray(other, np.float32)
    smaller = min(cv2.contourArea(corners), cv2.contourArea(others))
    return cv2.intersectConvexConvex(corners, others)[0] / max(smaller, 1e-6)


def is_clockwise(quad: Quad) -> bool:
    """True if the corners run clockwise around a convex shape."""
    import cv2

    return bool(cv2.contourArea(quad, oriented=True) > 0 and cv2.isContourConvex(quad))


def intersection_over_union(quad: ArrayLike, other: ArrayLike) -> float:
    """The common area of two convex quadrilaterals, as a share (0-1) of what they cover together."""
    import cv2

    corners, others = np.asarray(quad, np.float32), np.asarray(other, np.float32)
    common = cv2.intersectConvexConvex(corners, others)[0]
    return float(common / max(cv2.contourArea(corners) + cv2.contourArea(others) - common, 1e-6))


def _sides(quad: Quad) -> NDArray[np.float32]:
    along = quad - quad[[1, 2, 3, 0]]
    return np.hypot(along[:, 0], along[:, 1])


def _ratio(quad: Quad) -> float:
    sides = _sides(quad)
    return float((sides[0] + sides[2]) / max(sides[1] + sides[3], 1e-6))


def _is_card_shaped(quad: Quad) -> bool:
    """True if a camera can see a card's rectangle in this shape. Checks the ratio of the sides, and that no corner is
    much nearer to the camera than the others. A shape that is no view of a rectangle fails this too."""
    import cv2

    unit = rectangle(1, 1)
    view = cv2.getPerspectiveTransform(unit, quad)
    depth = unit @ view[2, :2] + view[2, 2]
    return bool(_ratio(quad) > MIN_RATIO and 0 < depth.max() < MAX_NEARER * depth.min())


def _outlines(work: Picture) -> Iterator[Picture]:
    """Yield black and white pictures (uint8 0 or 255). In some of them, a card's outline is closed."""
    import cv2

    lab = cv2.GaussianBlur(cv2.cvtColor(work, cv2.COLOR_RGB2LAB), (5, 5), 0)
    grey = np.ascontiguousarray(lab[:, :, 0])
    thick = np.ones((3, 3), np.uint8)
    for weak, strong in CANNY:
        yield np.asarray(cv2.dilate(cv2.Canny(grey, weak, strong), thick), np.uint8)
    colours = [cv2.Canny(np.ascontiguousarray(lab[:, :, channel]), 15, 40) for channel in (1, 2)]
    yield np.asarray(cv2.dilate(np.maximum(*colours), thick), np.uint8)
    for window, difference in ADAPTIVE:
        kind = cv2.THRESH_BINARY_INV if difference > 0 else cv2.THRESH_BINARY
        dark = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, kind, window, difference)
        yield np.asarray(dark, np.uint8)
    for value in np.percentile(grey, PERCENTILES):
        yield np.uint8(255) * (grey > value)
    edge = np.concatenate([side.reshape(-1, 3) for side in (lab[:8], lab[-8:], lab[:, :8], lab[:, -8:])])
    far = np.linalg.norm(lab - np.median(edge, axis=0), axis=2)  # distance to the table's colour
    far = np.uint8(np.clip(2 * far, 0, 255))
    split, _ = cv2.threshold(far, 0, 255, cv2.THRESH_OTSU)
    for limit in (split, split / 2):
        yield np.uint8(255) * (far > limit)


def _quads(outlines: Picture, area: int) -> Iterator[Candidate]:
    import cv2

    height, width = outlines.shape
    for contour in cv2.findContours(outlines, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
        left, top, wide, high = cv2.boundingRect(contour)
        if wide * high < MIN_AREA * area:
            continue
        hull = cv2.convexHull(contour)
        hull_area = cv2.contourArea(hull)
        if not MIN_AREA * area <= hull_area <= MAX_AREA * area:
            continue
        if min(left, top) < BORDER or left + wide > width - BORDER or top + high > height - BORDER:
            for quad in _completed(hull, width, height):
                yield Candidate(quad, CUT_CONFIDENCE)
        if len(hull) > 4:  # fit four sides along the hull. They meet where the card's corners would be without rounding
            hull = cv2.approxPolyN(hull, 4, ensure_convex=True)
        quad_area = cv2.contourArea(hull) if hull.size == 8 else 0
        if not quad_area or hull_area < MIN_FILL * quad_area:
            continue
        quad = upright(hull)
        if _is_card_shaped(quad):
            shape = float(np.exp(-2 * abs(np.log(_ratio(quad) / CARD_RATIO))))
            yield Candidate(quad, hull_area / quad_area * shape)


def _completed(hull: NDArray[Any], width: int, height: int) -> Iterator[Quad]:
    """Complete a card that the picture's border cuts off. If four sides are visible, they give the corners. If three
    are, the outer two get the length of a card's side."""
    import cv2

    shapes = [cv2.approxPolyDP(hull, 0.015 * cv2.arcLength(hull, True), True)]
    if len(hull) > 4:
        shapes.append(cv2.approxPolyN(hull, 4, ensure_convex=True))
    frame = rectangle(width, height)
    runs = [run for shape in shapes for run in _visible_runs(np.float32(shape).reshape(-1, 2), width, height)]
    for sides in runs:
        guesses: list[list[Quad | None]]
        if len(sides) == 4:
            guesses = [[_meet(sides[i - 1], sides[i]) for i in range(4)]]
        else:
            guesses = [[*guess] for i in range(len(sides) - 2) for guess in _from_three(*sides[i:i + 3])]
        for guess in guesses:
            if any(corner is None for corner in guess):
                continue
            quad = upright(guess)
            if np.abs(quad).max() < 3 * max(width, height) and _is_card_shaped(quad) \
                    and cv2.intersectConvexConvex(quad, frame)[0] > MIN_SEEN * cv2.contourArea(quad):
                yield quad


def _visible_runs(corners: NDArray[np.float32], width: int, height: int) -> list[list[Quad]]:
    """The polygon's sides ([2, 2]) that are not on the picture's border. Four sides are in one list. Otherwise, each
    list holds at least three consecutive sides. Empty if no side is on the border."""
    def on_border(side: Quad) -> bool:
        return any((np.abs(side[:, axis] - place) <= BORDER).all()
                   for axis, place in ((0, 0), (0, width - 1), (1, 0), (1, height - 1)))

    sides = [np.stack([corner, following]) for corner, following
             in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    cut = [i for i, side in enumerate(sides) if on_border(side)]
    if not cut:
        return []
    shortest = 0.03 * sum(np.linalg.norm(side[1] - side[0]) for side in sides)
    runs: list[list[Quad]] = [[]]
    for i in range(cut[0], cut[0] + len(sides)):
        side = sides[i % len(sides)]
        if i % len(sides) in cut:
            runs.append([])
        elif np.linalg.norm(side[1] - side[0]) > shortest:
            runs[-1].append(side)
    seen = [side for run in runs for side in run]
    return [seen] if len(seen) == 4 else [run for run in runs if len(run) >= 3]


def _from_three(left: Quad, middle: Quad, right: Quad) -> Iterator[list[Quad]]:
    """Yield cards of which `middle` is a complete side (short or long). `left` and `right` are only partly visible."""
    start, end = _meet(left, middle), _meet(middle, right)
    if start is None or end is None:
        return
    full_side = np.linalg.norm(end - start)
    back, forth = left[0] - start, right[1] - end
    seen = np.linalg.norm(back), np.linalg.norm(forth)
    if min(seen) < 0.1 * full_side:
        return
    for length in (full_side / CARD_RATIO, full_side * CARD_RATIO):
        if max(seen) <= 1.08 * length:
            yield [start, end, end + forth / seen[1] * length, start + back / seen[0] * length]


def _meet(side: Quad, other: Quad) -> Quad | None:
    """The point where the lines of two sides meet. None if they are parallel."""
    along, across = side[1] - side[0], other[1] - other[0]
    turn = along[0] * across[1] - along[1] * across[0]
    if abs(turn) < 1e-6 * np.linalg.norm(along) * np.linalg.norm(across) + 1e-9:
        return None
    gap = other[0] - side[0]
    return side[0] + (gap[0] * across[1] - gap[1] * across[0]) / turn * along


def _distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Remove each candidate whose corners nearly equal those of an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        near = SAME * np.sqrt(_sides(candidate.quad)[:2].prod())
        if not any(min(np.abs(candidate.quad - other.quad).max(),
                       np.abs(candidate.quad - np.roll(other.quad, 2, axis=0)).max()) < near for other in kept):
            kept.append(candidate)
    return kept
