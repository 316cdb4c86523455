// The query language of Scryfall: what a person typed -> a tree of terms.
//
//     readTerms('goblin t:creature -c:r (r>=rare or a:"matt cavotta")')
//     // {kind: "all", parts: [{kind: "text", words: ["goblin"]}, {kind: "field", word: "t", operator: ":", ...},
//     //   {kind: "not", part: ...}, {kind: "any", parts: [...]}]}
//
// It reads whatever is typed, also half of it: a missing quote or parenthesis is thought at the end.

import { plain } from "./names.js";
import { isField } from "./search_fields.js";

const LONGEST = 500; // characters; the longest name has 141
const BLANK = /\s+/y;
const FIELD = /([a-z]+)(:|!=|<=|>=|=|<|>)(?:"([^"]*)"?|([^\s()"]*))/iy;
const NAME = /!(?:"([^"]*)"?|([^\s()"]+))/y;
const WORD = /"([^"]*)"?|([^\s()"]+)/y;

/** @typedef {{kind: "text", words: string[]} | {kind: "name", name: string}
 *   | {kind: "field", word: string, operator: string, value: string, written: string}
 *   | {kind: "not", part: Term} | {kind: "all" | "any", parts: Term[]}} Term */

/**
 * The tree of a text; null where nothing is asked. The words of a text stand together, in their order.
 * @param {string} text
 * @returns {Term | null}
 */
export function readTerms(text) {
  const source = text.slice(0, LONGEST).replace(/[“”„]/g, '"');
  let at = 0;

  const taken = (pattern) => {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match) at = pattern.lastIndex;
    return match;
  };

  // Terms up to the parenthesis that closes them. `or` binds less than the blank between two terms.
  const group = (nested) => {
    const choices = [/** @type {Term[]} */ ([])];
    for (taken(BLANK); at < source.length; taken(BLANK)) {
      if (source[at] === ")") {
        at++;
        if (nested) break;
      } else if (taken(/or(?![^\s()])/iy)) {
        choices.push([]);
      } else if (!taken(/and(?![^\s()])/iy)) {
        const part = term();
        if (part) choices[choices.length - 1].push(part);
      }
    }
    const parts = choices.filter((choice) => choice.length).map(all);
    return parts.length > 1 ? { kind: "any", parts } : parts[0] ?? null;
  };

  const term = () => {
    if (source[at] === "-" && at++ >= 0) {
      const part = at < source.length && !/[\s)]/.test(source[at]) ? term() : null;
      return part && { kind: "not", part };
    }
    if (source[at] === "(" && at++ >= 0) return group(true);
    const start = at;
    const field = taken(FIELD);
    if (field) {
      const [written, word, operator, quoted, bare] = [source.slice(start, at), ...field.slice(1)];
      const value = quoted ?? bare;
      // "t:" waits for what comes; "Circle of Protection: Red" has a word before its colon.
      if (value === "") return isField(word.toLowerCase()) ? null : textOf(plain(word));
      return { kind: "field", word: word.toLowerCase(), operator, value, written };
    }
    const name = taken(NAME);
    if (name) return { kind: "name", name: name[1] ?? name[2] };
    const word = taken(WORD);
    return textOf(plain(word[1] ?? word[2]), word[1] !== undefined);
  };

  return group(false);
}

/**
 * What is quoted stays together; "fire//ice" is two words.
 * @param {string} text
 * @returns {Term | null}
 */
function textOf(text, quoted = false) {
  return text ? { kind: "text", words: quoted ? [text] : text.split(" ") } : null;
}

// Terms that must all be true: their words become one text.
function all(terms) {
  const words = terms.flatMap((term) => (term.kind === "text" ? term.words : []));
  const others = terms.filter((term) => term.kind !== "text");
  const parts = words.length ? [{ kind: "text", words }, ...others] : others;
  return parts.length > 1 ? { kind: "all", parts } : parts[0];
}
