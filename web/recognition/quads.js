// Quadrilaterals in a picture: [[x, y] x 4], clockwise from the card's top left. Most of it is in fitting.py and
// finder.py of mtg_image_db/recognition/ too.
//
//     const art = inside(quad, [0.076, 0.112, 0.922, 0.556]);

/** @typedef {number[]} Point  [x, y] */
/** @typedef {Point[]} Quad  the four corners */

// Both as in mtg_image_db/recognition/finder.py, which explains them.
const [MIN_RATIO, MAX_NEARER] = [0.5, 2.2];

/**
 * Every quadrilateral that one move gives: a corner moved along an axis, or a side moved outward or inward.
 * @param {Quad} quad
 * @param {number} pixels
 * @returns {Quad[]}
 */
export function moved(quad, pixels) {
  return quad.flatMap((corner, i) => {
    const following = (i + 1) % 4;
    const [x, y] = [corner[0] - quad[following][0], corner[1] - quad[following][1]];
    const length = Math.hypot(x, y) || 1;
    const moves = [{ which: [i], across: 1, down: 0 }, { which: [i], across: 0, down: 1 },
      { which: [i, following], across: y / length, down: -x / length }];
    return moves.flatMap(({ which, across, down }) => [pixels, -pixels].map((by) =>
      quad.map(([cx, cy], at) => (which.includes(at) ? [cx + across * by, cy + down * by] : [cx, cy]))));
  });
}

/**
 * The quadrilateral with each side moved outward by a part of the card's width or height.
 * @param {Quad} quad
 * @param {number} part
 */
export function grown(quad, part) {
  return inside(quad, [-part, -part, 1 + part, 1 + part]);
}

/**
 * The quadrilateral of a part of the card: left, top, right and bottom are parts of its width and height.
 * @param {Quad} quad
 * @param {number[]} part
 */
export function inside(quad, [left, top, right, bottom]) {
  return inPhoto([[left, top], [right, top], [right, bottom], [left, bottom]], quad);
}

/**
 * Where the photo shows points of the card, which are given as shares of its width and height.
 * @param {Point[]} points
 * @param {Quad} quad
 * @returns {Point[]}
 */
export function inPhoto(points, quad) {
  const view = projection(quad);
  return points.map(([x, y]) => {
    const w = view.g * x + view.h * y + 1;
    return [(view.a * x + view.b * y + view.c) / w, (view.d * x + view.e * y + view.f) / w];
  });
}

/**
 * Where points of the photo are on the card, as shares of its width and height.
 * @param {Point[]} points
 * @param {Quad} quad
 * @returns {Point[]}
 */
export function onCard(points, quad) {
  const { a, b, c, d, e, f, g, h } = projection(quad);
  return points.map(([x, y]) => {
    const w = (d * h - e * g) * x + (b * g - a * h) * y + a * e - b * d;
    return [((e - f * h) * x + (c * h - b) * y + b * f - c * e) / w,
      ((f * g - d) * x + (a - c * g) * y + c * d - a * f) / w];
  });
}

/** @param {Point[]} polygon */
export function area(polygon) {
  return Math.abs(signedArea(polygon));
}

/**
 * The corners of an upright rectangle at the origin, clockwise from the top left.
 * @param {number} width
 * @param {number} height
 * @returns {Quad}
 */
export function rectangle(width, height) {
  return [[0, 0], [width, 0], [width, height], [0, height]];
}

/**
 * The quadrilateral, counted from another of its corners. 2 turns the card on its head.
 * @param {Quad} quad
 * @param {number} corner
 */
export function turned(quad, corner) {
  return quad.map((_, i) => quad[(i + corner) % 4]);
}

/**
 * True if a camera can see a card's rectangle in this shape. Checks the ratio of the sides, and that no corner is much
 * nearer to the camera than the others. A shape that is no view of a rectangle fails this too.
 * @param {Quad} quad
 */
export function isCardShaped(quad) {
  const { g, h } = projection(quad);
  const depth = [1, 1 + g, 1 + g + h, 1 + h];
  const farthest = Math.max(...depth);
  return ratio(quad) > MIN_RATIO && farthest > 0 && farthest < MAX_NEARER * Math.min(...depth);
}

/**
 * The corners clockwise, so that the first side is a short one.
 * @param {Quad} quad
 */
export function upright(quad) {
  const clockwise = signedArea(quad) < 0 ? [...quad].reverse() : quad;
  return ratio(clockwise) > 1 ? turned(clockwise, 1) : clockwise;
}

/**
 * The lengths of the sides, clockwise from the top.
 * @param {Quad} quad
 */
export function sidesOf(quad) {
  return quad.map(([x, y], i) => Math.hypot(x - quad[(i + 1) % 4][0], y - quad[(i + 1) % 4][1]));
}

/**
 * The first and third side, divided by the second and fourth.
 * @param {Quad} quad
 */
export function ratio(quad) {
  const sides = sidesOf(quad);
  return (sides[0] + sides[2]) / Math.max(sides[1] + sides[3], 1e-6);
}

/**
 * True if the corners run clockwise around a convex shape.
 * @param {Quad} quad
 */
export function isClockwise(quad) {
  return quad.every(([x, y], i) => {
    const [[x1, y1], [x2, y2]] = [quad[(i + 1) % 4], quad[(i + 2) % 4]];
    return (x1 - x) * (y2 - y1) > (x2 - x1) * (y1 - y);
  });
}

/**
 * The common area of two convex quadrilaterals, both clockwise, as a share (0-1) of the smaller one.
 * @param {Quad} quad
 * @param {Quad} other
 */
export function overlap(quad, other) {
  return common(quad, other) / Math.max(Math.min(area(quad), area(other)), 1e-6);
}

/**
 * The common area of two convex quadrilaterals, both clockwise, as a share (0-1) of what they cover together.
 * @param {Quad} quad
 * @param {Quad} other
 */
export function intersectionOverUnion(quad, other) {
  const shared = common(quad, other);
  return shared / Math.max(area(quad) + area(other) - shared, 1e-6);
}

/**
 * The common area of two convex quadrilaterals, both clockwise: what each side of the other one leaves of the first.
 * @param {Quad} quad
 * @param {Quad} other
 */
export function common(quad, other) {
  let left = quad;
  for (let i = 0; i < 4 && left.length; i++) left = leftOf(left, other[i], other[(i + 1) % 4]);
  return left.length ? area(left) : 0;
}

/**
 * The part of a convex polygon that is on the inner side of a line, which runs clockwise around what is inside.
 * @param {Point[]} polygon
 * @param {Point} start
 * @param {Point} end
 */
function leftOf(polygon, [x0, y0], [x1, y1]) {
  const depth = polygon.map(([x, y]) => (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0));
  if (depth.every((value) => value >= 0)) return polygon;
  const kept = [];
  polygon.forEach(([x, y], i) => {
    const following = (i + 1) % polygon.length;
    if (depth[i] >= 0) kept.push([x, y]);
    if (depth[i] >= 0 === depth[following] >= 0) return;
    const part = depth[i] / (depth[i] - depth[following]);
    kept.push([x + part * (polygon[following][0] - x), y + part * (polygon[following][1] - y)]);
  });
  return kept;
}

// Positive if the corners run clockwise.
function signedArea(polygon) {
  return polygon.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = polygon[(i + 1) % polygon.length];
    return sum + x * nextY - nextX * y;
  }, 0) / 2;
}

/**
 * The quadrilateral is the unit square, seen in perspective: (x, y) in the square is at
 * ((a x + b y + c) / w, (d x + e y + f) / w) in the picture, with w = g x + h y + 1.
 * @param {Quad} quad
 */
export function projection([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]) {
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const det = dx1 * dy2 - dx2 * dy1 || 1e-9;
  const [g, h] = [(sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det];
  return { a: x1 - x0 + g * x1, b: x3 - x0 + h * x3, c: x0, d: y1 - y0 + g * y1, e: y3 - y0 + h * y3, f: y0, g, h };
}

/**
 * The points of a Mat of OpenCV, CV_32SC2.
 * @param {import("./opencv.js").Mat} mat
 * @returns {Point[]}
 */
export function pointsOf({ data32S }) {
  return Array.from({ length: data32S.length / 2 }, (_, i) => [data32S[2 * i], data32S[2 * i + 1]]);
}
