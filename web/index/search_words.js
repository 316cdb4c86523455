// Words -> how well each row fits them. Words may stand in any order, be begun only, and have typos.
//
//     const words = openWords(rows, column);               // column() of search_columns.js
//     words.ranks(["bolt", "lea"], FIELDS);                // for each row: 0 fits best, NO not at all
//     await words.nearRanks(["lightnig", "bolt"], FIELDS); // the same, with the fewest typos that fit
//
// A word may be in any text of a row: its names, type, artist, set, number, colours and rarity.

import { END } from "./names.js";

export const NO = 255;
const EXACT = 0; // the words are the whole name
const BEGINS = 1; // the name begins with them
const WORDS = 2; // they are somewhere: what each of them costs is added to this
const MOST = 254;

const NAMES = ["name", "printed_name"];
const IN_NAME = { whole: 0, begun: 2, inside: 4 };
const ELSEWHERE = { whole: 1, begun: 3, inside: NO };
const WHOLE = { whole: 1, begun: NO, inside: NO }; // "re" is not red
const COSTS = {
  name: IN_NAME, printed_name: IN_NAME, card_name: ELSEWHERE, type_line: ELSEWHERE, artist: ELSEWHERE,
  set_name: ELSEWHERE, set: ELSEWHERE, collector_number: ELSEWHERE, colors: WHOLE, rarity: WHOLE,
};
export const FIELDS = Object.keys(COSTS);
const SPELT = ["name", "printed_name", "card_name", "type_line", "artist", "set_name"]; // typos are forgiven in these

// MiniSearch's radix tree finds words by edit distance (MIT, 5 kB packed). Of 925 names with typos among 30,000, the
// first answer is right for 98% with it, 92% with MiniSearch's own index, 82% with uFuzzy, and 36% with FlexSearch.
const TREE = new URL("../vendor/SearchableMap.js", import.meta.url);
const SHORTEST = 3; // letters of the shortest beginning of a word that is compared
const typosIn = (word) => (word.length < 4 ? 0 : word.length < 5 ? 1 : word.length < 9 ? 2 : 3);

/**
 * @param {number} rows
 * @param {import("./search_columns.js").ColumnOf} column
 */
export function openWords(rows, column) {
  let tree = /** @type {any} */ (null); // MiniSearch's SearchableMap

  const costsOf = (word, fields) => {
    const costs = new Uint8Array(rows).fill(NO);
    for (const field of fields) {
      const { whole, begun, inside } = COSTS[field];
      lower(costs, column(field), (key) => {
        if (!key.includes(word)) return NO;
        return key.includes(` ${word} `) ? whole : key.includes(` ${word}`) ? begun : inside;
      });
    }
    return costs;
  };

  // For each number of typos, the words and beginnings of words that the word may be meant for, as regular expressions.
  const spellings = async (word) => {
    tree ??= await treeOf(SPELT.map(column));
    const near = Array.from(tree.fuzzyGet(word, typosIn(word)), ([beginning, [, typos]]) => ({ beginning, typos }));
    near.sort((a, b) => a.typos - b.typos || a.beginning.length - b.beginning.length);
    const found = Array.from({ length: typosIn(word) + 1 }, () => /** @type {string[]} */ ([]));
    const kept = /** @type {string[]} */ ([]); // "lightni" stands for all that begins with it
    for (const { beginning, typos } of near) {
      if (kept.some((shorter) => beginning.startsWith(shorter))) continue;
      kept.push(beginning);
      found[typos].push(escaped(beginning));
    }
    return found;
  };

  // How many typos the word has in each row: twice that, and 1 more where it is not in the name.
  const typosOf = (found, fields) => {
    const tests = found.map((some) => some.length && new RegExp(` (?:${some.join("|")})`));
    const typos = new Uint8Array(rows).fill(NO);
    for (const field of SPELT.filter((one) => fields.includes(one))) {
      const outside = Number(!NAMES.includes(field));
      lower(typos, column(field), (key) => {
        const count = tests.findIndex((test) => test && test.test(key));
        return count < 0 ? NO : 2 * count + outside;
      });
    }
    return typos;
  };

  return {
    /** Whether a card's whole name is this plain text. */
    isName: (text) => NAMES.some((field) => column(field)?.keys.some((key) => key.startsWith(` ${text} ${END}`))),

    /** The rows whose whole name is this plain text. */
    named(text) {
      const ranks = new Uint8Array(rows).fill(NO);
      for (const field of NAMES) {
        lower(ranks, column(field), (key) => (key.startsWith(` ${text} ${END}`) ? EXACT : NO));
      }
      return ranks;
    },

    /**
     * For each row, how well it has all the words.
     * @param {string[]} words plain words, or plain texts for words that stand together
     * @param {string[]} fields where they may be
     */
    ranks(words, fields) {
      const costs = words.map((word) => costsOf(word, fields));
      const ranks = new Uint8Array(rows).fill(WORDS);
      for (const cost of costs) {
        for (let row = 0; row < rows; row++) ranks[row] = added(ranks[row], cost[row]);
      }
      const text = words.join(" ");
      for (const field of NAMES) {
        lower(ranks, column(field), (key) => {
          if (!key.startsWith(` ${text}`)) return NO;
          return key.startsWith(` ${text} ${END}`) ? EXACT : BEGINS;
        });
      }
      return ranks;
    },

    /**
     * The same for words that no row has as they are typed: written as one word, or with the fewest typos.
     * @param {string[]} words
     * @param {string[]} fields
     */
    async nearRanks(words, fields) {
      const ranks = new Uint8Array(rows).fill(NO);
      const joined = words.join("").replaceAll(" ", "");
      lower(ranks, column("name"), (key) => (key[1] === joined[0]
        && key.slice(0, key.indexOf(END)).replaceAll(" ", "").startsWith(joined) ? BEGINS : NO));
      if (ranks.some((rank) => rank !== NO)) return ranks;

      const typos = new Uint8Array(rows); // of all words
      const costs = new Uint8Array(rows).fill(WORDS);
      const patterns = [];
      for (const word of words) {
        const typed = costsOf(word, fields);
        const found = await spellings(word);
        const near = typosOf(found, fields);
        for (let row = 0; row < rows; row++) {
          if (typed[row] === NO) typos[row] = added(typos[row], near[row] === NO ? NO : near[row] >> 1);
          costs[row] = added(costs[row], typed[row] === NO ? near[row] & 1 : typed[row]);
        }
        patterns.push(`(?:${[escaped(word), ...found.flat()].join("|")})[^ ]*`);
      }
      const fewest = typos.reduce((least, count) => Math.min(least, count), NO);
      if (fewest === NO) return ranks;
      const begins = new RegExp(`^ ${patterns.join(" ")} `);
      const whole = new RegExp(`${begins.source}\\${END}`);
      lower(costs, column("name"), (key) => (whole.test(key) ? EXACT : begins.test(key) ? BEGINS : NO));
      return costs.map((cost, row) => (typos[row] === fewest ? cost : NO));
    },
  };
}

/** Lowers the ranks of rows to that of their value's key. A key is looked at once, whatever number of rows has it. */
function lower(ranks, column, rankOf) {
  if (!column) return;
  const { keys, places } = column;
  const byPlace = new Uint8Array(keys.length);
  for (let place = 0; place < keys.length; place++) byPlace[place] = rankOf(keys[place]);
  if (byPlace.every((rank) => rank === NO)) return;
  for (let row = 0; row < ranks.length; row++) {
    const rank = byPlace[places[row]];
    if (rank < ranks[row]) ranks[row] = rank;
  }
}

function added(one, other) {
  return one === NO || other === NO ? NO : Math.min(MOST, one + other);
}

async function treeOf(columns) {
  const { default: SearchableMap } = await import(TREE.href).catch(() => {
    throw new Error("The program that forgives typos is not installed: make web");
  });
  const words = new Set(columns.flatMap((column) => column?.keys.flatMap((key) => key.split(" ")) ?? []));
  const tree = new SearchableMap();
  for (const word of words) {
    for (let end = SHORTEST; end <= word.length; end++) tree.set(word.slice(0, end), true);
  }
  return tree;
}

function escaped(text) {
  return text.replace(/[^\p{L}\p{N} ]/gu, "\\$&");
}
