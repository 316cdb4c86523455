// A card that the picture's border cuts off -> the complete card. It is the second half of
// mtg_image_db/recognition/finder.py, whose comments explain the numbers.
//
//     for (const quad of completed(hull, width, height)) ...           // hull: a Mat, CV_32SC2
//
// If four sides are visible, they give the corners. If three are, the outer two get the length of a card's side.

import { cv } from "./opencv.js";
import { CARD_RATIO } from "./pictures.js";
import { area, common, isCardShaped, pointsOf, rectangle, upright } from "./quads.js";

/** @typedef {import("./quads.js").Point} Point */
/** @typedef {[Point, Point]} Side */

const MIN_SEEN = 0.35;
export const BORDER = 3;

/**
 * @param {import("./opencv.js").Mat} hull
 * @param {number} width
 * @param {number} height
 */
export function completed(hull, width, height) {
  const shape = new cv.Mat();
  cv.approxPolyDP(hull, shape, 0.015 * cv.arcLength(hull, true), true);
  const shapes = [pointsOf(shape)];
  if (hull.rows > 4) {
    cv.approxPolyN(hull, shape, 4, -1, true);
    shapes.push(pointsOf(shape));
  }
  shape.delete();
  const frame = rectangle(width, height);
  const farthest = 3 * Math.max(width, height);
  const isSeen = (quad) => common(quad, frame) > MIN_SEEN * area(quad);
  return shapes.flatMap((corners) => visibleRuns(corners, width, height)).flatMap(guessesOf)
    .filter((guess) => guess.every((corner) => corner !== null)).map(upright)
    .filter((quad) => quad.flat().every((place) => Math.abs(place) < farthest) && isCardShaped(quad) && isSeen(quad));
}

function guessesOf(sides) {
  if (sides.length === 4) return [sides.map((side, i) => meet(sides.at(i - 1), side))];
  return sides.slice(2).flatMap((right, i) => fromThree(sides[i], sides[i + 1], right));
}

/**
 * The polygon's sides that are not on the picture's border. Four sides are in one list. Otherwise, each list holds at
 * least three consecutive sides. Empty if no side is on the border.
 * @param {Point[]} corners
 * @param {number} width
 * @param {number} height
 * @returns {Side[][]}
 */
function visibleRuns(corners, width, height) {
  const sides = corners.map((corner, i) => /** @type {Side} */ ([corner, corners[(i + 1) % corners.length]]));
  const isNear = (side, axis, place) => side.every((end) => Math.abs(end[axis] - place) <= BORDER);
  const isCut = sides.map((side) => isNear(side, 0, 0) || isNear(side, 0, width - 1)
    || isNear(side, 1, 0) || isNear(side, 1, height - 1));
  const first = isCut.indexOf(true);
  if (first < 0) return [];
  const lengths = sides.map(([start, end]) => distance(start, end));
  const shortest = 0.03 * lengths.reduce((sum, length) => sum + length);
  let run = /** @type {Side[]} */ ([]);
  const runs = [run];
  for (let i = first; i < first + sides.length; i++) {
    const at = i % sides.length;
    if (isCut[at]) {
      run = [];
      runs.push(run);
    } else if (lengths[at] > shortest) run.push(sides[at]);
  }
  const seen = runs.flat();
  return seen.length === 4 ? [seen] : runs.filter((some) => some.length >= 3);
}

/**
 * Cards of which `middle` is a complete side (short or long). `left` and `right` are only partly visible.
 * @param {Side} left
 * @param {Side} middle
 * @param {Side} right
 */
function fromThree(left, middle, right) {
  const [start, end] = [meet(left, middle), meet(middle, right)];
  if (!start || !end) return [];
  const full = distance(start, end);
  const seen = [distance(left[0], start), distance(right[1], end)];
  if (Math.min(...seen) < 0.1 * full) return [];
  const along = (from, to, part) => [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part];
  return [full / CARD_RATIO, full * CARD_RATIO].filter((length) => Math.max(...seen) <= 1.08 * length)
    .map((length) => [start, end, along(end, right[1], length / seen[1]), along(start, left[0], length / seen[0])]);
}

/**
 * The point where the lines of two sides meet. null if they are parallel.
 * @param {Side} side
 * @param {Side} other
 */
function meet(side, other) {
  const along = [side[1][0] - side[0][0], side[1][1] - side[0][1]];
  const across = [other[1][0] - other[0][0], other[1][1] - other[0][1]];
  const turn = along[0] * across[1] - along[1] * across[0];
  if (Math.abs(turn) < 1e-6 * Math.hypot(...along) * Math.hypot(...across) + 1e-9) return null;
  const gap = [other[0][0] - side[0][0], other[0][1] - side[0][1]];
  const part = (gap[0] * across[1] - gap[1] * across[0]) / turn;
  return [side[0][0] + part * along[0], side[0][1] + part * along[1]];
}

/**
 * @param {Point} start
 * @param {Point} end
 */
function distance([x, y], [otherX, otherY]) {
  return Math.hypot(otherX - x, otherY - y);
}
