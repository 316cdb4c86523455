// A list that a site exported, or a text list -> its lines. Whatever formats.js writes, this reads back.
//
//     const { format, lines, problems } = readList(await file.text(), meta.collection);
//     for (const { count, name, set, collector_number } of lines) add(find(name, set, collector_number), count);
//     for (const { line, text, why } of problems) say(`Line ${line}: ${why}`, text);
//
// A site is known by the names of its columns, in any order, whatever other columns there are. A site's own words come
// before those of meta.collection.also_read. What a file does not say is "", but a finish is then not foil and a
// condition near mint. A line with an unknown word is read without that word, and is a problem too.
// Reads meta.collection, as formats.js does.

import { NEAR_MINT, NONFOIL } from "./formats.js";

// ISC, 3 KB, an ES module. Papa Parse, 19 KB, is none.
const { dsvFormat } = await import(new URL("../vendor/d3-dsv.min.mjs", import.meta.url).href);

const DELIMITERS = [",", ";", "\t"]; // spreadsheets of many countries save semicolons
const EXCEL_MARK = /^"?sep=.?"?\r?\n/i; // Dragon Shield's files begin with it
const PLACEHOLDER = /^\{(\w+)\}$/;
const TEXT_LINE = /^(?:SB: *)?(?:(\d+) *x? +)?(.+?)(?: +[([](\w{2,8})[)\]](?: +(\S+))?)?(?: +\*([FE])\*)?$/i;
const HEADING = /^(?:(?:deck|commander|companion|sideboard|maybeboard|tokens|about):?(?: *\(\d+\))?|name .*)$/i;
const REMARK = /^(?:\/\/|#)/;
const LETTERS = { f: "foil", e: "etched" };

/**
 * @typedef {object} Line
 * @property {number} count
 * @property {string} name of the card, or of its front
 * @property {string} set its code, in small letters
 * @property {string} set_name
 * @property {string} collector_number
 * @property {string} scryfall_id
 * @property {string} finish
 * @property {string} lang
 * @property {string} condition
 *
 * @typedef {{line: number, text: string, why: string}} Problem
 */

/**
 * format is the name of the format, or null if the file is a table of no site that is known.
 * @param {string} text
 * @param {import("./formats.js").Formats} formats
 * @returns {{format: string | null, lines: Line[], problems: Problem[]}}
 */
export function readList(text, formats) {
  const plain = text.replace(/^\ufeff/, "");
  const table = plain.replace(EXCEL_MARK, "");
  const known = new Set(Object.values(formats.formats).flatMap(({ columns = {} }) => Object.keys(columns).map(key)));
  const delimiter = DELIMITERS.find((sign) => headerOf(table, sign).filter((cell) => known.has(cell)).length > 1);
  if (!delimiter) return readText(plain);
  const format = siteOf(headerOf(table, delimiter), formats);
  if (format) return readTable(table, delimiter, table === plain ? 1 : 2, format, formats);
  const why = "No site that is known here has these columns. There must be one for the count and one for the name.";
  return { format: null, lines: [], problems: [{ line: 1, text: plain.split("\n", 1)[0], why }] };
}

function headerOf(text, delimiter) {
  return (dsvFormat(delimiter).parseRows(text.split("\n", 1)[0])[0] ?? []).map(key);
}

// The format with most of its columns in the header, or "". It needs the count and the name.
function siteOf(header, { formats }) {
  let best = "";
  let most = 0;
  for (const [name, { columns = {} }] of Object.entries(formats)) {
    const found = Object.entries(columns).filter(([title, filler]) => filler && header.includes(key(title)));
    const fillers = found.map(([, filler]) => filler);
    const usable = fillers.includes("{count}") && fillers.some((filler) => /^\{(front_)?name\}$/.test(filler));
    if (usable && found.length > most) [best, most] = [name, found.length];
  }
  return best;
}

// firstLine is the number of the header's line in the file.
function readTable(text, delimiter, firstLine, name, formats) {
  const [header, ...rows] = dsvFormat(delimiter).parseRows(text);
  const { columns } = formats.formats[name];
  // The position of each value in a row.
  const places = new Map();
  for (const [title, filler] of Object.entries(columns)) {
    const place = header.findIndex((cell) => key(cell) === key(title));
    if (place >= 0 && PLACEHOLDER.test(filler)) places.set(PLACEHOLDER.exec(filler)?.[1], place);
  }
  const words = wordsOf(formats.formats[name], formats);
  const lines = [];
  const problems = [];
  rows.forEach((row, at) => {
    if (row.every((cell) => cell.trim() === "")) return;
    const tell = (why) => problems.push({ line: firstLine + 1 + at, text: row.join(delimiter), why });
    if (row.length < header.length || row.slice(header.length).some((cell) => cell !== "")) {
      tell(`It has ${row.length} values, but the header has ${header.length}.`);
      return;
    }
    const value = (...fillers) => {
      const filler = fillers.find((one) => places.has(one));
      return filler ? row[places.get(filler)].trim() : null;
    };
    const chosen = (what, usual, ...fillers) => {
      const word = value(...fillers);
      if (word === null) return usual;
      const known = words[what].get(key(word)) ?? (what === "languages" ? asCode(word) : undefined);
      if (known === undefined) tell(`"${word}" is no word that is known here. The rest of the line was read.`);
      return known ?? usual;
    };
    const why = problemOf(value("count"), value("name", "front_name"));
    if (why) {
      tell(why);
      return;
    }
    lines.push({
      count: Number(value("count")), name: value("name", "front_name"), set: (value("SET", "set") ?? "").toLowerCase(),
      set_name: value("set_name") ?? "", collector_number: value("number") ?? "",
      scryfall_id: value("scryfall_id") ?? "", finish: chosen("finishes", NONFOIL, "finish"),
      lang: chosen("languages", "", "language", "LANGUAGE", "language_name"),
      condition: chosen("conditions", NEAR_MINT, "condition"),
    });
  });
  return { format: name, lines, problems };
}

// The site's words, then those of others, each with what it means. Of two meanings, the first is more usual.
function wordsOf(format, { language_names: names, also_read: others }) {
  const meanings = (...tables) => new Map(tables.flatMap((table) => Object.entries(table ?? {})
    .map(([meaning, word]) => /** @type {[string, string]} */ ([key(word), meaning]))).reverse());
  const merged = (what, ...tables) => new Map([
    ...Object.entries(others[what]).map(([word, meaning]) => /** @type {[string, string]} */ ([key(word), meaning])),
    ...meanings(...tables)]);
  return {
    finishes: merged("finishes", format.finishes), conditions: merged("conditions", format.conditions),
    languages: merged("languages", format.languages, names),
  };
}

function readText(text) {
  const lines = [];
  const problems = [];
  text.split(/\r?\n/).forEach((raw, at) => {
    const line = raw.trim();
    if (line === "" || HEADING.test(line) || REMARK.test(line)) return;
    const [, count = "1", name = "", set = "", number = "", sign = ""] = TEXT_LINE.exec(line) ?? [];
    const why = problemOf(count, name);
    if (why) problems.push({ line: at + 1, text: raw, why });
    else {
      lines.push({
        count: Number(count), name, set: set.toLowerCase(), set_name: "", collector_number: number, scryfall_id: "",
        finish: LETTERS[sign.toLowerCase()] ?? NONFOIL, lang: "", condition: NEAR_MINT,
      });
    }
  });
  return { format: "text", lines, problems };
}

function problemOf(count, name) {
  if (!/^\d{1,6}$/.test(count) || Number(count) === 0) return `"${count}" is no count of cards.`;
  return name ? "" : "It names no card.";
}

// Words and titles are compared without capitals, and underscores as spaces.
function key(word) {
  return word.trim().toLowerCase().replaceAll("_", " ");
}

// Scryfall's codes of languages have two letters, and a few have three.
function asCode(word) {
  if (word === "") return "";
  return /^[a-z]{2,3}$/i.test(word) ? word.toLowerCase() : undefined;
}
