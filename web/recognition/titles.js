// Lines of text in a photo -> titles of cards: the name, and where the card must lie. It is what titles.py is in
// mtg_image_db/recognition/, which explains it.
//
//     const titles = await openTitles(index, meta.recognition.reading.titles);
//     for (const { name, strip, card } of titles.among(lines)) console.log(name, card);
//
// Reads vendor/leven.js, from the npm package leven (MIT), which counts the letters in which two words differ.

import { plain } from "../index/names.js";
import { CARD_RATIO } from "./pictures.js";
import { onCard } from "./quads.js";

/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {{name: string, strip: Quad, card: Quad}} Title  the strip is the text's corners */
/** @typedef {Awaited<ReturnType<typeof openTitles>>} Titles */

const PROGRAM = new URL("../vendor/leven.js", import.meta.url);

// A line of rules text, or of a flavour text's author.
const NOT_A_TITLE = /^[^A-ZÀ-Þ"“‘'0-9]|[.,;:)]$/u;

/**
 * Resolves to the names of an index's faces: {rows(name), among(lines), nameOf(text)}. rules:
 * meta.recognition.reading.titles. For 30,000 names, a line takes a few ms.
 * @param {import("../index/card_index.js").OpenedIndex} index
 * @param {any} rules
 */
export async function openTitles(index, rules) {
  const { default: leven } = await import(PROGRAM.href).catch(() => {
    throw new Error("The program that compares names is not installed: make web");
  });
  const rowsOf = new Map();
  for (let row = 0; row < index.rows; row++) {
    if (index.value(row, "same_image_as")) continue; // it shares the picture of another row
    const name = index.name(row);
    if (rowsOf.has(name)) rowsOf.get(name).push(row);
    else rowsOf.set(name, [row]);
  }
  const names = new Map([...rowsOf.keys()].reverse().map((name) => [lettersOf(firstPart(name)), name]));
  const keys = [...names.keys()];

  // The name that a line of text is, or null.
  function nameOf(text) {
    const read = lettersOf(text);
    if (read.length < rules.min_letters) return null;
    const same = names.get(read);
    if (same === text.trim()) return same;
    if (NOT_A_TITLE.test(text.trim())) return null;
    if (same !== undefined) return same;
    let [nearest, least] = [null, Math.floor(read.length / rules.letters_per_error) + 1];
    for (const key of keys) {
      if (Math.abs(key.length - read.length) >= least) continue;
      const errors = leven(read, key, { maxDistance: least }); // from `least` on, it gives `least`
      if (errors < least) [nearest, least] = [key, errors];
    }
    return nearest === null ? null : names.get(nearest);
  }

  return {
    rows: (name) => rowsOf.get(name),
    nameOf,
    /**
     * The lines that are names of indexed faces, as titles.
     * @param {import("./text_reader.js").Line[]} lines
     * @returns {Title[]}
     */
    among: (lines) => lines.flatMap(({ quad, text }) => {
      const name = nameOf(text);
      return name === null ? [] : [{ name, strip: quad, card: cardAt(quad, firstPart(name), rules) }];
    }),
  };
}

// The letters and digits of a text without accents and capitals: names are compared so.
function lettersOf(text) {
  return plain(text).replace(/[^\p{L}\p{N}]/gu, "");
}

/**
 * The corners of the card whose title is here, if the card is seen from straight above.
 * @param {Quad} strip
 * @param {string} name
 * @param {any} rules
 * @returns {Quad}
 */
export function cardAt(strip, name, rules) {
  const [left, right] = [between(strip[0], strip[3]), between(strip[1], strip[2])];
  const width = widthOf(name, rules);
  const across = [(right[0] - left[0]) / width, (right[1] - left[1]) / width];
  const down = [-across[1] / CARD_RATIO, across[0] / CARD_RATIO];
  const at = (x, y) => [0, 1].map((axis) =>
    left[axis] + (x - rules.left) * across[axis] + (y - rules.middle) * down[axis]);
  return [at(0, 0), at(1, 0), at(1, 1), at(0, 1)];
}

/**
 * True if a line of text is where the title of a card with these corners is.
 * @param {Quad} strip
 * @param {Quad} card
 * @param {any} rules
 */
export function isTitleOf(strip, card, rules) {
  const [[x, y]] = onCard([between(strip[0], strip[3])], card);
  return Math.max(Math.abs(x - rules.left), Math.abs(y - rules.middle)) < rules.at_title;
}

/**
 * True if the middle of a line of text is on a card.
 * @param {Quad} strip
 * @param {Quad} card
 */
export function isOn(strip, card) {
  return [0, 1].every((axis) => {
    const middle = onCard(strip, card).reduce((sum, corner) => sum + corner[axis], 0) / 4;
    return middle > 0 && middle < 1;
  });
}

/**
 * True if a line of text is on a card, and too small to be the title of a card of this size.
 * @param {Quad} strip
 * @param {Quad} card
 * @param {any} rules
 */
export function isSmallOn(strip, card, rules) {
  if (!isOn(strip, card)) return false;
  const corners = onCard(strip, card);
  const [top, bottom] = [between(corners[0], corners[1]), between(corners[3], corners[2])];
  return Math.hypot((bottom[0] - top[0]) * CARD_RATIO, bottom[1] - top[1]) < rules.min_height;
}

// The name that stands at the top of a card with two names, like an adventure.
function firstPart(name) {
  return name.split(" // ")[0];
}

// The width of a title as a share of its card's width.
function widthOf(name, { widths: [any, ...widths], letters }) {
  const counts = letters.map((kind) => [...name].filter((letter) => kind.includes(letter)).length);
  const others = [...name].length - counts.reduce((sum, count) => sum + count, 0);
  return [...counts, others].reduce((sum, count, at) => sum + count * widths[at], any);
}

/**
 * @param {import("./quads.js").Point} point
 * @param {import("./quads.js").Point} other
 */
function between([x, y], [otherX, otherY]) {
  return [(x + otherX) / 2, (y + otherY) / 2];
}
