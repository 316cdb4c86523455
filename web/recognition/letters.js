// What a network read, letter by letter -> text, and how well a known text fits it. It is what letters.py is in
// mtg_image_db/recognition/, which explains it.
//
//     textOf(letters);                                            // "MHI·EN"
//     fitsOf(strips, ["017", "0017"], { alone: true });           // 0 to 1 for each strip and text
//
// Letters are {count, logs: Float32Array [count * ALPHABET.length]}: the logarithms of the probabilities in each column
// of a strip. Reads nothing.

/** @typedef {{count: number, logs: Float32Array}} Letters  count: the columns */

const ASCII = Array.from({ length: 0x7f - 0x20 }, (_, at) => String.fromCharCode(0x20 + at));

// The first stands for "no new letter". meta.json says where the network has each of them, in this order.
export const ALPHABET = ["", ...ASCII, ..."ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜàáâãäåæçèéêëìíîïñòóôõöùúûüŒœ", ..."·•★–—’‘“”"];
const SIZE = ALPHABET.length;
const POSITION = new Map(ALPHABET.map((letter, at) => [letter, at]));
const DIGITS = ALPHABET.map((letter) => letter >= "0" && letter <= "9");
const IMPOSSIBLE = -1e9; // the logarithm of a probability of 0

/**
 * The most probable text.
 * @param {Letters} letters
 */
export function textOf({ count, logs }) {
  let [text, previous] = ["", -1];
  for (let column = 0; column < count; column++) {
    const best = argmax(logs, column * SIZE);
    if (best !== previous) text += ALPHABET[best];
    previous = best;
  }
  return text;
}

/**
 * The mean probability of the most probable letters, as its logarithm is averaged: the clearest strip has the highest.
 * @param {Letters} letters
 */
export function clarityOf({ count, logs }) {
  let sum = 0;
  for (let column = 0; column < count; column++) sum += logs[argmax(logs, column * SIZE) + column * SIZE];
  return sum / count;
}

/**
 * How well each text fits each strip, from 0 to 1: Float32Array [texts] for each strip. It is the mean probability of
 * the text's letters, divided by that of the most probable ones there. The text may stand anywhere on a strip. alone:
 * no digit may stand before it, and none directly after it. A text with a letter that is not in ALPHABET fits nowhere.
 * @param {Letters[]} strips
 * @param {string[]} texts
 * @param {{alone?: boolean}} [options]
 */
export function fitsOf(strips, texts, { alone = false } = {}) {
  const codes = texts.map((text) => [...text].map((letter) => POSITION.get(letter) ?? -1));
  return strips.map((strip) => {
    const sums = sumsOf(strip, alone);
    return Float32Array.from(codes, (code) => (code.length === 0 || code.includes(-1) ? 0
      : Math.exp((bestPath(strip, code, sums) - sums.most) / code.length)));
  });
}

// What all texts share on a strip: {most, before, after}. most is the logarithm of the most probable reading.
// before[t] is that of the columns before t, and after[t] that of the columns from t on, as `alone` allows.
function sumsOf({ count, logs }, alone) {
  const [before, after] = [new Float64Array(count + 1), new Float64Array(count + 1)];
  const rest = new Float64Array(count + 1);
  for (let column = 0; column < count; column++) {
    before[column + 1] = before[column] + most(logs, column, (at) => !(alone && DIGITS[at]));
  }
  for (let column = count - 1; column >= 0; column--) {
    rest[column] = rest[column + 1] + most(logs, column, () => true);
    after[column] = !alone ? rest[column] : Math.max(logs[column * SIZE] + after[column + 1],
      most(logs, column, (at) => at > 0 && !DIGITS[at]) + rest[column + 1]);
  }
  return { most: rest[0], before, after };
}

// The logarithm of the probability of the best way to read a text on a strip: the Viterbi algorithm. atLetter and
// afterLetter are the best ways that end in a column at each letter of the text, or at "no new letter" after it.
function bestPath({ count, logs }, codes, { before, after }) {
  const last = codes.length - 1;
  const atLetter = new Float64Array(codes.length).fill(IMPOSSIBLE);
  const afterLetter = new Float64Array(codes.length).fill(IMPOSSIBLE);
  let result = IMPOSSIBLE;
  for (let column = 0; column < count; column++) {
    const start = column * SIZE;
    for (let at = last; at >= 0; at--) { // from the last one: the letter before it is still that of the last column
      let reached = before[column];
      if (at > 0) {
        reached = afterLetter[at - 1];
        if (codes[at] !== codes[at - 1]) reached = Math.max(reached, atLetter[at - 1]);
      }
      afterLetter[at] = Math.max(afterLetter[at], atLetter[at]) + logs[start];
      atLetter[at] = Math.max(atLetter[at], reached) + logs[start + codes[at]];
    }
    result = Math.max(result, atLetter[last] + after[column + 1]);
  }
  return result;
}

function most(logs, column, isAllowed) {
  let highest = IMPOSSIBLE;
  for (let at = 0, from = column * SIZE; at < SIZE; at++, from++) {
    if (logs[from] > highest && isAllowed(at)) highest = logs[from];
  }
  return highest;
}

// The first position of the highest of SIZE numbers from `start` on.
function argmax(logs, start) {
  let best = 0;
  for (let at = 1; at < SIZE; at++) if (logs[start + at] > logs[start + best]) best = at;
  return best;
}
