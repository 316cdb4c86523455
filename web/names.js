// Compares names as people type them: without accents, capitals, punctuation or ligatures.
//
//     const key = keyOf("Lim-Dûl's Vault", "all", "107");   // " lim duls vault | all 107 | limduls "
//     const wanted = plain("lim-dul's");                     // "lim duls"
//     if (fits(key, wanted)) order(key, wanted);             // 0 to 4, the best first

const END = "|"; // ends the name in a key; it is in no plain text
// Straight and curly apostrophes, primes, and the letters that look like them: people leave them out.
const APOSTROPHES = /['`\u00b4\u02b9-\u02bf\u2018\u2019\u201b\u2032]/g;
const LIGATURES = { æ: "ae", œ: "oe", ß: "ss", ø: "o", đ: "d", ð: "d", ł: "l", þ: "th", ı: "i" };
const PUNCTUATION = /(?!_)[\p{P}\p{Sk}|]/gu; // not _: a card is named _____
const INSIDE = /(\p{L})(?!_)[\p{P}\p{Sk}](?=\p{L})/gu; // between two letters of a word. Older Safari has no lookbehind

// The form in which texts are compared.
export function plain(text) {
  return folded(text).replace(PUNCTUATION, " ").replace(/\s+/g, " ").trim();
}

// What a card is found by: its name, its set and number, and words with a hyphen written as one.
export function keyOf(name, set, number) {
  const joined = folded(name).split(/\s+/).filter((word) => word.search(INSIDE) >= 0);
  return ` ${plain(name)} ${END} ${plain(`${set} ${number}`)} ${END} ${plain(joined.join(" ").replace(INSIDE, "$1"))} `;
}

// Whether the key has every word of the plain text.
export function fits(key, wanted) {
  return wanted !== "" && wanted.split(" ").every((word) => key.includes(word));
}

// How well a key fits the plain text. 0: the text is the whole name. 1: the name begins with the text. 2: the key has
// all words of the text. 3: it has words that begin with them. 4: it has them anywhere.
export function order(key, wanted) {
  if (key.startsWith(` ${wanted} ${END}`)) return 0;
  if (key.startsWith(` ${wanted}`)) return 1;
  const words = wanted.split(" ");
  if (words.every((word) => key.includes(` ${word} `))) return 2;
  return words.every((word) => key.includes(` ${word}`)) ? 3 : 4;
}

function folded(text) {
  return text.replace(APOSTROPHES, "").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase()
    .replace(/[æœßøđðłþı]/g, (letter) => LIGATURES[letter]);
}
