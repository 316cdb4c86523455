// Compares texts as people type them: without accents, capitals, punctuation or ligatures, as name_search.py does.
//
//     plain("Lim-Dûl's");              // "lim duls"
//     const [key] = keysOf(["Lim-Dûl's Vault"]);     // " lim duls vault | limduls "
//     key.includes(plain("LIM-DÛL"));                // true

export const END = "|"; // ends the name in a key; it is in no plain text
// Straight and curly apostrophes, primes, and the letters that look like them: people leave them out.
const APOSTROPHES = /['`\u00b4\u02b9-\u02bf\u2018\u2019\u201b\u2032]/g;
const LIGATURES = { æ: "ae", œ: "oe", ß: "ss", ø: "o", đ: "d", ð: "d", ł: "l", þ: "th", ı: "i" };
const PUNCTUATION = /(?!_)[\p{P}\p{Sk}|]/gu; // not _: a card is named _____
const INSIDE = /(\p{L})(?!_)[\p{P}\p{Sk}](?=\p{L})/gu; // between two letters of a word. Older Safari has no lookbehind

/**
 * The form in which texts are compared.
 * @param {string} text
 */
export function plain(text) {
  return spaced(folded(text));
}

/**
 * What texts are found by: their words, and those that have a hyphen again, written as one. Each word is folded once:
 * 30,000 names have 14,000.
 * @param {string[]} texts
 */
export function keysOf(texts) {
  const known = new Map();
  const wordOf = (word) => {
    if (!known.has(word)) {
      const letters = folded(word);
      const joined = letters.replace(INSIDE, "$1");
      known.set(word, [spaced(letters), joined === letters ? "" : spaced(joined)]);
    }
    return known.get(word);
  };
  return texts.map((text) => {
    let [all, again] = [" ", " "];
    for (const word of text.split(/\s+/)) {
      const [apart, joined] = wordOf(word);
      if (apart) all += `${apart} `;
      if (joined) again += `${joined} `;
    }
    return `${all}${END}${again}`;
  });
}

function spaced(text) {
  return text.replace(PUNCTUATION, " ").replace(/\s+/g, " ").trim();
}

function folded(text) {
  return text.replace(APOSTROPHES, "").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase()
    .replace(/[æœßøđðłþı]/g, (letter) => LIGATURES[letter]);
}
