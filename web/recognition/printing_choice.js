// Which printing of its artwork a card is: the list of them, and the choice. It is what printing_choice.py is in
// mtg_image_db/recognition/, which explains it.
//
//     const { printings, listed } = await knownPrintings(index, row, new Map([[row, 0.8]]));
//     const choice = choose(printings, listed, meta.recognition.reading.printings);  // {printings, decided}
//
// A printing is an object as in the JSON of query_index.py: score, read, similarity, and what the index tells.
// Reads nothing: the index has the list.

import { rounded } from "../index/card_index.js";

/**
 * @typedef {{score: number, read: string, similarity: number | null, name: string, card_name: string, set: string,
 *   set_name: string, collector_number: string, lang: string, rarity: string, layout: string, frame: string,
 *   border_color: string, released_at: string | null, finishes: string[], promo: boolean, scryfall_id: string,
 *   face_id: string, oracle_id: string | null, illustration_id: string | null, tcgplayer_id: number | null,
 *   cardmarket_id: number | null, scryfall_uri: string}} Printing
 */

// What is rarely meant: reprints that may not be played, cards that show art only, and cards of The List, whose numbers
// name another set: "MH1-17".
const [GOLD_BORDER, ART_ALONE, OTHER_SET] = ["gold", "art_series", /^[A-Z0-9]{3,}-/];
// What a printing has if neither the index nor the list of printings tells it, in the order of JSON.
const ABSENT = {
  name: "", card_name: "", set: "", set_name: "", collector_number: "", lang: "", rarity: "", layout: "", frame: "",
  border_color: "", released_at: null, finishes: [], promo: false, scryfall_id: "", face_id: "", oracle_id: null,
  illustration_id: null, tcgplayer_id: null, cardmarket_id: null, scryfall_uri: "",
};
const FACTS = Object.keys(ABSENT);

/**
 * The printings of a row's artwork, and whether they are all in paper: else they are the indexed ones. similarity, a
 * Map, has that of the indexed ones, by row.
 * @param {import("../index/card_index.js").OpenedIndex} index
 * @param {number} row
 * @param {Map<number, number>} similarity
 * @returns {Promise<{printings: Printing[], listed: boolean}>}
 */
export async function knownPrintings(index, row, similarity) {
  const shown = index.record(row);
  const faces = new Map([...similarity].map(([other, alike]) => {
    const face = index.record(other);
    return [face.face_id, { face, alike }];
  }));
  const listed = (await index.printingsOf(row)).filter(({ name }) => name === shown.name);
  if (listed.length === 0) {
    return { printings: Array.from(faces.values(), ({ face, alike }) => printingOf(face, alike)), listed: false };
  }
  const printings = listed.map((printing) => {
    const { face, alike } = faces.get(printing.face_id)
      ?? { face: { illustration_id: shown.illustration_id }, alike: null };
    return printingOf({ ...face, ...Object.fromEntries(Object.entries(printing).filter(([, told]) => isTold(told))) },
      alike);
  });
  return { printings, listed: true };
}

/**
 * A face as a printing of which nothing was read. What is not among the facts is empty.
 * @param {any} facts
 * @param {number | null} similarity
 * @returns {Printing}
 */
export function printingOf(facts, similarity) {
  const known = FACTS.map((name) => [name, facts[name] ?? ABSENT[name]]);
  return {
    score: 0, read: "", similarity: similarity === null ? null : rounded(similarity), ...Object.fromEntries(known),
  };
}

/**
 * {printings, decided}: the printings of an artwork, the likeliest first, and whether the first is the only one that
 * fits. listed: they are all that exist in paper. rules: meta.recognition.reading.printings.
 * @param {Printing[]} printings
 * @param {boolean} listed
 * @param {any} rules
 * @returns {{printings: Printing[], decided: boolean}}
 */
export function choose(printings, listed, { decided_from: decidedFrom, lead, picture_lead: pictureLead }) {
  const ranked = [...printings].sort((a, b) => b.score - a.score);
  const best = ranked.length > 0 ? ranked[0].score : 0;
  const equal = ranked.filter(({ score }) => score > best - lead);
  const byPicture = [...ranked].sort((a, b) => (b.similarity ?? 0) - (a.similarity ?? 0));
  const similarity = byPicture.map((printing) => printing.similarity).filter((alike) => alike !== null);
  if (best < decidedFrom && similarity.length === printings.length && printings.length > 1) {
    return { printings: byPicture, decided: similarity[0] - similarity[1] >= pictureLead };
  }
  const newest = [...equal].sort((a, b) => compared(b.released_at ?? "", a.released_at ?? ""));
  const usual = newest.sort((a, b) => Number(isSpecial(a)) - Number(isSpecial(b)));
  const only = listed && printings.length === 1;
  return {
    printings: [...usual, ...ranked.slice(equal.length)], decided: only || (equal.length === 1 && best >= decidedFrom),
  };
}

function isTold(value) {
  return value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);
}

function compared(a, b) {
  return Number(a > b) - Number(a < b);
}

function isSpecial({ promo, border_color: border, layout, collector_number: number }) {
  return promo || border === GOLD_BORDER || layout === ART_ALONE || OTHER_SET.test(number);
}
