// Decides whether a picture shows the card that its vector found. It is the rule of
// mtg_image_db/recognition/namer.py, for a card whose place in the picture is roughly known.
//
//     const decision = readDecision(meta.recognition);
//     const answer = judge(greyLevels(picture), quad, nearest, hashes, name, decision);
//
// The similarity of two pictures compares their 256-bit perceptual hashes: 1 - 2 x Hamming distance / 256. It is 1 for
// equal pictures and about 0 for unrelated ones. The corners of the card are moved to where the similarity is highest.
// The numbers of the decision come from meta.json. namer.py explains them, and the export writes them there.

export const HASH_BYTES = 32;
const SIDE = 64; // pixels of the grey square that is transformed, as in picture_hash.py
const FREQUENCIES = 16; // as in picture_hash.py
const [CARD_WIDTH, CARD_HEIGHT] = [96, 128]; // pixels of a straightened card, as in namer.py
const round32 = Math.fround;
const [FULL_PIXEL, HALF_PIXEL] = [round32(1 / 1.5), round32(0.5 / 1.5)]; // weights in the mean of 1.5 pixels
const MAX_SIDE = 1024; // pixels: the grey values of larger levels are not kept

const COSINES = Float32Array.from({ length: FREQUENCIES * SIDE }, (_, at) =>
  Math.cos((Math.PI * Math.floor(at / SIDE) * (2 * (at % SIDE) + 1)) / (2 * SIDE)));
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

const isNumber = (value) => typeof value === "number";
const isNumbers = (value) => Array.isArray(value) && value.length > 0 && value.every(isNumber);

// {accepted, retrieved, rivals, sizes, steps, moves, hopeless, cosineWeight}: the numbers of the decision.
// Throws an Error in words where one is missing, as in an index of an earlier version.
export function readDecision(recognition) {
  const take = (key, isValid) => {
    if (isValid(recognition?.[key])) return recognition[key];
    throw new Error(`meta.json has no number recognition.${key}, which decides whether a card is recognised. `
      + "Run python export_for_browser.py --with-model again.");
  };
  return {
    accepted: take("accepted", isNumber), // similarity + margin of an accepted answer, at least
    retrieved: take("retrieved", isNumber), // nearest rows that are compared
    rivals: take("rivals", isNumber), // different cards that the corners are fitted to
    sizes: take("sizes", isNumbers), // parts by which the sides are moved outward at first
    steps: take("steps", isNumbers), // parts of the card's size by which corners and sides are moved
    moves: take("moves", isNumber), // moves with each step, at most
    hopeless: take("hopeless", isNumber), // a lower similarity after the first step is not improved further
    cosineWeight: take("cosine_weight", isNumber), // of the cosine beside the similarity, in the ranking
  };
}

// {accepted, similarity, margin, order}. similarity is that of the best card. margin is how much less similar the next
// card of another name is. order lists the places in `nearest`, the best first.
// quad: [[x, y] x 4], clockwise from the card's top left; nearest: [{row, score}]; hashes: Uint8Array [N * 32];
// name(row): the card's name; decision: from readDecision().
export function judge(levels, quad, nearest, hashes, name, decision) {
  const { accepted, rivals, sizes, cosineWeight } = decision;
  const similarities = sizes.map((size) => {
    const hash = hashOf(levels, grown(quad, size));
    return nearest.map(({ row }) => similarityTo(hash, hashes, row));
  });
  const ranked = nearest.map((_, place) => {
    const size = sizes.reduce((best, _, i) => (similarities[i][place] > similarities[best][place] ? i : best), 0);
    return { place, size, similarity: similarities[size][place] };
  });
  const ranking = ({ place, similarity }) => similarity + cosineWeight * nearest[place].score;
  const byRanking = (a, b) => ranking(b) - ranking(a);
  const bestOfName = new Map();
  for (const candidate of [...ranked].sort(byRanking)) {
    const card = name(nearest[candidate.place].row);
    if (!bestOfName.has(card)) bestOfName.set(card, candidate);
    if (bestOfName.size === rivals) break;
  }
  const fits = Array.from(bestOfName.values(), ({ place, size, similarity }) => ({
    place,
    similarity: fitted(levels, grown(quad, sizes[size]), similarity, hashes, nearest[place].row, decision),
  })).sort(byRanking);
  const [best, ...others] = fits;
  const margin = others.length ? best.similarity - Math.max(...others.map((fit) => fit.similarity)) : 0;
  const fitAt = new Map(fits.map((fit) => [fit.place, fit]));
  const order = ranked.map((candidate) => fitAt.get(candidate.place) ?? candidate).sort(byRanking)
    .map(({ place }) => place);
  return { accepted: best.similarity + margin >= accepted, similarity: best.similarity, margin, order };
}

// The grey values of an RGBA picture (OpenCV's weights), and of the picture halved again and again, down to 64 pixels.
export function greyLevels({ width, height, data }) {
  const pixels = new Float32Array(width * height);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = (9798 * data[4 * i] + 19235 * data[4 * i + 1] + 3735 * data[4 * i + 2] + 16384) >> 15;
  }
  const levels = [{ width, height, pixels, scale: 1 }];
  while (Math.min(levels[0].width, levels[0].height) >= 2 * SIDE) levels.unshift(halved(levels[0]));
  while (levels.length > 1 && Math.max(levels.at(-1).width, levels.at(-1).height) > MAX_SIDE) levels.pop();
  return levels; // the smallest first
}

// An odd side is halved as OpenCV halves it: to the even one of the two nearest numbers.
function halved({ width, height, pixels, scale }) {
  const [wide, high] = [width, height].map((side) => (side % 4 === 3 ? side + 1 : side) >> 1);
  const half = new Float32Array(wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const at = 2 * y * width + 2 * x;
      const right = 2 * x + 1 < width ? 1 : 0;
      const below = 2 * y + 1 < height ? width : 0;
      const sum = pixels[at] + pixels[at + right] + pixels[at + below] + pixels[at + below + right];
      half[y * wide + x] = Math.round(sum / 4);
    }
  }
  return { width: wide, height: high, pixels: half, scale: scale / 2 };
}

// Moves corners and sides. Each time it takes the move that makes the picture most similar to the row's picture.
// Returns the similarity that is reached.
function fitted(levels, quad, similarity, hashes, row, { steps, moves, hopeless }) {
  for (const step of steps) {
    if (step < steps[0] && similarity < hopeless) break;
    for (let move = 0; move < moves; move++) {
      let better = null;
      for (const other of moved(quad, step * Math.sqrt(area(quad)))) {
        const found = similarityTo(hashOf(levels, other), hashes, row);
        if (found > similarity) [similarity, better] = [found, other];
      }
      if (!better) break;
      quad = better;
    }
  }
  return similarity;
}

// Every quadrilateral that one move gives: a corner moved along an axis, or a side moved outward or inward.
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

// The quadrilateral with each side moved outward by a part of the card's width or height.
function grown(quad, part) {
  const view = projection(quad);
  return [[-part, -part], [1 + part, -part], [1 + part, 1 + part], [-part, 1 + part]].map(([x, y]) => {
    const w = view.g * x + view.h * y + 1;
    return [(view.a * x + view.b * y + view.c) / w, (view.d * x + view.e * y + view.f) / w];
  });
}

function area(quad) {
  return Math.abs(quad.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = quad[(i + 1) % 4];
    return sum + x * nextY - nextX * y;
  }, 0)) / 2;
}

// The quadrilateral is the unit square, seen in perspective: (x, y) in the square is at
// ((a x + b y + c) / w, (d x + e y + f) / w) in the picture, with w = g x + h y + 1.
function projection([[x0, y0], [x1, y1], [x2, y2], [x3, y3]]) {
  const [dx1, dy1, dx2, dy2] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const det = dx1 * dy2 - dx2 * dy1 || 1e-9;
  const [g, h] = [(sx * dy2 - dx2 * sy) / det, (dx1 * sy - sx * dy1) / det];
  return { a: x1 - x0 + g * x1, b: x3 - x0 + h * x3, c: x0, d: y1 - y0 + g * y1, e: y3 - y0 + h * y3, f: y0, g, h };
}

// Uint8Array [32], the hash of what is inside the quadrilateral. A bit is a frequency of the 16 x 16 lowest ones. It is
// 1 where the frequency is above the median of all 256.
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
  const sorted = lowest.slice().sort();
  const median = (sorted[127] + sorted[128]) / 2;
  const hash = new Uint8Array(HASH_BYTES);
  lowest.forEach((value, i) => { if (value > median) hash[i >> 3] |= 128 >> (i & 7); });
  return hash;
}

// Float32Array [64 * 64], what is inside the quadrilateral. Outside the picture, the pixels of its border repeat.
// As in namer.py, the card is first straightened to CARD_WIDTH x CARD_HEIGHT, from the smallest level that shows it
// twice as high.
function straightened(levels, quad) {
  const longest = Math.max(...quad.map(([x, y], i) => Math.hypot(x - quad[(i + 1) % 4][0], y - quad[(i + 1) % 4][1])));
  const { width, height, pixels, scale } = levels.find((level) => level.scale * longest >= 2 * CARD_HEIGHT)
    ?? levels.at(-1);
  const { a, b, c, d, e, f, g, h } = projection(quad);
  const card = new Float32Array(CARD_WIDTH * CARD_HEIGHT);
  for (let i = 0; i < card.length; i++) {
    const across = (i % CARD_WIDTH) / CARD_WIDTH;
    const down = ((i / CARD_WIDTH) | 0) / CARD_HEIGHT;
    const w = (g * across + h * down + 1) / scale;
    const x = Math.min(Math.max((a * across + b * down + c) / w, 0), width - 1);
    const y = Math.min(Math.max((d * across + e * down + f) / w, 0), height - 1);
    const left = x | 0;
    const at = (y | 0) * width + left;
    const next = left < width - 1 ? 1 : 0;
    const below = y < height - 1 ? width : 0;
    const u = x - left;
    const v = y - (y | 0);
    const upper = pixels[at] + u * (pixels[at + next] - pixels[at]);
    const lower = pixels[at + below] + u * (pixels[at + below + next] - pixels[at + below]);
    card[i] = (upper + v * (lower - upper) + 0.5) | 0; // rounded
  }
  return shrunk(card);
}

// Uint8ClampedArray [64 * 64]: each number is the mean of the area of the card that it stands for, 1.5 x 2 pixels.
// It rounds as OpenCV's INTER_AREA does, which computes with 32-bit floats. Otherwise up to 2 bits of a hash differ.
function shrunk(card) {
  const square = new Uint8ClampedArray(SIDE * SIDE);
  const mean = (full, half) => round32(round32(card[full] * FULL_PIXEL) + round32(card[half] * HALF_PIXEL));
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const from = 2 * y * CARD_WIDTH + 3 * (x >> 1); // every 3 pixels become 2: the second one is halved
      const [full, half] = [x & 1 ? from + 2 : from, from + 1];
      square[y * SIDE + x] = round32(mean(full, half) + mean(full + CARD_WIDTH, half + CARD_WIDTH)) / 2;
    }
  }
  return square;
}

function similarityTo(hash, hashes, row) {
  let different = 0;
  for (let i = 0; i < HASH_BYTES; i++) different += BITS[hash[i] ^ hashes[row * HASH_BYTES + i]];
  return 1 - (2 * different) / (8 * HASH_BYTES);
}
