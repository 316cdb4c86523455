// The fields of an index's records as columns, each made when it is first asked for.
//
//     const column = openColumns(meta);
//     const { values, places, keys } = column("artist");
//     values[places[7]];           // the artist of row 7: values are the different ones
//     keys[places[7]];             // the same as a search compares it (names.js)
//     column("rules_text");        // null: the records have no such field
//
// So a word is compared with 30,000 different names, not with 54,000 rows.

import { keysOf } from "./names.js";

/** @typedef {{values: any[], places: ArrayLike<number>, readonly keys: string[]}} Column */
/** @typedef {(field: string) => Column | null} ColumnOf */

const COLOURS = { W: "white", U: "blue", B: "black", R: "red", G: "green" };
const WORDS = { colors: coloursOf, card_name: namesOfTwo };

/**
 * column(field) of the meta that artefacts.js read.
 * @param {import("./artefacts.js").Meta} meta
 * @returns {ColumnOf}
 */
export function openColumns(meta) {
  const made = new Map();
  return (field) => {
    if (!made.has(field)) made.set(field, columnOf(meta.dictionary(field), WORDS[field] ?? text));
    return made.get(field);
  };
}

function columnOf(stored, wordsOf) {
  if (!stored?.values.some((value) => value !== null && value !== undefined)) return null;
  const { values, places } = stored;
  let keys = /** @type {string[] | null} */ (null);
  return { values, places, get keys() { return keys ??= keysOf(values.map(wordsOf)); } };
}

function text(value) {
  return value ?? "";
}

function coloursOf(value) {
  const several = value?.length > 1 ? " multicolor" : "";
  return value?.length ? value.map((letter) => COLOURS[letter]).join(" ") + several : "colorless";
}

// The name of a card with two faces. That of another is its only face's name, which is searched already.
function namesOfTwo(value) {
  return value?.includes("//") ? value : "";
}
