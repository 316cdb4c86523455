// The words for what a card of an answer is, and the doubt that is left.
//
//     markOf("likely");                        // "Likely", with its mark
//     nameOf(card);                            // "Lightning Bolt", or "Unknown card"

import { printingText } from "./card_tile.js";
import { make } from "./dom.js";

const WORDS = { recognised: "Recognised", likely: "Likely", unknown: "Not known" };
const REASONS = { "title and art": "title and picture agree", title: "only the title was read" };

/** @param {string} state */
export function markOf(state) {
  return make("span", { class: `state ${state}` }, make("i", { "aria-hidden": "true" }), WORDS[state]);
}

/** @param {any} card */
export function nameOf(card) {
  return card.state === "unknown" ? "Unknown card" : card.matches[0].name;
}

/**
 * What is known of the printing: "MH1 17 · Modern Horizons", or how many there are.
 * @param {any} card
 */
export function printingOf(card) {
  if (card.state === "unknown") return "";
  const shown = card.printings[0] ?? card.matches[0];
  const doubt = card.printing_decided || card.printings_known < 2 ? ""
    : ` · or one of ${card.printings_known - 1} other printing${card.printings_known === 2 ? "" : "s"}`;
  return printingText(shown) + (shown.set_name ? ` · ${shown.set_name}` : "") + doubt;
}

/**
 * The numbers behind a state, for those who open the details.
 * @param {any} card
 */
export function detailsOf(card) {
  const rows = [["Similarity of the art, which decides", card.confidence], ["Similarity of the complete card",
    card.similarity], ["Lead over the next card", card.margin], ["Cosine of the embeddings", card.matches[0]?.cosine],
  ["Turned by", `${card.rotation}°`], ["Named by", REASONS[card.by] ?? "the picture"],
  ["Read on the card", card.printings[0]?.read || "nothing"]];
  return make("details", { class: "numbers" }, make("summary", {}, "Details"),
    make("dl", {}, ...rows.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {},
      typeof value === "number" ? value.toFixed(2) : String(value ?? ""))])));
}
