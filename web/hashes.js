// Perceptual hashes of what is inside a quadrilateral of a picture, and the rows of the index with similar ones. They
// are those of mtg_image_db/embedding/picture_hash.py.
//
//     const { grey, colours } = levelsOf(picture);
//     const similarity = similarityTo(hashOf(grey, quad), hashes, row);
//
// The similarity of two pictures is 1 - 2 x Hamming distance / bits. It is 1 for equal pictures and about 0 for
// unrelated ones. hashes.bin has two hashes for each row: 256 bits of the complete picture, and 3 x 256 bits of its art
// in colour.

import { grown, inside, projection } from "./quads.js";
import { best } from "./scores.js";

const HASH_BYTES = 32; // of a picture, or of one channel of its art
const ART_OFFSET = HASH_BYTES; // where the hash of the art begins in the bytes of a row
export const ROW_BYTES = ART_OFFSET + 3 * HASH_BYTES;
const SIDE = 64; // pixels of the grey square that is transformed, as in picture_hash.py
const FREQUENCIES = 16; // as in picture_hash.py
const [CARD_WIDTH, CARD_HEIGHT] = [96, 128]; // pixels of a straightened card or art window, as in fitting.py
const round32 = Math.fround;
const [FULL_PIXEL, HALF_PIXEL] = [round32(1 / 1.5), round32(0.5 / 1.5)]; // weights in the mean of 1.5 pixels
const MAX_SIDE = 1024; // pixels: larger levels are not kept
// Brightness, red minus green, and blue minus yellow, of [red, green, blue]: as in picture_hash.py.
const CHANNELS = [[0.299, 0.587, 0.114], [1, -1, 0], [-0.5, -0.5, 1]];
const [MIN_CONTRAST, BRIGHTNESS_ALONE] = [1, 1.5]; // as in picture_hash.py, which explains them

const COSINES = Float32Array.from({ length: FREQUENCIES * SIDE }, (_, at) =>
  Math.cos((Math.PI * Math.floor(at / SIDE) * (2 * (at % SIDE) + 1)) / (2 * SIDE)));

// The rows whose art is most similar to that of a card at the quadrilateral, by their hashes: retrievedByArt for each
// of sizes. A row may come twice. All rows are compared: 54,000 take 20 ms for four sizes.
export function nearestByArt({ colours }, quad, hashes, { sizes, retrievedByArt, art }) {
  const words = wordsOf(hashes);
  const alike = new Int16Array(hashes.length / ROW_BYTES);
  return sizes.flatMap((size) => {
    const wanted = wordsOf(artHashOf(colours, inside(grown(quad, size), art)));
    for (let row = 0; row < alike.length; row++) {
      alike[row] = -distance(wanted, words, (row * ROW_BYTES + ART_OFFSET) / 4);
    }
    return best(alike, Math.min(retrievedByArt, alike.length));
  });
}

// {grey, colours: [red, green, blue]}: the levels of an RGBA picture. grey has OpenCV's weights.
export function levelsOf(picture) {
  const { data } = picture;
  const weighted = (i) => (9798 * data[i] + 19235 * data[i + 1] + 3735 * data[i + 2] + 16384) >> 15;
  return {
    grey: channelLevels(picture, weighted),
    colours: [0, 1, 2].map((channel) => channelLevels(picture, (i) => data[i + channel])),
  };
}

// The values of a channel, and of the picture halved again and again, down to 64 pixels. value(i) is that of the pixel
// whose data begin at i.
function channelLevels({ width, height }, value) {
  const pixels = new Float32Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = value(4 * i);
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

// Uint8Array [32], the hash of what is inside the quadrilateral.
export function hashOf(levels, quad) {
  return bitsOf(straightened(levels, quad));
}

// Uint8Array [96], the hash of the art that is inside the quadrilateral.
export function artHashOf(colours, quad) {
  const squares = colours.map((levels) => straightened(levels, quad));
  const hash = new Uint8Array(CHANNELS.length * HASH_BYTES);
  CHANNELS.forEach((weights, channel) => {
    const mixed = Float32Array.from(squares[0], (_, i) =>
      weights.reduce((sum, weight, colour) => sum + weight * squares[colour][i], 0));
    if (deviation(mixed) >= MIN_CONTRAST) hash.set(bitsOf(mixed), channel * HASH_BYTES);
  });
  return hash;
}

// Uint8Array [32], the hash of 64 x 64 numbers. A bit is a frequency of the 16 x 16 lowest ones. It is 1 where the
// frequency is above the median of all 256.
function bitsOf(square) {
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
// As in fitting.py, the card or its art is first straightened to CARD_WIDTH x CARD_HEIGHT, from the smallest level that
// shows it twice as high.
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

// The similarity of a picture's hash to that of a row.
export function similarityTo(hash, hashes, row) {
  return similarity(wordsOf(hash), wordsOf(hashes), (row * ROW_BYTES) / 4);
}

// The similarity of the hash of some art to that of a row: the mean of the channels that tell something in both.
export function artSimilarityTo(hash, hashes, row) {
  let [sum, channels] = [0, 0];
  for (let at = 0; at < hash.length; at += HASH_BYTES) {
    const channel = hash.subarray(at, at + HASH_BYTES);
    const from = row * ROW_BYTES + ART_OFFSET + at;
    if (!channel.some(Boolean) || !hashes.subarray(from, from + HASH_BYTES).some(Boolean)) continue;
    sum += similarity(wordsOf(channel), wordsOf(hashes), from / 4);
    channels += 1;
  }
  return sum / Math.max(channels, BRIGHTNESS_ALONE);
}

function wordsOf({ buffer, byteOffset, length }) {
  return new Uint32Array(buffer, byteOffset, length / 4);
}

function similarity(hash, words, at) {
  return 1 - (2 * distance(hash, words, at)) / (32 * hash.length);
}

// The standard deviation of some numbers.
function deviation(numbers) {
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / numbers.length);
}

// The number of bits that differ between a hash and the one at a place, both as 32-bit words.
function distance(hash, words, at) {
  let different = 0;
  for (let i = 0; i < hash.length; i++) {
    let bits = hash[i] ^ words[at + i];
    bits -= (bits >>> 1) & 0x55555555; // adds up the bits of pairs, then of fours, then of bytes
    bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
    different += Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return different;
}
