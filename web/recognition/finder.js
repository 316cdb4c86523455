// A photo -> quadrilaterals that may be cards, by their outlines. It is find_quads() of
// mtg_image_db/recognition/finder.py, whose comments explain the numbers.
//
//     const candidates = findQuads(photo.colour);              // [{quad, confidence}]; needs loadOpenCv()
//
// It makes many cheap guesses: from edges and thresholds of several strengths. The hull of each closed outline becomes
// a quadrilateral. If the picture's border cuts a card off, the missing part is completed.

import { BORDER, completed } from "./cut_off.js";
import { cv } from "./opencv.js";
import { outlinesOf } from "./outlines.js";
import { CARD_RATIO, resized } from "./pictures.js";
import { isCardShaped, overlap, pointsOf, ratio, sidesOf, turned, upright } from "./quads.js";

/** @typedef {{quad: import("./quads.js").Quad, confidence: number}} Candidate */

const WORK_SIDE = 800;
const [MIN_AREA, MAX_AREA] = [0.008, 0.98];
const MIN_FILL = 0.9;
const SAME = 0.05;
export const SAME_PLACE = 0.5;
const MAX_CANDIDATES = 60;
const MAX_COMPARED = 400;
const CUT_CONFIDENCE = 0.8;

/**
 * At most MAX_CANDIDATES guesses in an RGB photo, as a pyramid: [{quad, confidence}]. Those that overlap no better one
 * come first. The first side of a quad is a short one.
 * @param {import("./pictures.js").Pyramid} photo
 * @returns {Candidate[]}
 */
export function findQuads(photo) {
  const scale = Math.min(1, WORK_SIDE / Math.max(photo.width, photo.height));
  const work = resized(photo, scale);
  const guesses = [];
  for (const outlines of outlinesOf(work)) guesses.push(...quadsOf(outlines));
  work.delete();
  const byConfidence = guesses.sort((a, b) => b.confidence - a.confidence);
  const found = distinct(byConfidence.slice(0, MAX_COMPARED));
  const hidden = found.map(({ quad }, i) =>
    found.slice(0, i).some((better) => overlap(quad, better.quad) > SAME_PLACE));
  const order = [...found.keys()].sort((a, b) => Number(hidden[a]) - Number(hidden[b]));
  return order.slice(0, MAX_CANDIDATES).map((i) => ({
    quad: found[i].quad.map(([x, y]) => [x / scale, y / scale]), confidence: found[i].confidence }));
}

// The guesses that the outlines in a black and white picture give.
function quadsOf(outlines) {
  const [contours, tree] = [new cv.MatVector(), new cv.Mat()];
  cv.findContours(outlines, contours, tree, cv.RETR_LIST, cv.CHAIN_APPROX_SIMPLE);
  const guesses = [];
  for (let i = 0, count = contours.size(); i < count; i++) {
    const contour = contours.get(i);
    if (contour.rows > 2) guesses.push(...quadsAround(contour, outlines)); // most have one point or two
    contour.delete();
  }
  contours.delete();
  tree.delete();
  return guesses;
}

function quadsAround(contour, { cols: width, rows: height }) {
  const box = cv.boundingRect(contour);
  const [least, most] = [MIN_AREA * width * height, MAX_AREA * width * height];
  if (box.width * box.height < least) return [];
  const guesses = [];
  const hull = new cv.Mat();
  cv.convexHull(contour, hull);
  const hullArea = cv.contourArea(hull);
  if (hullArea >= least && hullArea <= most) {
    if (Math.min(box.x, box.y) < BORDER || box.x + box.width > width - BORDER || box.y + box.height > height - BORDER) {
      for (const quad of completed(hull, width, height)) guesses.push({ quad, confidence: CUT_CONFIDENCE });
    }
    // Four sides along the hull. They meet where the card's corners would be without rounding.
    if (hull.rows > 4) cv.approxPolyN(hull, hull, 4, -1, true);
    const corners = pointsOf(hull);
    const filled = corners.length === 4 ? hullArea / cv.contourArea(hull) : 0;
    const quad = filled >= MIN_FILL && filled < Infinity ? upright(corners) : null;
    if (quad && isCardShaped(quad)) {
      const shape = Math.exp(-2 * Math.abs(Math.log(ratio(quad) / CARD_RATIO)));
      guesses.push({ quad, confidence: filled * shape });
    }
  }
  hull.delete();
  return guesses;
}

// Without each candidate whose corners nearly equal those of an earlier one.
function distinct(candidates) {
  const kept = [];
  for (const candidate of candidates) {
    const [width, height] = sidesOf(candidate.quad);
    const near = SAME * Math.sqrt(width * height);
    const isNear = ({ quad }) => [quad, turned(quad, 2)].some((other) =>
      candidate.quad.every(([x, y], i) => Math.abs(x - other[i][0]) < near && Math.abs(y - other[i][1]) < near));
    if (!kept.some(isNear)) kept.push(candidate);
  }
  return kept;
}
