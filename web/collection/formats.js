// Kept entries -> a list that collection managers import. The bytes are those of collection.py, for the same cards.
//
//     const text = textOf("manabox", meta.collection, entries);    // a line for each entry
//     for (const [name, { title }] of Object.entries(meta.collection.formats)) offer(name, title);
//
// A person may have chosen the finish, condition and language of an entry. What is not chosen is as in collection.py:
// the only finish of the printing, else not foil; near mint; and the printing's language.
// Reads meta.collection, which the export copies from collection_formats.json.

export const NONFOIL = "nonfoil";
export const NEAR_MINT = "near_mint";

const HAS_QUOTES = /[",\n\r]/; // a value that is quoted, as Python's csv does it

/**
 * @typedef {object} Format How a site names its columns, or how a line of a text list looks, and the site's words.
 * @property {string} title
 * @property {Object<string, string>} [columns]
 * @property {string} [line]
 * @property {boolean} [quote_all]
 * @property {Object<string, string>} finishes
 * @property {Object<string, string>} [languages]
 * @property {Object<string, string>} [conditions]
 *
 * @typedef {{printing: any, count: number, finish?: string, condition?: string, lang?: string}} Counted
 *
 * @typedef {object} Formats meta.collection
 * @property {string[]} front_name_layouts
 * @property {Object<string, string>} language_names
 * @property {Object<string, Format>} formats
 * @property {{finishes: Object<string, string>, languages: Object<string, string>,
 *             conditions: Object<string, string>}} also_read
 */

/**
 * The list as the site imports it.
 * @param {string} formatName
 * @param {Formats} formats
 * @param {Counted[]} entries
 * @returns {string}
 */
export function textOf(formatName, formats, entries) {
  const format = formats.formats[formatName];
  if (!format) throw new Error(`There is no list format ${formatName}.`);
  const values = entries.map((entry) => valuesOf(entry, format, formats));
  const { line, columns = {} } = format;
  if (line) return values.map((known) => `${filled(line, known)}\n`).join("");
  const rows = values.map((known) => Object.values(columns).map((template) => filled(template, known)));
  return [Object.keys(columns), ...rows].map((row) => csvLine(row, format.quote_all)).join("");
}

/**
 * The only finish that the printing has. A photo does not tell several apart: then it is not foil.
 * @param {{finishes?: string[]}} printing
 */
export function finishOf({ finishes = [] }) {
  return finishes.length === 1 ? finishes[0] : NONFOIL;
}

/** The complete name of the card, of both sides. */
function nameOf(printing) {
  return printing.card_name || printing.name;
}

/**
 * @param {Counted} entry
 * @param {Format} format
 * @param {Formats} formats
 */
function valuesOf({ printing, count, finish, condition, lang }, format, formats) {
  const { finishes, conditions = {}, languages = {} } = format;
  const name = nameOf(printing);
  const language = lang || printing.lang;
  const rarity = printing.rarity ?? "";
  return {
    count, name, front_name: formats.front_name_layouts.includes(printing.layout) ? name.split(" // ")[0] : name,
    set: printing.set, SET: printing.set.toUpperCase(), set_name: printing.set_name, number: printing.collector_number,
    rarity, Rarity: rarity.slice(0, 1).toUpperCase() + rarity.slice(1).toLowerCase(),
    scryfall_id: printing.scryfall_id, tcgplayer_id: printing.tcgplayer_id || "",
    finish: finishes[finish || finishOf(printing)] ?? finishes[NONFOIL],
    condition: conditions[condition || NEAR_MINT] ?? "", language: languages[language] ?? language,
    LANGUAGE: languages[language] ?? language.toUpperCase(),
    language_name: formats.language_names[language] ?? language,
  };
}

function filled(template, known) {
  return template.replace(/\{(\w+)\}/g, (_, name) => String(known[name] ?? ""));
}

// RFC 4180, but ended by LF: a carriage return breaks ManaBox's columns.
function csvLine(row, quoteAll) {
  return `${row.map((value) => (quoteAll || HAS_QUOTES.test(value) ? `"${value.replaceAll('"', '""')}"` : value))
    .join(",")}\n`;
}
