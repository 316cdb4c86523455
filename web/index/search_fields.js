// A term such as "c:red" or "year>=2015" -> the values of a field that it wants, in Scryfall's words.
//
//     const { column: colours, fits } = readField({ word: "c", operator: ":", value: "azorius", written: "c:azorius" },
//       column);
//     colours.values.filter(fits);             // [["U", "W"], ["B", "U", "W"], ...]
//     readField({ word: "o", operator: ":", value: "draw", written: "o:draw" }, column).note;
//     // "This index has no rules text, so o:draw is not searched."
//
// column(field) is that of search_columns.js.

import { plain } from "./names.js";

const SHORT = {
  t: "type", a: "artist", e: "set", s: "set", edition: "set", cn: "number", c: "color", colors: "color",
  colour: "color", colours: "color", r: "rarity", language: "lang", n: "name", not: "is",
};
// What Scryfall can search and no index has.
const LACKING = words({
  "rules text": "o oracle fo fulloracle kw keyword", "mana costs": "cmc mv manavalue m mana devotion produces",
  "power or toughness": "pow power tou toughness pt powtou loy loyalty", "colour identities": "id identity commander",
  prices: "usd eur tix cheapest", formats: "f format legal banned restricted", tags: "art atag otag function",
  "flavour texts": "ft flavor", watermarks: "wm watermark", games: "game in", blocks: "b block", cubes: "cube",
  "set types": "st", stamps: "stamp", "counts of printings": "prints sets paperprints",
});
const COLOURS = {
  white: "W", blue: "U", black: "B", red: "R", green: "G", colorless: "", colourless: "", c: "",
  ...words({
    WU: "azorius", UB: "dimir", BR: "rakdos", RG: "gruul", GW: "selesnya", WB: "orzhov silverquill",
    UR: "izzet prismari", BG: "golgari witherbloom", RW: "boros lorehold", GU: "simic quandrix", GWU: "bant",
    WUB: "esper", UBR: "grixis", BRG: "jund", RGW: "naya", WBG: "abzan", URW: "jeskai", BGU: "sultai", RWB: "mardu",
    GUR: "temur", UBRG: "chaos", WBRG: "aggression", WURG: "altruism", WUBG: "growth", WUBR: "artifice",
  }),
};
const SEVERAL = ["m", "multi", "multicolor", "multicolour", "multicolored", "multicoloured"];
const RARITIES = ["common", "uncommon", "rare", "special", "mythic", "bonus"];
const LANGUAGES = {
  english: "en", spanish: "es", french: "fr", german: "de", italian: "it", portuguese: "pt", japanese: "ja",
  korean: "ko", russian: "ru", "simplified chinese": "zhs", "traditional chinese": "zht", phyrexian: "ph",
  hebrew: "he", latin: "la", greek: "grc", arabic: "ar", sanskrit: "sa",
};
const FINISHES = ["foil", "nonfoil", "etched"];
const LAYOUTS = words({ // what "is:" says of a layout
  split: "split", flip: "flip", transform: "transform dfc", meld: "meld", leveler: "leveler", saga: "saga",
  class: "class", adventure: "adventure", modal_dfc: "mdfc dfc", token: "token", double_faced_token: "token",
}, (layouts, layout) => [...layouts ?? [], layout]);

const COMPARE = {
  ":": (a, b) => a === b, "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};

// Search word -> the field of a record, its name in notes, and the function that reads a value. That gets the value,
// the operator, the column and column(). It gives a function of a stored value, or nothing where the value is wrong.
// A field without `ordered` knows no <.
const FIELDS = {
  name: { field: "name", one: "name", many: "names", read: text("") },
  type: { field: "type_line", one: "type", many: "type lines", read: text(" ") },
  artist: { field: "artist", one: "artist", many: "artists", read: text("") },
  set: { field: "set", one: "set", many: "sets", read: set },
  number: { field: "collector_number", one: "number", many: "collector numbers", ordered: true, read: number },
  color: { field: "colors", one: "colour", many: "colours", ordered: true, read: colour },
  rarity: { field: "rarity", one: "rarity", many: "rarities", ordered: true, read: rarity },
  year: { field: "released_at", one: "year", many: "dates", ordered: true, read: date(/^\d{4}$/) },
  date: { field: "released_at", one: "date", many: "dates", ordered: true, read: date(/^\d{4}(-\d\d(-\d\d)?)?$/) },
  lang: { field: "lang", one: "language", many: "languages", read: language },
  frame: { field: "frame", one: "frame", many: "frames", read: same },
  layout: { field: "layout", one: "layout", many: "layouts", read: same },
  border: { field: "border_color", one: "border colour", many: "border colours", read: same },
};
const FINISH = { field: "finishes", many: "finishes", read: (value) => (stored) => Boolean(stored?.includes(value)) };
const LAYOUT = { field: "layout", many: "layouts", read: (value) => (stored) => LAYOUTS[value].includes(stored) };

/**
 * Whether a word before a colon is one of Scryfall's.
 * @param {string} word
 */
export function isField(word) {
  return [SHORT, FIELDS, LACKING, { is: true }].some((known) => Object.hasOwn(known, word));
}

/**
 * What a term wants: `fits` says it of each value of `column`. A term that cannot be searched gives a note.
 * @param {{word: string, operator: string, value: string, written: string}} term
 * @param {import("./search_columns.js").ColumnOf} column
 * @returns {{column: import("./search_columns.js").Column, fits: (stored: any) => boolean} | {note: string}}
 */
export function readField({ word, operator, value, written }, column) {
  const leftOut = (why) => ({ note: `${why}, so ${written} is not searched.` });
  const wanted = value.toLowerCase();
  const full = find(SHORT, word) ?? word;
  const asked = full === "is" ? kindOf(wanted) : find(FIELDS, full);
  if (full === "is" && !asked) return leftOut(`This index does not say what is “${value}”`);
  if (find(LACKING, word)) return leftOut(`This index has no ${LACKING[word]}`);
  if (!asked) return leftOut(`No search word is “${word}”`);
  const stored = column(asked.field);
  if (!stored) return leftOut(`This index has no ${asked.many}`);
  if (!asked.ordered && "<>".includes(operator[0])) return leftOut(`“${operator}” does not compare ${asked.many}`);
  const fits = asked.read(wanted, operator, stored, column);
  if (!fits) return leftOut(`“${value}” is no ${asked.one} here`);
  const isNot = (word === "not") !== (!asked.ordered && operator === "!=");
  return { column: stored, fits: isNot ? (one) => !fits(one) : fits };
}

// What "is:" asks.
function kindOf(value) {
  if (FINISHES.includes(value)) return FINISH;
  return find(LAYOUTS, value) && LAYOUT;
}

// The value's words, in this order. before is " " where they must begin a word.
function text(before) {
  return (value) => {
    const wanted = plain(value);
    return wanted && ((stored) => ` ${plain(stored ?? "")}`.includes(before + wanted));
  };
}

// A set by its code, else all sets whose code or name begins so.
function set(value, operator, { values, places }, column) {
  if (values.includes(value)) return (code) => code === value;
  const names = column("set_name");
  const nameOf = new Map();
  if (names) places.forEach((place, row) => nameOf.set(values[place], names.keys[names.places[row]]));
  const fits = (code) => code?.startsWith(value) || Boolean(nameOf.get(code)?.includes(` ${plain(value)}`));
  return values.some(fits) && fits;
}

// "12" is not "12a"; for < and >, what is not a digit does not count.
function number(value, operator) {
  if (":=!".includes(operator[0])) return (stored) => COMPARE[operator](stored?.toLowerCase(), value);
  const limit = Number(value);
  return !Number.isNaN(limit) && ((stored) => COMPARE[operator](parseInt(/\d+/.exec(stored)?.[0] ?? ""), limit));
}

// c:rg has both colours and maybe more, c=rg has these, c<=rg has no others. c>=2 counts them.
function colour(value, operator) {
  if (/^\d$/.test(value)) return (stored) => COMPARE[operator]((stored ?? []).length, Number(value));
  if (SEVERAL.includes(value)) return (stored) => ((stored ?? []).length > 1) === (operator !== "!=");
  const letters = find(COLOURS, value) ?? (/^[wubrg]+$/.test(value) ? value.toUpperCase() : null);
  if (letters === null) return null;
  const wanted = new Set(letters);
  const sort = operator === ":" ? letters ? ">=" : "=" : operator;
  return (stored) => {
    const has = (stored ?? []).filter((one) => wanted.has(one)).length;
    const [all, only] = [has === wanted.size, has === (stored ?? []).length];
    const [equal, more, less] = [all && only, all && !only, only && !all];
    return { "=": equal, "!=": !equal, ">=": all, ">": more, "<=": only, "<": less }[sort];
  };
}

// Also by the beginning of its name: r:m.
function rarity(value, operator) {
  const wanted = RARITIES.findIndex((one) => one.startsWith(value));
  return wanted >= 0 && ((stored) => RARITIES.includes(stored) && COMPARE[operator](RARITIES.indexOf(stored), wanted));
}

// A date is compared as far as it is given: date>2015-08 begins in September.
function date(form) {
  return (value, operator) => form.test(value)
    && ((stored) => Boolean(stored) && COMPARE[operator](stored.slice(0, value.length), value));
}

function language(value) {
  const code = find(LANGUAGES, value) ?? value;
  if (code === "any") return () => true;
  return Object.values(LANGUAGES).includes(code) && ((stored) => stored === code);
}

function same(value, operator, { values }) {
  return values.includes(value) && ((stored) => stored === value);
}

function find(table, word) {
  return Object.hasOwn(table, word) ? table[word] : undefined;
}

// {red: "a b"} -> {a: "red", b: "red"}
function words(table, put = (_, key) => key) {
  const turned = {};
  for (const [key, list] of Object.entries(table)) {
    for (const word of list.split(" ")) turned[word] = put(turned[word], key);
  }
  return turned;
}
