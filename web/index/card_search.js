// Words and Scryfall's terms -> all rows that fit, in an order.
//
//     const { search } = openCardSearch(meta);                     // the meta that artefacts.js read
//     await search("lightnig bolt");                               // {total: 12, rows: [812, ...], notes: ["..."]}
//     await search("t:goblin c:r year>=2015", { sort: "newest", offset: 60, limit: 60 });
//
// The best match comes first: a card whose whole name is the text, then names that begin with it, then names with all
// of its words, then cards with words elsewhere. Equally good ones stand by name, and of one name the newest first.
// So do the answers to terms without words. Typos are forgiven where no card has the words as they are typed.
// A term that the index cannot answer is left out; a note says so in a sentence.

import { plain } from "./names.js";
import { openColumns } from "./search_columns.js";
import { readField } from "./search_fields.js";
import { readTerms } from "./search_terms.js";
import { FIELDS, NO, openWords } from "./search_words.js";
import { ORDERS, counted, openOrders } from "./sort_orders.js";

/** @typedef {import("./search_terms.js").Term} Term */

const PAGE = 60; // rows in an answer, without a limit

/**
 * The search over an index's rows. It reads nothing before the first search.
 * @param {import("./artefacts.js").Meta} meta
 */
export function openCardSearch(meta) {
  const column = openColumns(meta);
  const words = openWords(meta.rows, column);
  const order = openOrders(meta.rows, column);
  // The last answer: its next page, or another order of it, is not searched again.
  let last = /** @type {Awaited<ReturnType<typeof answer>> | null} */ (null);

  const answer = async (text) => {
    const notes = /** @type {string[]} */ ([]);
    const ranks = await ranksOf(termOf(text), notes);
    return { text, ranks, notes, sorted: new Map() };
  };

  /**
   * "Sink or Swim" is a name, although it has an "or".
   * @type {(text: string) => Term | null}
   */
  const termOf = (text) => {
    const term = readTerms(text);
    const hasSigns = /(^|[\s(])[-!]|["“”„]/.test(text);
    return term && term.kind !== "text" && !hasSigns && words.isName(plain(text))
      ? { kind: "text", words: plain(text).split(" ") } : term;
  };

  /**
   * For each row how well it fits a term, or null where the term is left out.
   * @type {(term: Term | null, notes: string[], isNegated?: boolean) => Promise<Uint8Array<ArrayBuffer> | null>}
   */
  const ranksOf = async (term, notes, isNegated = false) => {
    if (term?.kind === "text") return textRanks(term.words, notes, isNegated);
    if (term?.kind === "name") return words.named(plain(term.name));
    if (term?.kind === "field") return fieldRanks(term, notes);
    if (term?.kind === "not") {
      const ranks = await ranksOf(term.part, notes, true);
      return ranks?.map((rank) => (rank === NO ? 0 : NO)) ?? null;
    }
    let ranks = /** @type {Uint8Array<ArrayBuffer> | null} */ (null);
    for (const part of term?.parts ?? []) {
      const others = await ranksOf(part, notes, isNegated);
      const better = term?.kind === "any" ? Math.min : Math.max;
      ranks = ranks && others ? ranks.map((rank, row) => better(rank, others[row])) : ranks ?? others;
    }
    return ranks;
  };

  // Without make web, what is typed right is found all the same.
  const nearRanks = (typed, notes) => words.nearRanks(typed, FIELDS).catch(({ message }) => {
    notes.push(message);
    return new Uint8Array(meta.rows).fill(NO);
  });

  const textRanks = async (typed, notes, isNegated) => {
    const ranks = words.ranks(typed, FIELDS);
    if (isNegated || hasRow(ranks)) return ranks;
    const near = await nearRanks(typed, notes);
    if (hasRow(near)) notes.push(`No card has “${typed.join(" ")}”: these are written most like it.`);
    return near;
  };

  const fieldRanks = (term, notes) => {
    const read = readField(term, column);
    if ("note" in read) {
      notes.push(read.note);
      return null;
    }
    const { column: { values, places }, fits } = read;
    const byPlace = Uint8Array.from(values, (value) => (fits(value) ? 0 : NO));
    return Uint8Array.from({ length: meta.rows }, (_, row) => byPlace[places[row]]);
  };

  return {
    /**
     * All rows that fit a text, `limit` of them from the `offset`-th on.
     * @param {string} text
     * @param {{sort?: string, descending?: boolean, offset?: number, limit?: number}} [options] sort is "best", "name",
     *   "set" (and number), "newest", "artist" or "colour"
     * @returns {Promise<{total: number, rows: number[], notes: string[]}>}
     */
    async search(text, { sort = "best", descending = false, offset = 0, limit = PAGE } = {}) {
      if (sort !== "best" && !ORDERS.includes(sort)) throw new Error(`Cards cannot be sorted by “${sort}”.`);
      const found = last?.text === text ? last : await answer(text);
      last = found;
      const { ranks, notes, sorted } = found;
      const key = `${sort} ${descending}`;
      if (!sorted.has(key)) {
        const rows = !ranks ? new Uint32Array(0) : counted(order(sort === "best" ? "name" : sort),
          (row) => (ranks[row] === NO ? -1 : sort === "best" ? ranks[row] : 0), NO);
        sorted.set(key, descending ? rows.reverse() : rows);
      }
      const rows = sorted.get(key);
      return { total: rows.length, rows: Array.from(rows.subarray(offset, offset + limit)), notes };
    },
  };
}

function hasRow(ranks) {
  return ranks.some((rank) => rank !== NO);
}
