// Whether a picture shows the card that its vector found: card_namer.py's rule for a card whose place is roughly known.
//
//     const answer = judge(greyLevels(picture), quad, nearest, hashes, name, accepted);
//
// What decides is how alike the straightened card and the indexed picture are: 1 - 2 x the Hamming distance of their
// 256-bit perceptual hashes / 256, 1 for equal pictures and about 0 for unrelated ones, with the card's corners moved
// to where it is highest. The numbers below are those of card_namer.py and picture_hash.py.

export const HASH_BYTES = 32;
const SIDE = 64; // pixels of the grey square that is transformed
const FREQUENCIES = 16;
const RIVALS = 3; // different cards the corners are fitted to
const SIZES = [-0.03, 0, 0.03, 0.07]; // parts by which the card's sides are moved outward, to begin with
const STEPS = [0.03, 0.015, 0.008]; // of the card's size, by which corners and sides are moved
const MOVES = 4; // at most with each step
const HOPELESS = 0.4; // likeness after the first step's moves, below which finer ones make no card
const MAX_SIDE = 1024; // pixels of a picture whose grey values are kept

const COSINES = Float32Array.from({ length: FREQUENCIES * SIDE }, (_, at) =>
  Math.cos((Math.PI * Math.floor(at / SIDE) * (2 * (at % SIDE) + 1)) / (2 * SIDE)));
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

// {likeness, margin, accepted, order}: how alike the best of `nearest` ([{row, score}]) is, how much less the next card
// of another name, and the places in `nearest`, best first.
// quad: [[x, y] x 4], clockwise from the card's top left; hashes: Uint8Array [N * 32]; name(row) is the card's.
export function judge(levels, quad, nearest, hashes, name, accepted) {
  const likenesses = SIZES.map((size) => {
    const hash = hashOf(levels, grown(quad, size));
    return nearest.map(({ row }) => similarity(hash, hashes, row));
  });
  const first = nearest.map((_, place) => {
    const size = SIZES.reduce((best, _, i) => (likenesses[i][place] > likenesses[best][place] ? i : best), 0);
    return { place, size, likeness: likenesses[size][place] };
  });
  const ranking = ({ place, likeness }) => likeness + nearest[place].score;
  const byRanking = (one, other) => ranking(other) - ranking(one);
  const rivals = new Map();
  for (const one of [...first].sort(byRanking)) {
    const card = name(nearest[one.place].row);
    if (!rivals.has(card)) rivals.set(card, one);
    if (rivals.size === RIVALS) break;
  }
  const fits = Array.from(rivals.values(), (one) => ({
    place: one.place,
    likeness: fitted(levels, grown(quad, SIZES[one.size]), one.likeness, hashes, nearest[one.place].row),
  })).sort(byRanking);
  const [best, ...others] = fits;
  const margin = others.length ? best.likeness - Math.max(...others.map((fit) => fit.likeness)) : 0;
  const refined = new Map(fits.map((fit) => [fit.place, fit]));
  const order = first.map((one) => refined.get(one.place) ?? one).sort(byRanking).map((one) => one.place);
  return { likeness: best.likeness, margin, accepted: best.likeness + margin >= accepted, order };
}

// The grey values of an RGBA picture, and of its halves down to 64 pixels.
export function greyLevels({ width, height, data }) {
  const pixels = new Float32Array(width * height);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = Math.round(0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  }
  const levels = [{ width, height, pixels, scale: 1 }];
  while (Math.min(levels[0].width, levels[0].height) >= 2 * SIDE) levels.unshift(halved(levels[0]));
  while (levels.length > 1 && Math.max(levels.at(-1).width, levels.at(-1).height) > MAX_SIDE) levels.pop();
  return levels; // the smallest first
}

function halved({ width, height, pixels, scale }) {
  const [wide, high] = [width >> 1, height >> 1];
  const half = new Float32Array(wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const at = 2 * y * width + 2 * x;
      half[y * wide + x] = (pixels[at] + pixels[at + 1] + pixels[at + width] + pixels[at + width + 1]) / 4;
    }
  }
  return { width: wide, height: high, pixels: half, scale: scale / 2 };
}

// Moves corners and sides, each step the one that makes the picture most like the row's; returns that likeness.
function fitted(levels, quad, likeness, hashes, row) {
  const size = Math.sqrt(area(quad));
  for (const step of STEPS) {
    if (step < STEPS[0] && likeness < HOPELESS) break;
    for (let move = 0; move < MOVES; move++) {
      let better = null;
      for (const other of moved(quad, step * size)) {
        const found = similarity(hashOf(levels, other), hashes, row);
        if (found > likeness) [likeness, better] = [found, other];
      }
      if (!better) break;
      quad = better;
    }
  }
  return likeness;
}

// The quadrilateral with one corner moved along an axis, or one side outward or inward.
function moved(quad, pixels) {
  return quad.flatMap((corner, i) => {
    const following = (i + 1) % 4;
    const [x, y] = [corner[0] - quad[following][0], corner[1] - quad[following][1]];
    const length = Math.hypot(x, y) || 1;
    const moves = [[[i], 1, 0], [[i], 0, 1], [[i, following], y / length, -x / length]];
    return moves.flatMap(([which, across, down]) => [pixels, -pixels].map((by) =>
      quad.map(([cx, cy], at) => (which.includes(at) ? [cx + across * by, cy + down * by] : [cx, cy]))));
  });
}

// Each side moved outward by a part of the card's width or height.
function grown(quad, part) {
  const at = projection(quad);
  return [[-part, -part], [1 + part, -part], [1 + part, 1 + part], [-part, 1 + part]].map(([x, y]) => at(x, y));
}

function area(quad) {
  return Math.abs(quad.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = quad[(i + 1) % 4];
    return sum + x * nextY - nextX * y;
  }, 0)) / 2;
}

// (x, y) in the unit square -> where that is in the picture, for a square seen in perspective as the quadrilateral.
function projection([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]) {
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const det = dx1 * dy2 - dx2 * dy1 || 1e-9;
  const [g, h] = [(sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det];
  const [a, b, d, e] = [x1 - x0 + g * x1, x3 - x0 + h * x3, y1 - y0 + g * y1, y3 - y0 + h * y3];
  return (x, y) => {
    const w = g * x + h * y + 1;
    return [(a * x + b * y + x0) / w, (d * x + e * y + y0) / w];
  };
}

// Uint8Array [32]: of the 16 x 16 lowest frequencies of the quadrilateral's inside, which are above their median.
function hashOf(levels, quad) {
  const square = straightened(levels, quad);
  const across = new Float32Array(SIDE * FREQUENCIES);
  for (let y = 0; y < SIDE; y++) {
    for (let f = 0; f < FREQUENCIES; f++) {
      let sum = 0;
      for (let x = 0; x < SIDE; x++) sum += square[y * SIDE + x] * COSINES[f * SIDE + x];
      across[y * FREQUENCIES + f] = sum;
    }
  }
  const lowest = new Float32Array(FREQUENCIES * FREQUENCIES);
  for (let down = 0; down < FREQUENCIES; down++) {
    for (let f = 0; f < FREQUENCIES; f++) {
      let sum = 0;
      for (let y = 0; y < SIDE; y++) sum += COSINES[down * SIDE + y] * across[y * FREQUENCIES + f];
      lowest[down * FREQUENCIES + f] = sum;
    }
  }
  const sorted = lowest.toSorted();
  const median = (sorted[127] + sorted[128]) / 2;
  const hash = new Uint8Array(HASH_BYTES);
  lowest.forEach((value, i) => { if (value > median) hash[i >> 3] |= 128 >> (i & 7); });
  return hash;
}

// Float32Array [64 * 64] of the quadrilateral's inside; outside the picture its border's pixels are repeated.
function straightened(levels, quad) {
  const longest = Math.max(...quad.map(([x, y], i) => Math.hypot(x - quad[(i + 1) % 4][0], y - quad[(i + 1) % 4][1])));
  const { width, height, pixels, scale } = levels.find((level) => level.scale * longest >= SIDE) ?? levels.at(-1);
  const at = projection(quad);
  const square = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < square.length; i++) {
    const [px, py] = at(((i % SIDE) + 0.5) / SIDE, (Math.floor(i / SIDE) + 0.5) / SIDE);
    const x = Math.min(Math.max(px * scale - 0.5, 0), width - 1);
    const y = Math.min(Math.max(py * scale - 0.5, 0), height - 1);
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [right, bottom] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)];
    const [u, v] = [x - left, y - top];
    square[i] = (1 - v) * ((1 - u) * pixels[top * width + left] + u * pixels[top * width + right])
      + v * ((1 - u) * pixels[bottom * width + left] + u * pixels[bottom * width + right]);
  }
  return square;
}

function similarity(hash, hashes, row) {
  let different = 0;
  for (let i = 0; i < HASH_BYTES; i++) different += BITS[hash[i] ^ hashes[row * HASH_BYTES + i]];
  return 1 - (2 * different) / (8 * HASH_BYTES);
}
