// The list that cards are put on: which of the kept lists it is, and what an entry is made of.
//
//     const kept = await openKept();
//     await kept.add(entryOf(card, printing));
//     kept.current();                          // {id, name, count, waiting}

import { openLists } from "../collection/lists.js";
import { setting } from "./settings.js";

const FIRST_LIST = "My cards";
const CANDIDATES = 3;
const lastUsed = setting("list", "");
// What the lists need of a printing. The rest would only take room.
const FACTS = ["name", "card_name", "set", "set_name", "collector_number", "lang", "rarity", "layout", "finishes",
  "released_at", "scryfall_id", "face_id", "illustration_id", "tcgplayer_id", "cardmarket_id", "scryfall_uri"];

/**
 * Opens the lists. There is always at least one.
 * @param {any} collection the index's, or undefined for an index that was exported by an earlier version
 */
export async function openKept(collection) {
  const lists = await openLists();
  if (!(await lists.lists()).length) await lists.create(FIRST_LIST);
  const all = await lists.lists();
  let current = all.find(({ id }) => String(id) === lastUsed.get()) ?? all[0];

  async function refresh() {
    const now = await lists.lists();
    if (!now.length) return create(FIRST_LIST);
    current = now.find(({ id }) => id === current.id) ?? now[0];
    return now;
  }

  async function create(name) {
    const id = await lists.create(name);
    await use(id);
    return lists.lists();
  }

  async function use(id) {
    const found = (await lists.lists()).find((list) => String(list.id) === String(id));
    if (found) current = found;
    lastUsed.set(String(current.id));
  }

  return {
    ...lists,
    collection, languages: collection?.language_names ?? {},
    current: () => current,
    refresh, create, use,
    add: (entry) => lists.add(current.id, entry),
    addAll: (entries) => lists.addAll(current.id, entries),
    entries: () => lists.entries(current.id),
  };
}

/**
 * The entry of a card of an answer. A likely one waits for the person, with its best matches.
 * @param {any} card
 * @param {any} [printing]
 */
export function entryOf(card, printing = card.printings[0]) {
  const [best] = card.matches;
  return {
    ...entryOfPrinting(best, printing ?? best), decided: card.printing_decided,
    state: card.state === "recognised" ? "kept" : "review",
    candidates: card.state === "recognised" ? [] : differentCards(card.matches).slice(0, CANDIDATES).map((match) => ({
      row: match.row, name: match.name, printing: factsOf(match), image_url: match.image_url, card_url: match.card_url,
      similarity: match.similarity,
    })),
  };
}

/**
 * The entry of a printing of a face.
 * @param {any} face
 * @param {any} printing
 */
export function entryOfPrinting(face, printing) {
  const facts = factsOf({ ...face, ...printing });
  return {
    state: "kept", count: 1, printing: facts, finish: defaultFinish(facts.finishes), condition: "near_mint",
    lang: facts.lang, row: face.row, image_url: face.image_url, card_url: face.card_url, decided: true, candidates: [],
  };
}

/**
 * The finish of a printing that has only one. Of several, a picture does not tell which: then it is not foil.
 * @param {string[] | undefined} finishes
 */
export function defaultFinish(finishes) {
  return finishes?.length === 1 ? finishes[0] : "nonfoil";
}

function factsOf(printing) {
  return Object.fromEntries(FACTS.filter((fact) => fact in printing).map((fact) => [fact, printing[fact]]));
}

function differentCards(matches) {
  return matches.filter(({ name }, at) => matches.findIndex((other) => other.name === name) === at);
}
