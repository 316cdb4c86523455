// The states of a card of an answer, and the order in which a photo's cards are listed. It is the twin of
// mtg_image_db/recognition/cards.py, which also says what a card has: it is the JSON object of query_index.py.
//
//     for (const card of inReadingOrder(cards)) show(card.state, card.matches[0].name);

/** @typedef {"recognised" | "likely" | "unknown"} State */
/** @typedef {import("../index/card_index.js").Face} Face */
/**
 * @typedef {Face & {row: number, rank: number, score: number, cosine: number, similarity: number,
 *   art_similarity: number}} Match
 *
 * @typedef {{quad: import("./quads.js").Quad, rotation: number, state: State, accepted: boolean, confidence: number,
 *   score: number, similarity: number, margin: number, matches: Match[], printing_decided: boolean,
 *   printings_known: number, printings: import("./printing_choice.js").Printing[], mirrored: boolean,
 *   by: "art" | "title and art" | "title"}} Card
 */

export const STATES = /** @type {const} */ (["recognised", "likely", "unknown"]);
export const [RECOGNISED, LIKELY, UNKNOWN] = STATES;
/** What a card is known by. */
export const [ART_AGREES, BOTH_AGREE, TITLE_ALONE] = /** @type {const} */ (["art", "title and art", "title"]);
const SAME_ROW = 0.5; // as in cards.py

/**
 * The cards in rows from the top, each from left to right. A card belongs to the row above it if its centre is less
 * than SAME_ROW of a usual card's height lower than the last one, and if each card of the row is farther beside it than
 * above.
 * @param {Card[]} cards
 * @returns {Card[]}
 */
export function inReadingOrder(cards) {
  if (cards.length === 0) return [];
  const limit = SAME_ROW * median(cards.map(({ quad }) => heightOf(quad)));
  const placed = cards.map((card) => ({ card, x: mean(card.quad, 0), y: mean(card.quad, 1) }))
    .sort((one, other) => one.y - other.y);
  const rows = /** @type {(typeof placed)[]} */ ([]);
  for (const item of placed) {
    const row = rows.at(-1);
    const isBeside = row && item.y - row[row.length - 1].y < limit
      && row.every((other) => Math.abs(item.x - other.x) > item.y - other.y);
    if (isBeside) row.push(item);
    else rows.push([item]);
  }
  return rows.flatMap((row) => row.sort((one, other) => one.x - other.x).map(({ card }) => card));
}

/**
 * The order of an answer before it is read: recognised cards first, then likely ones, each with the highest score
 * first.
 * @param {Card} one
 * @param {Card} other
 */
export function byState(one, other) {
  return STATES.indexOf(one.state) - STATES.indexOf(other.state) || other.score - one.score;
}

function heightOf(quad) {
  const ys = quad.map(([, y]) => y);
  return Math.max(...ys) - Math.min(...ys);
}

function mean(quad, axis) {
  return quad.reduce((sum, corner) => sum + corner[axis], 0) / quad.length;
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
