// Reads what is printed on the cards of a photo, where it can decide something: titles and collector lines. It is what
// card_reader.py is in mtg_image_db/recognition/, which explains it.
//
//     const reader = cardReader(index, await openReader(networkBytes, meta.recognition.reading), refine);
//     cards = await reader.withTitles(cards, photo, question, places);
//     cards = await reader.withPrintings(cards, photo);
//
// Reads the networks of text_reader.js, at the first text.

import { TITLE_ALONE, UNKNOWN, byState } from "./cards.js";
import { BESIDE } from "./decision.js";
import { roundToEven } from "./preparation.js";
import { scored } from "./printed_lines.js";
import { choose } from "./printing_choice.js";
import { overlap } from "./quads.js";
import { isKnown, titledCard, withTitle } from "./titled_cards.js";
import { isOn, isSmallOn, isTitleOf, openTitles } from "./titles.js";

/** @typedef {import("./cards.js").Card} Card */
/** @typedef {import("./pictures.js").Photo} Photo */
/** @typedef {ReturnType<typeof cardReader>} CardReader */

/**
 * text: the Reader of text_reader.js. refine(photo, quads): resolves to better places, by corner_refiner.js.
 * @param {import("../index/card_index.js").OpenedIndex} index
 * @param {import("./text_reader.js").Reader} text
 * @param {import("./places.js").Refine} refine
 */
export function cardReader(index, text, refine) {
  const { rules } = text;
  let opening = /** @type {Promise<import("./titles.js").Titles> | null} */ (null);
  const titles = () => {
    opening ??= openTitles(index, rules.titles).catch((error) => {
      opening = null; // so that the next photo tries again
      throw error;
    });
    return opening;
  };

  return {
    /**
     * The cards, and those that a title names. A title makes a doubtful card sure, or the other way round. Text is
     * looked for only if a card is not recognised, or if another place may be a card.
     * @param {Card[]} cards
     * @param {Photo} photo
     * @param {import("./decision.js").Question} question
     * @param {import("./corner_refiner.js").Place[]} places
     * @returns {Promise<Card[]>}
     */
    async withTitles(cards, photo, question, places) {
      const known = cards.filter((card) => card.accepted);
      const beside = places.some(({ quad, confidence }) =>
        confidence > 0 && known.every((card) => overlap(quad, card.quad) < BESIDE));
      if (known.length === cards.length && !beside) return cards;
      const quads = (await text.find(photo.colour.near(1).mat, sideFor(cards, photo, rules)))
        .filter((line) => !isOfAnotherKind(line, cards, rules))
        .sort((one, other) => heightOf(other) - heightOf(one)).slice(0, rules.most_lines);
      const { rows, among } = await titles();
      let found = cards;
      for (const title of among(await text.lines(photo.colour, quads))) {
        if (isKnown(title, found)) continue;
        const titled = await titledCard(title, rows(title.name), found, photo, question, { refine, rules });
        if (titled) found = withTitle(found, title, titled, rules);
      }
      return [...found].sort(byState);
    },

    /**
     * The cards with their printings in the order in which they fit what stands at the bottom of the card. It is read
     * only if there is a choice.
     * @param {Card[]} cards
     * @param {Photo} photo
     * @returns {Promise<Card[]>}
     */
    async withPrintings(cards, photo) {
      const read = [];
      for (const card of cards) {
        const isOpen = card.printings.length > 1 && card.by !== TITLE_ALONE;
        read.push(isOpen ? await withPrinting(card, photo) : card);
      }
      return read;
    },
  };

  async function withPrinting(card, photo) {
    const { printings, decided } = choose(await scored(card.printings, card.quad, photo.colour, text), false,
      rules.printings);
    return { ...card, printings, printing_decided: decided && card.accepted };
  }
}

// True if a line of text cannot be a title: it is too small on its card, or below the title of a card that nothing
// covers. The place of an unknown card counts only if it is the only one: others may be wrong.
function isOfAnotherKind(line, cards, { titles, uncovered }) {
  return cards.some((card) => ((card.state !== UNKNOWN || cards.length === 1) && isSmallOn(line, card.quad, titles))
    || (card.accepted && card.similarity >= uncovered && isOn(line, card.quad)
      && !isTitleOf(line, card.quad, titles)));
}

// The longer side of the photo in which lines are looked for, in pixels.
function sideFor(cards, { width, height }, { lines_side: least, max_lines_side: most, card_height: cardHeight }) {
  const highest = Math.max(1, ...cards.map(({ quad }) => heightOf(quad))); // smaller ones are often no cards
  return roundToEven(Math.min(most, Math.max(least, (Math.max(width, height) * cardHeight) / highest)));
}

function heightOf(quad) {
  return Math.hypot(quad[3][0] - quad[0][0], quad[3][1] - quad[0][1]);
}
