// The lines at the bottom of a card -> how well they fit each printing of its artwork. It is what printed_lines.py is
// in mtg_image_db/recognition/, which explains it.
//
//     const printings = await scored(card.printings, card.quad, photo.colour, reader);
//
// The numbers come from meta.json: reader.rules is meta.recognition.reading. Reads nothing.

import { rounded } from "../index/card_index.js";
import { clarityOf, fitsOf, textOf } from "./letters.js";
import { CARD_RATIO } from "./pictures.js";
import { roundToEven } from "./preparation.js";
import { inside } from "./quads.js";
import { HEIGHT, stripOf } from "./text_reader.js";

/** @typedef {import("./printing_choice.js").Printing} Printing */
/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {import("./letters.js").Letters} Letters */

const PLAIN_NUMBER = /^(?:[\p{L}\p{N}_]+-)?(\d+)[^\d]*$/u; // "17", "17s", "MH1-17"
// From printed_lines.py: a text that fits less is not shown as read. That of older cards is longer, and often misread.
const [SHOWN_FROM, SHOWN_FROM_OLD] = [0.2, 0.5];

/**
 * The printings with score and read, in their order. quad: the corners of the card in the photo, an RGB pyramid. The
 * line of older cards is read only if no newer printing fits.
 * @param {Printing[]} printings
 * @param {Quad} quad
 * @param {import("./pictures.js").Pyramid} photo
 * @param {import("./text_reader.js").Reader} reader
 * @returns {Promise<Printing[]>}
 */
export async function scored(printings, quad, photo, reader) {
  const { lines: rules, printings: { decided_from: decidedFrom } } = reader.rules;
  const { modern, old } = rules;
  const isModern = ({ released_at: day }) => (day || modern.since) >= modern.since;
  const [newer, older] = [printings.filter(isModern), printings.filter((printing) => !isModern(printing))];
  const found = [];
  if (newer.length > 0) {
    const strips = modern.tops.map((top) => stripAt(photo, quad, modern.part, top, modern.height));
    found.push(...scoredModern(newer, await reader.read(strips), rules));
  }
  if (older.length > 0 && found.every(({ score }) => score < decidedFrom)) {
    const strips = old.parts.flatMap((part) => old.tops.map((top) => stripAt(photo, quad, part, top, old.height)));
    found.push(...scoredOld(older, await reader.read(strips), rules));
  }
  const byFace = new Map(found.map((printing) => [printing.face_id, printing]));
  return printings.map((printing) => byFace.get(printing.face_id) ?? printing);
}

/**
 * The language that surely stands behind a set's code, as Scryfall writes it, or null.
 * @param {Letters[]} strips
 * @param {any} rules
 * @returns {string | null}
 */
function languageRead(strips, { languages, dots, language_from: least, language_lead: lead }) {
  const forms = Object.entries(languages).flatMap(([lang, codes]) =>
    codes.flatMap((code) => [...dots].map((dot) => ({ lang, text: dot + code }))));
  const fits = fitsOf(strips, forms.map(({ text }) => text));
  const best = new Map(Object.keys(languages).map((lang) => [lang, 0]));
  forms.forEach(({ lang }, at) => best.set(lang, Math.max(best.get(lang) ?? 0, ...fits.map((of) => of[at]))));
  const [[lang, first], [, second]] = [...best].sort((a, b) => b[1] - a[1]);
  return first >= least && first - second >= lead ? lang : null;
}

// What a photo shows between the left and right of a part, in shares of the card's width, below top.
function stripAt(photo, quad, [left, right], top, height) {
  const width = roundToEven((HEIGHT * CARD_RATIO * (right - left)) / height);
  return stripOf(photo, inside(quad, [left, top, right, top + height]), width);
}

// The printings with the fit of their number and that of their set, added. Where the card exists in the language that
// it names, printings in other languages fit less. Otherwise its language replaces theirs.
function scoredModern(printings, strips, rules) {
  const numbers = bestFits(strips, printings.map(numberForms), { alone: true });
  const sets = bestFits(strips, printings.map(setForms));
  const lang = languageRead(strips, rules);
  const exists = printings.some((printing) => printing.lang === lang);
  return printings.map((printing, at) => {
    const [number, code] = [numbers[at], sets[at]];
    const other = exists && printing.lang !== lang;
    return {
      ...printing, score: sumOf(number.fit, code.fit * (other ? 0.5 : 1), rules),
      read: joined(setAndLanguage(code.text, printing), number.text),
      lang: exists || lang === null ? printing.lang : lang,
    };
  });
}

// The printings with the fit of their year and that of their number, added. The oldest have no number.
function scoredOld(printings, strips, rules) {
  const isNumbered = ({ released_at: day }) => (day ?? "") >= rules.old.numbered_since;
  const yearOf = ({ released_at: day }) => (day ?? "").slice(0, 4);
  const years = bestFits(strips, printings.map((printing) => [`${yearOf(printing)} W`]));
  const numbers = bestFits(strips, printings.map((printing) => {
    const digits = PLAIN_NUMBER.exec(printing.collector_number);
    return digits && isNumbered(printing) ? [` ${digits[1]}/`] : [];
  }));
  return printings.map((printing, at) => {
    const [year, number] = [years[at].fit, numbers[at].fit];
    return {
      ...printing, score: isNumbered(printing) ? sumOf(year, number, rules) : rounded(year),
      read: joined(year >= SHOWN_FROM_OLD && yearOf(printing), number >= SHOWN_FROM_OLD && printing.collector_number),
    };
  });
}

// The text from the set's code to the language. The artist's name follows on the card. The complete text if the code is
// not in it.
function setAndLanguage(text, printing) {
  const form = setForms(printing).find((code) => text.includes(code));
  return form === undefined ? text : text.slice(text.indexOf(form), text.indexOf(form) + form.length + 3);
}

// The score of two fits. It is not enough to decide if one of them contradicts.
function sumOf(first, second, { least_fit: least, half }) {
  const score = first + second;
  return rounded(Math.min(first, second) >= least ? score : Math.min(score, half));
}

function joined(...texts) {
  return texts.filter(Boolean).join(" ");
}

// For each printing, how well the best of its forms fits, 0-1, and the text of the strip that it fits best.
function bestFits(strips, forms, options) {
  const texts = [...new Set(forms.flat())];
  const fits = fitsOf(strips, texts, options);
  // Where several strips fit, the clearest one is shown.
  const clear = strips.map((strip, at) => ({ at, clarity: clarityOf(strip) })).sort((a, b) => b.clarity - a.clarity);
  const bestOf = (number) => clear.reduce((best, { at }) => {
    const fit = rounded(fits[at][number], 2);
    return fit > best.fit ? { fit, at } : best;
  }, { fit: -1, at: 0 });
  const best = new Map(texts.map((text, number) => [text, bestOf(number)]));
  return forms.map((ofPrinting) => {
    const { fit, at } = ofPrinting.map((text) => best.get(text))
      .reduce((first, next) => (next.fit > first.fit || (next.fit === first.fit && next.at > first.at) ? next : first),
        { fit: 0, at: 0 });
    return { fit, text: fit >= SHOWN_FROM ? textOf(strips[at]).trim() : "" };
  });
}

// How a number is printed since 2014: with three digits, or four since 2023, and without the letters that Scryfall
// adds. The List has the number of the first printing: Scryfall writes "MH1-17".
function numberForms({ collector_number: number }) {
  const digits = PLAIN_NUMBER.exec(number);
  if (!digits) return [number.toUpperCase()];
  return [3, 4].map((length) => String(Number(digits[1])).padStart(length, "0"));
}

// How a set is printed. Promotions and tokens have their set's code, before which Scryfall writes a letter. The List
// has that of the first printing.
function setForms({ set, collector_number: number }) {
  const code = set.toUpperCase();
  const first = number.slice(0, Math.max(0, number.lastIndexOf("-"))).toUpperCase(); // "MH1" of "MH1-17"
  return [code, ...(code.length === 4 && "PT".includes(code[0]) ? [code.slice(1)] : []),
    ...(first.length > 2 ? [first] : [])]; // not the "A" of "A-143"
}
