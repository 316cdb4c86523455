// The map's legend: the values of a field, how many cards have each, and their colours.

/**
 * @typedef {object} Cards a list for each field, with an entry for each card; x and y go from 0 to STEPS
 * @property {string[]} name
 * @property {string[]} set
 * @property {string[]} set_name
 * @property {string[]} collector_number
 * @property {string[]} artist
 * @property {string[]} type_line
 * @property {string[]} colour
 * @property {string[]} scryfall_uri
 * @property {string[]} year
 * @property {string[]} cluster
 * @property {string[]} picture
 * @property {number[]} x
 * @property {number[]} y
 *
 * @typedef {object} Category an entry of the legend
 * @property {string} value of the field
 * @property {string} label
 * @property {number} count of its cards
 * @property {string} colour as CSS
 *
 * @typedef {object} Legend
 * @property {Category[]} categories
 * @property {Uint32Array} of the category of each card
 */

const OWN_COLOURS = 12; // sets and artists with a colour of their own
// Lightness, chroma and hue (OKLCH). The lightness keeps a contrast of 3:1 to the page, in the light and in the dark.
const OF_COLOURS = {
  White: [0.02, 0.06, 95], Blue: [0, 0.16, 250], Black: [-0.12, 0.06, 310], Red: [0, 0.19, 27],
  Green: [0, 0.15, 150], Multicolour: [0.03, 0.16, 345], Colourless: [0, 0.015, 250], Land: [-0.05, 0.09, 55],
};

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const shade = (lighter, chroma, hue) => `oklch(${(isDark() ? 0.74 : 0.58) + lighter * (isDark() ? 1 : 0.7)} ${chroma} ${hue})`;
const folded = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** The legend of a field of the cards. @param {Cards} cards @param {string} field @returns {Legend} */
const legendOf = (cards, field) => {
  const counts = new Map();
  for (const value of cards[field]) counts.set(value, (counts.get(value) ?? 0) + 1);
  const values = [...counts.keys()];
  const known = Object.keys(OF_COLOURS);
  const orders = {
    colour: (one, other) => known.indexOf(one) - known.indexOf(other),
    year: (one, other) => one < other ? -1 : 1,
    cluster: (one, other) => parseInt(one) - parseInt(other),
  };
  values.sort(orders[field] ?? ((one, other) => counts.get(other) - counts.get(one) || (one < other ? -1 : 1)));
  const named = values.filter(Boolean);
  const colourOf = value => {
    const at = named.indexOf(value), share = at / Math.max(1, named.length - 1);
    if (at < 0) return shade(0, 0, 0);
    if (field === "colour") return shade(...OF_COLOURS[value]);
    if (field === "year") return shade(0, 0.15, 285 - 255 * share);
    if (field === "cluster") return shade((at % 3 - 1) * 0.06, 0.14, at * 137.5 % 360);
    return at < OWN_COLOURS ? shade((at % 2) * 0.1 - 0.05, 0.15, at * 150 % 360) : shade(0, 0, 0);
  };
  const places = new Map(values.map((value, at) => [value, at]));
  const sets = field === "set" && new Map(cards.set.map((set, row) => [set, cards.set_name[row]]));
  return {
    of: Uint32Array.from(cards[field], value => places.get(value) ?? 0),
    categories: values.map(value => ({
      value, count: counts.get(value), colour: colourOf(value),
      label: (sets && sets.get(value)) || value || "not known",
    })),
  };
};
