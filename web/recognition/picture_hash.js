// Perceptual hashes of a card's picture: of the complete picture in grey, and of the art window in colour. They are
// those of mtg_image_db/embedding/picture_hash.py.
//
//     similarity(pictureHash(photo), wordsOf(hashes), (row * ROW_BYTES) / 4)    // 1 equal, about 0 unrelated
//
// A hash is a Uint32Array: 8 words for a picture or one channel of its art, 24 for the art. hashes.bin has both for
// each row: 256 bits of the complete picture, then 3 x 256 bits of its art in colour.

import { LOWEST, PLACES, SIDE, kernel } from "./hash_kernel.js";
import { cv } from "./opencv.js";
import { roundToEven } from "./preparation.js";

const HASH_BYTES = 32; // of a picture, or of one channel of its art
const HASH_WORDS = HASH_BYTES / 4;
export const ART_OFFSET = HASH_BYTES; // where the hash of the art begins in the bytes of a row
export const ROW_BYTES = ART_OFFSET + 3 * HASH_BYTES;
// Brightness, red minus green, and blue minus yellow, of [red, green, blue]: as in picture_hash.py.
const CHANNELS = [[0.299, 0.587, 0.114], [1, -1, 0], [-0.5, -0.5, 1]];
const [MIN_CONTRAST, BRIGHTNESS_ALONE] = [1, 1.5]; // as in picture_hash.py, which explains them
const MIN_ENERGY = MIN_CONTRAST ** 2 * SIDE ** 2; // the sum of the squares of that deviation
// What the square of a frequency adds to that sum (Parseval): half as much for one that is 0 across or down.
const ENERGY = Float32Array.from(PLACES, (_, place) => {
  const at = PLACES.indexOf(place);
  return (at % 16 && at >= 16 ? 4 : at ? 2 : 0) / SIDE ** 2;
});
const mixed = new Float32Array(LOWEST);
const sorted = new Float32Array(LOWEST);

// Uint32Array [8]: the hash of what is in the kernel's first square.
export function hashOfSquare() {
  const hash = new Uint32Array(HASH_WORDS);
  writeBits(kernel.transform(0), hash, 0);
  return hash;
}

// Uint32Array [24]: the hash of the art that is in the kernel's squares, in red, green and blue.
export function artHashOfSquares() {
  const hash = new Uint32Array(CHANNELS.length * HASH_WORDS);
  const [red, green, blue] = [0, 1, 2].map(kernel.transform);
  CHANNELS.forEach(([r, g, b], channel) => { // the DCT of a sum is the sum of the DCTs
    const energy = mix(red, green, blue, r, g, b);
    if (energy >= 1.01 * MIN_ENERGY || hasContrast(r, g, b)) writeBits(mixed, hash, channel * HASH_WORDS);
  });
  return hash;
}

/**
 * The hash of a complete picture, a grey Mat.
 * @param {import("./opencv.js").Mat} mat
 */
export function pictureHash(mat) {
  fillSquares(mat);
  return hashOfSquare();
}

/**
 * The hash of the art window of a card's picture, an RGB Mat. art: its left, top, right and bottom as shares.
 * @param {import("./opencv.js").Mat} mat
 * @param {number[]} art
 */
export function artHash(mat, art) {
  const [left, top, right, bottom] = art.map((share, i) => roundToEven(share * (i % 2 ? mat.rows : mat.cols)));
  const window = mat.roi(new cv.Rect(left, top, Math.max(right - left, 1), Math.max(bottom - top, 1)));
  fillSquares(window);
  window.delete();
  return artHashOfSquares();
}

/**
 * The similarity of a hash to the words that begin at a place: 1 - 2 x Hamming distance / bits.
 * @param {Uint32Array} hash
 * @param {Uint32Array} words
 * @param {number} at
 */
export function similarity(hash, words, at) {
  return 1 - distance(hash, 0, words, at) / (LOWEST / 2);
}

/**
 * The similarity of the hash of some art to the words that begin at a place: the mean of the channels that tell
 * something in both.
 * @param {Uint32Array} hash
 * @param {Uint32Array} words
 * @param {number} at
 */
export function artSimilarity(hash, words, at) {
  let [sum, channels] = [0, 0];
  for (let from = 0; from < hash.length; from += HASH_WORDS) {
    if (!tells(hash, from) || !tells(words, at + from)) continue;
    sum += 1 - distance(hash, from, words, at + from) / (LOWEST / 2);
    channels += 1;
  }
  return sum / Math.max(channels, BRIGHTNESS_ALONE);
}

/**
 * The words of some bytes, without copying them.
 * @param {Uint8Array} bytes
 */
export function wordsOf({ buffer, byteOffset, length }) {
  return new Uint32Array(buffer, byteOffset, length / 4);
}

// Fills a square of the kernel with each channel of a Mat.
function fillSquares(mat) {
  const small = new cv.Mat();
  cv.resize(mat, small, new cv.Size(SIDE, SIDE), 0, 0, cv.INTER_AREA);
  const [channels, data] = [small.channels(), small.data];
  for (let channel = 0; channel < channels; channel++) {
    const square = kernel.squares[channel];
    for (let at = 0; at < square.length; at++) square[at] = data[at * channels + channel];
  }
  small.delete();
}

// A bit is 1 where the frequency is above the median of all 256. They are packed as NumPy does, the first one highest
// in its byte.
function writeBits(frequencies, hash, to) {
  sorted.set(frequencies);
  sorted.sort();
  const median = (sorted[LOWEST / 2 - 1] + sorted[LOWEST / 2]) / 2;
  for (let word = 0, at = 0; word < HASH_WORDS; word++) {
    let bits = 0;
    for (let byte = 0; byte < 32; byte += 8) {
      for (let bit = 7; bit >= 0; bit--, at++) if (frequencies[PLACES[at]] > median) bits |= 1 << (byte + bit);
    }
    hash[to + word] = bits;
  }
}

// Mixes the frequencies of the colours. Returns their energy without that of the mean: a part of the mixture's energy,
// which mostly tells that it has contrast.
function mix(red, green, blue, r, g, b) {
  let energy = 0;
  for (let at = 0; at < LOWEST; at++) {
    const value = r * red[at] + g * green[at] + b * blue[at];
    mixed[at] = value;
    energy += value * value * ENERGY[at];
  }
  return energy;
}

// Whether the mixture of the colours tells something, by all its pixels.
function hasContrast(r, g, b) {
  const [red, green, blue] = kernel.squares;
  let [sum, squares] = [0, 0];
  for (let at = 0; at < SIDE * SIDE; at++) {
    const value = r * red[at] + g * green[at] + b * blue[at];
    sum += value;
    squares += value * value;
  }
  return squares - sum * sum / SIDE ** 2 >= MIN_ENERGY;
}

function tells(words, at) {
  for (let i = at; i < at + HASH_WORDS; i++) if (words[i]) return true;
  return false;
}

// The number of bits that differ between two hashes of 8 words.
function distance(hash, from, words, at) {
  let different = 0;
  for (let i = 0; i < HASH_WORDS; i++) {
    let bits = hash[from + i] ^ words[at + i];
    bits -= (bits >>> 1) & 0x55555555; // adds up the bits of pairs, then of fours, then of bytes
    bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
    different += Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return different;
}
