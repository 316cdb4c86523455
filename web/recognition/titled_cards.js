// A title -> the card that has it, and what that says of the cards that are known already. It is what titled_cards.py
// is in mtg_image_db/recognition/, which explains it.
//
//     const titled = await titledCard(title, rows, cards, photo, question, { refine, rules });
//     if (titled) cards = withTitle(cards, title, titled, rules);
//
// rules: meta.recognition.reading. question: {index, model, decision, k}, as judged() of decision.js takes it.
// Reads nothing.

import { ART_AGREES, LIKELY, TITLE_ALONE } from "./cards.js";
import { judged } from "./decision.js";
import { artHashAt, bestArt } from "./fitting.js";
import { ART_OFFSET, ROW_BYTES, artSimilarity } from "./picture_hash.js";
import { samePlace } from "./places.js";
import { embedded, signsAt, viewOfRows } from "./retrieval.js";
import { isOn, isTitleOf } from "./titles.js";

/** @typedef {import("./cards.js").Card} Card */
/** @typedef {import("./titles.js").Title} Title */
/** @typedef {import("./corner_refiner.js").Place} Place */

/**
 * The card with a title, or null if it is none. rows: the faces with this name. cards: those that are known so far, of
 * which one may have the title. The card is recognised if the art below the title agrees. Otherwise it is likely, if a
 * card may be there: then its corners are those of the text. refine(photo, quads) gives better places for rough ones.
 * @param {Title} title
 * @param {number[]} rows
 * @param {Card[]} cards
 * @param {import("./pictures.js").Photo} photo
 * @param {import("./decision.js").Question} question
 * @param {{refine: import("./places.js").Refine, rules: any}} reading
 * @returns {Promise<Card | null>}
 */
export async function titledCard(title, rows, cards, photo, question, { refine, rules }) {
  const { index, model, decision } = question;
  const { refined: times, most_rows: mostRows, card_below: cardBelow } = rules.titled;
  const refined = /** @type {Place[]} */ ([{ quad: title.card, confidence: 0, sure: 1 }]);
  for (let time = 0; time < times; time++) {
    refined.push(...await refine(photo.colour, [refined[refined.length - 1].quad]));
  }
  const here = cards.filter(({ quad }) => isTitleOf(title.strip, quad, rules.titles))
    .map(({ quad }) => ({ quad, confidence: 1, sure: 1 }));
  const places = [...refined, ...here];
  const hashes = places.map(({ quad }) => artHashAt(quad, photo.colour, decision.art));
  const most = rows.map((row) => ({
    row, alike: Math.max(...hashes.map((hash) => artSimilarity(hash, index.words, (row * ROW_BYTES + ART_OFFSET) / 4))),
  })).sort((one, other) => other.alike - one.alike).slice(0, mostRows).map(({ row }) => row);
  const art = places.map(({ quad }) => bestArt(quad, index.words, most[0], photo.colour, decision));
  const place = places[art.indexOf(Math.max(...art))];
  const [vector] = await embedded(photo, [place], model);
  if (!Number.isFinite(vector[0])) return null;
  const sorted = most.sort((one, other) => one - other);
  const view = viewOfRows(place, vector, signsAt(place.quad, photo, decision), sorted, index);
  const { card } = await judged(view, photo, question, true);
  if (card.by !== TITLE_ALONE) return card;
  const below = Math.min(...refined.slice(1).map(({ confidence }) => confidence));
  const isCard = refined.length > 1 && below >= cardBelow;
  return isCard ? { ...card, quad: title.strip.map((corner) => corner.map((at) => Math.round(at * 10) / 10)) } : null;
}

/**
 * True if a recognised card of this name lies where the title is.
 * @param {Title} title
 * @param {Card[]} cards
 */
export function isKnown(title, cards) {
  return cards.some((card) => card.accepted && card.matches[0].name === title.name && isOn(title.strip, card.quad));
}

/**
 * The cards of a photo, with what a title adds: another card, or a better answer for the card that has it. A card that
 * is recognised by its art alone, but has the title of another one, is likely unless it is sure.
 * @param {Card[]} cards
 * @param {Title} title
 * @param {Card} titled
 * @param {any} rules
 * @returns {Card[]}
 */
export function withTitle(cards, title, titled, rules) {
  const at = cards.findIndex((card) => hasTitle(card, title, titled, rules));
  if (at < 0) return [...cards, titled];
  const holder = cards[at];
  let better = /** @type {Card} */ ({ ...holder, state: LIKELY, accepted: false, printing_decided: false });
  if (!holder.accepted || (titled.accepted && titled.confidence > holder.confidence)) {
    better = titled.accepted ? titled : { ...titled, quad: holder.quad, rotation: holder.rotation };
  } else if (holder.confidence >= rules.titled.sure || holder.by !== ART_AGREES) {
    return cards;
  }
  return cards.with(at, better);
}

// True if this is the card with the title. A recognised card has it only where its title is.
function hasTitle(card, title, titled, rules) {
  if (card.by === TITLE_ALONE) return false;
  return isTitleOf(title.strip, card.quad, rules.titles)
    || (titled.accepted && !card.accepted && samePlace(card.quad, titled.quad));
}
