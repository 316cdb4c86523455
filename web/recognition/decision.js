// A place and the rows that it may show -> a card, with its state: recognised, likely or unknown. It is the twin of
// mtg_image_db/recognition/decision.py, which explains its numbers.
//
//     const decision = readDecision(meta.recognition);
//     const { card } = await judged(view, photo, { index, model, decision, k: 3 });
//
// The corners are moved to where the picture is most similar. The similarity of the art then decides. A title that
// agrees makes less similar art enough. The numbers come from meta.json: the export writes them there.

import { rounded, scoreOf } from "../index/card_index.js";
import { ART_AGREES, BOTH_AGREE, LIKELY, RECOGNISED, TITLE_ALONE, UNKNOWN } from "./cards.js";
import { bestArt, fitCorners, hashAt } from "./fitting.js";
import { ROW_BYTES, similarity } from "./picture_hash.js";
import { choose, knownPrintings } from "./printing_choice.js";
import { grown } from "./quads.js";

/**
 * @typedef {{accepted: number, retrieved: number, retrievedByArt: number, rivals: number, sizes: number[],
 *   moves: number, steps: number[], hopeless: number, artSteps: number[], artHopeless: number, art: number[],
 *   reading: any}} Decision
 *
 * @typedef {{index: import("../index/card_index.js").OpenedIndex, model: import("./embedder.js").Model,
 *   decision: Decision, k: number}} Question  k: of so many matches a card
 *
 * @typedef {{card: import("./cards.js").Card, place: number, quad: import("./quads.js").Quad}} Judged
 */
/** @typedef {import("./pictures.js").Photo} Photo */
/** @typedef {import("./retrieval.js").View} View */
/** @typedef {import("../index/card_index.js").Measured} Measured */

// As in decision.py.
const LIKELY_FROM = 0.33; // a card is likely from this confidence on, if one surely lies there
export const CARD_HERE = 0.6; // a card surely lies at a place of this confidence
export const BESIDE = 0.75; // another place lies beside a card if it shares less than this part of the smaller one
const NEAR_EQUAL = 0.02; // difference of cosines. Below it, rows of one name without illustration_id are one artwork

const isNumber = (value) => typeof value === "number";
const isNumbers = (value) => Array.isArray(value) && value.length > 0 && value.every(isNumber);

/**
 * The numbers of the decision. Throws an Error in words where one is missing, as in an index of an earlier version.
 * @param {any} recognition that of meta.json
 * @returns {Decision}
 */
export function readDecision(recognition) {
  const take = (key, isValid, from = recognition) => {
    if (isValid(from?.[key])) return from[key];
    throw new Error(`meta.json has no number recognition.${key}, which decides whether a card is recognised. `
      + "Run python export_for_browser.py --with-model again.");
  };
  return {
    accepted: take("accepted", isNumber), // confidence of a recognised card, at least
    retrieved: take("retrieved", isNumber), // rows nearest by their vectors that are compared
    retrievedByArt: take("retrieved_by_art", isNumber), // and by the hashes of their art, for each of sizes
    rivals: take("rivals", isNumber), // different cards that the corners are fitted to
    sizes: take("sizes", isNumbers), // parts by which the sides are moved outward at first
    moves: take("moves", isNumber), // moves with each step, at most
    steps: take("steps", isNumbers), // parts of the card's size by which corners and sides are moved
    hopeless: take("hopeless", isNumber), // a lower similarity after the first step is not improved further
    artSteps: take("art_steps", isNumbers), // the same for the art alone, from there on
    artHopeless: take("art_hopeless", isNumber), // for less similar art, nothing is moved
    art: take("art", isNumbers), // the art window: left, top, right and bottom as parts of the card's width and height
    reading: take("reading", (value) => typeof value === "object"), // the numbers of what is read
  };
}

/**
 * The state of a card with this confidence, if one lies at its place with that one. titled: its title was read.
 * @param {number} confidence
 * @param {number} place
 * @param {boolean} titled
 * @param {Decision} decision
 * @returns {import("./cards.js").State}
 */
function stateOf(confidence, place, titled, { accepted, reading }) {
  if (confidence >= (titled ? reading.accepted_titled : accepted)) return RECOGNISED;
  return titled || (confidence >= LIKELY_FROM && place >= CARD_HERE) ? LIKELY : UNKNOWN;
}

/**
 * {card, place, quad}: the card at a view's place, and the confidence that one lies there. titled: its title was read
 * there, so the view's rows are the faces with this name.
 * @param {View} view
 * @param {Photo} photo
 * @param {Question} question
 * @param {boolean} [titled]
 * @returns {Promise<Judged>}
 */
export async function judged(view, photo, question, titled = false) {
  const fits = rivalsOf(view, question).map((at) => fitOf(view, at, photo, question))
    .sort((one, other) => scoreOf(other.measured) - scoreOf(one.measured));
  const card = await cardOf(view, fits, photo, question, titled);
  return { card, place: view.place.confidence, quad: card.quad };
}

// The positions, among the view's rows, of the best row of each of a few different cards.
function rivalsOf({ rows, scores }, { index, decision }) {
  const best = new Map();
  for (const at of rows.map((_, i) => i).sort((one, other) => scores[other] - scores[one])) {
    const name = index.name(rows[at]);
    if (!best.has(name)) best.set(name, at);
    if (best.size === decision.rivals) break;
  }
  return [...best.values()];
}

// The view's corners, fitted to the picture of its row number `at`. No number is lower afterwards: so the best fit
// ranks before every row to which nothing was fitted.
function fitOf(view, at, photo, { index, decision }) {
  const { cosine, similarity: alike, artSimilarity } = view.measured[at];
  const row = view.rows[at];
  const start = grown(view.place.quad, decision.sizes[view.bestSize[at]]);
  const { similarity, quad } = fitCorners(start, alike, index.words, row, photo.grey, decision);
  const art = Math.max(artSimilarity, bestArt(quad, index.words, row, photo.colour, decision));
  return { measured: { cosine, similarity, artSimilarity: art }, row, quad };
}

/**
 * @param {View} view
 * @param {ReturnType<typeof fitOf>[]} fits
 * @param {Photo} photo
 * @param {Question} question
 * @param {boolean} titled
 * @returns {Promise<import("./cards.js").Card>}
 */
async function cardOf(view, fits, photo, question, titled) {
  const { index, decision, k } = question;
  const [best] = fits;
  const confidence = best.measured.artSimilarity;
  const state = stateOf(confidence, view.place.confidence, titled, decision);
  const byArt = stateOf(confidence, view.place.confidence, false, decision);
  const known = state !== UNKNOWN;
  // Corners fitted to the wrong card would be farther off.
  const quad = known && (byArt === state || state === RECOGNISED) ? best.quad : view.place.quad;
  const measured = new Map(view.rows.map((row, at) => [row, view.measured[at]]));
  for (const fit of fits) measured.set(fit.row, fit.measured);
  const alike = known ? sameArtwork(view, best, photo, index) : new Map([[best.row, best.measured.similarity]]);
  for (const [row, similarity] of alike) {
    const before = measured.get(row);
    if (before) measured.set(row, { cosine: before.cosine, similarity, artSimilarity: confidence });
  }
  const measuredOf = (row) => /** @type {Measured} */ (measured.get(row));
  const ranking = (row) => scoreOf(measuredOf(row));
  const [first] = [...alike.keys()].filter((row) => measured.has(row))
    .sort((one, other) => ranking(other) - ranking(one) || Number(other === best.row) - Number(one === best.row));
  const mine = measuredOf(first);
  const rivals = fits.slice(1).map((fit) => fit.measured.similarity);
  const { printings, listed } = known ? await knownPrintings(index, first, alike) : { printings: [], listed: false };
  const choice = choose(printings, listed, decision.reading.printings);
  measured.delete(first);
  return {
    quad: quad.map((corner) => corner.map((number) => Math.round(number * 10) / 10)),
    rotation: rotationOf(quad), state, accepted: state === RECOGNISED, confidence: rounded(confidence),
    score: rounded(scoreOf(mine)), similarity: rounded(mine.similarity),
    margin: rivals.length ? rounded(mine.similarity - Math.max(...rivals))
      : rounded(mine.similarity - best.measured.similarity),
    matches: index.matches(new Map([[first, mine], ...measured]), k),
    printing_decided: choice.decided && state === RECOGNISED,
    printings_known: choice.printings.length, printings: choice.printings, mirrored: false,
    by: !titled || byArt === RECOGNISED ? ART_AGREES : state === RECOGNISED ? BOTH_AGREE : TITLE_ALONE,
  };
}

// The similarity of every row that shows the fitted card's artwork: a Map by row, the most similar first.
function sameArtwork(view, best, photo, index) {
  const name = index.name(best.row);
  const same = new Set([best.row, ...index.rowsOfArtwork(best.row)].filter((row) => index.name(row) === name));
  view.rows.forEach((row, at) => {
    const isNear = Math.abs(view.measured[at].cosine - best.measured.cosine) <= NEAR_EQUAL;
    if (isNear && index.name(row) === name && !index.value(row, "illustration_id")) same.add(row);
  });
  const hash = hashAt(best.quad, photo.grey);
  const alike = new Map(Array.from(same, (row) => [row, similarity(hash, index.words, (row * ROW_BYTES) / 4)]));
  alike.set(best.row, best.measured.similarity);
  return new Map([...alike].sort(([, one], [, other]) => other - one));
}

// Degrees clockwise from upright, 0-359, of the line from the middle of the bottom side to that of the top side.
function rotationOf(quad) {
  const [across, down] = [0, 1].map((axis) => (quad[0][axis] + quad[1][axis] - quad[2][axis] - quad[3][axis]) / 2);
  return (Math.round((Math.atan2(across, -down) * 180) / Math.PI) + 360) % 360;
}
