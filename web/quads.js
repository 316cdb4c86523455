// Quadrilaterals in a picture: [[x, y] x 4], clockwise from the card's top left.
//
//     const art = inside(quad, [0.076, 0.112, 0.922, 0.556]);

// Every quadrilateral that one move gives: a corner moved along an axis, or a side moved outward or inward.
export function moved(quad, pixels) {
  return quad.flatMap((corner, i) => {
    const following = (i + 1) % 4;
    const [x, y] = [corner[0] - quad[following][0], corner[1] - quad[following][1]];
    const length = Math.hypot(x, y) || 1;
    const moves = [[[i], 1, 0], [[i], 0, 1], [[i, following], y / length, -x / length]];
    return moves.flatMap(([which, across, down]) => [pixels, -pixels].map((by) =>
      quad.map(([cx, cy], at) => (which.includes(at) ? [cx + across * by, cy + down * by] : [cx, cy]))));
  });
}

// The quadrilateral with each side moved outward by a part of the card's width or height.
export function grown(quad, part) {
  return inside(quad, [-part, -part, 1 + part, 1 + part]);
}

// The quadrilateral of a part of the card: left, top, right and bottom are parts of its width and height.
export function inside(quad, [left, top, right, bottom]) {
  const view = projection(quad);
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => {
    const w = view.g * x + view.h * y + 1;
    return [(view.a * x + view.b * y + view.c) / w, (view.d * x + view.e * y + view.f) / w];
  });
}

export function area(quad) {
  return Math.abs(quad.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = quad[(i + 1) % 4];
    return sum + x * nextY - nextX * y;
  }, 0)) / 2;
}

// The quadrilateral is the unit square, seen in perspective: (x, y) in the square is at
// ((a x + b y + c) / w, (d x + e y + f) / w) in the picture, with w = g x + h y + 1.
export function projection([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]) {
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const det = dx1 * dy2 - dx2 * dy1 || 1e-9;
  const [g, h] = [(sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det];
  return { a: x1 - x0 + g * x1, b: x3 - x0 + h * x3, c: x0, d: y1 - y0 + g * y1, e: y3 - y0 + h * y3, f: y0, g, h };
}
