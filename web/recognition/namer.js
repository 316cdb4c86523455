// A photo -> the cards in it, each with its state: recognised, likely or unknown. It is the twin of
// mtg_image_db/recognition/namer.py.
//
//     const cards = await namePhoto(photo, { index, model, decision, k: 3 }, guesses(photo));

import { UNKNOWN, byState, inReadingOrder } from "./cards.js";
import { BESIDE, CARD_HERE, judged } from "./decision.js";
import { mirroredPhoto } from "./pictures.js";
import { samePlace } from "./places.js";
import { overlap } from "./quads.js";
import { glimpseOf, viewsOf } from "./retrieval.js";

/** @typedef {import("./cards.js").Card} Card */
/** @typedef {import("./pictures.js").Photo} Photo */
/** @typedef {import("./corner_refiner.js").Place} Place */
/** @typedef {import("./decision.js").Question} Question */
/** @typedef {import("./card_reader.js").CardReader} CardReader */

// As in namer.py.
const VIEWS_FITTED = 2; // at most this many views of one place: candidates overlap
const MAX_PLACES_FITTED = 40;
const PROMISING = 0.25; // similarity of the art before any corner is moved. Unknown cards rarely have more
const MIRROR_VIEWS = 12; // guesses that are tried in a mirror first: if none is recognised, the photo is none

/**
 * The cards at these places of a photo: recognised ones first, then likely ones, each with the highest score first. If
 * no place looks like a card, the best guess is the only one.
 *
 * A vector costs 40 ms in a browser. So the places whose hashes already look like a card's are judged first, the most
 * similar first, and no other place at a recognised card is embedded. Then it goes on as in namer.py.
 * @param {Photo} photo
 * @param {Question} question
 * @param {Place[]} places
 * @returns {Promise<Card[]>}
 */
export async function nameCards(photo, question, places) {
  const glimpses = places.map((place) => glimpseOf(place, photo, question))
    .sort((one, other) => other.evidence - one.evidence);
  const found = [];
  const cardAt = (quad) => found.find((other) => other.card.accepted && samePlace(quad, other.quad));
  const seen = new Map(); // glimpse -> its view, with the answer of judged()
  for (const glimpse of glimpses) {
    if (glimpse.art < PROMISING || cardAt(glimpse.quad)) continue;
    const [view] = await viewsOf([glimpse], photo, question);
    if (!view) continue;
    const answer = await judged(view, photo, question);
    if (answer.card.accepted) found.push(answer);
    seen.set(glimpse, { ...view, answer });
  }
  const others = glimpses.filter((glimpse) => !seen.has(glimpse));
  const views = [...seen.values(), ...await otherViews(others, cardAt, photo, question)]
    .sort((one, other) => other.best - one.best);
  for (const view of byPlace(views, VIEWS_FITTED).slice(0, VIEWS_FITTED * MAX_PLACES_FITTED)) {
    if (!cardAt(view.quad)) found.push(view.answer ?? await judged(view, photo, question));
  }
  found.sort(({ card: one }, { card: other }) => byState(one, other));
  return cardsOf(found).map(({ card }) => card);
}

// The views of the places that are still open, and what stands for those at a recognised card. These are not judged,
// but they are the best views of other places too. The complete photo is at every place: so it is embedded if any is
// open. The rest is ranked by the cosine of the card.
async function otherViews(glimpses, cardAt, photo, question) {
  const open = glimpses.filter(({ quad }) => !cardAt(quad));
  if (open.length === 0) return [];
  const isComplete = ({ place }) => place.confidence === 0; // nothing has looked at it
  const hidden = glimpses.filter((glimpse) => !open.includes(glimpse) && !isComplete(glimpse));
  const chosen = glimpses.filter((glimpse) => !hidden.includes(glimpse));
  return [...await viewsOf(chosen, photo, question), ...hidden.map(({ quad, evidence }) =>
    ({ quad, best: (evidence + cardAt(quad).card.matches[0].cosine) / 3 }))];
}

// The best card of each place. An unknown card counts only where one surely lies, beside the others.
function cardsOf(found) {
  const kept = byPlace(found.filter(({ card }) => card.state !== UNKNOWN), 1);
  const unknown = found.filter(({ card, place }) => card.state === UNKNOWN && place >= CARD_HERE);
  for (const item of unknown.sort((one, other) => other.place - one.place)) {
    if (kept.every((other) => overlap(item.quad, other.quad) < BESIDE)) kept.push(item);
  }
  return kept.length ? kept : found.slice(0, 1);
}

/**
 * The cards in an upright photo, in reading order. Printed text is read only with a reader. If no card is recognised,
 * the photo is read as a mirror shows it: webcams mirror their picture.
 * @param {Photo} photo
 * @param {Question} question
 * @param {Place[]} places
 * @param {CardReader | null} [reader]
 * @param {(cards: Card[]) => void} [tell] hears the cards before anything is read, if one is recognised
 * @returns {Promise<Card[]>}
 */
export async function namePhoto(photo, question, places, reader = null, tell = () => {}) {
  let cards = await nameCards(photo, question, places);
  if (cards.some((card) => card.accepted)) tell(inReadingOrder(cards));
  else {
    const mirrored = await inMirror(photo, question, places, reader);
    if (mirrored.length) return inReadingOrder(mirrored);
  }
  if (reader) cards = await reader.withPrintings(await reader.withTitles(cards, photo, question, places), photo);
  return inReadingOrder(cards);
}

/**
 * The cards, if the photo shows some in a mirror.
 * @param {Photo} photo
 * @param {Question} question
 * @param {Place[]} places
 * @param {CardReader | null} reader
 * @returns {Promise<Card[]>}
 */
async function inMirror(photo, question, places, reader) {
  const { width } = photo;
  const reversed = mirroredPhoto(photo);
  try {
    const reversedPlaces = places.map((place) => ({ ...place, quad: reversedQuad(place.quad, width) }));
    let cards = await nameCards(reversed, question, reversedPlaces.slice(0, MIRROR_VIEWS));
    if (!cards.some((card) => card.accepted)) return [];
    if (places.length > MIRROR_VIEWS) cards = await nameCards(reversed, question, reversedPlaces);
    if (reader) cards = await reader.withPrintings(cards, reversed);
    return cards.map((card) => asSeen(card, width));
  } finally {
    reversed.close();
  }
}

// A quad as it is in the reversed photo. In this order, its corners run clockwise there.
function reversedQuad(quad, width) {
  return [1, 0, 3, 2].map((corner) => [width - quad[corner][0], quad[corner][1]]);
}

// A card of the reversed photo, as it is in the photo of this width.
function asSeen(card, width) {
  const quad = card.quad.map(([x, y]) => [Math.round((width - x) * 10) / 10, y]);
  return { ...card, quad, rotation: (360 - card.rotation) % 360, mirrored: true };
}

// The first items of each place: at most `each`. See samePlace().
function byPlace(ranked, each) {
  const kept = [];
  for (const item of ranked) {
    if (kept.filter((other) => samePlace(item.quad, other.quad)).length < each) kept.push(item);
  }
  return kept;
}
