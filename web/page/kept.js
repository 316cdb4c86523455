// The list that cards are put on: which of the kept lists it is, and what an entry is made of.
//
//     const kept = await openKept();
//     await kept.add(entryOf(card, printing));
//     kept.current();                          // {id, name, count, waiting}

import { finishOf } from "../collection/formats.js";
import { openLists } from "../collection/lists.js";
import { choosePrinting } from "../collection/scan_session.js";
import { setting } from "./settings.js";

const FIRST_LIST = "My cards";
const CANDIDATES = 3; // that a review shows
const lastUsed = setting("list", "");
const [lockedSet, lockedLang] = [setting("set", ""), setting("lang", "")];
// What the lists need of a printing. The rest would only take room.
const FACTS = ["name", "card_name", "set", "set_name", "collector_number", "lang", "rarity", "layout", "finishes",
  "released_at", "scryfall_id", "face_id", "illustration_id", "tcgplayer_id", "cardmarket_id", "scryfall_uri"];

/**
 * Opens the lists. There is always at least one.
 * @param {any} collection the index's, or undefined for an index that was exported by an earlier version
 */
export async function openKept(collection) {
  const lists = await openLists();
  await lists.ensure(FIRST_LIST);
  const all = await lists.lists();
  let current = all.find(({ id }) => String(id) === lastUsed.get()) ?? all[0];

  async function refresh() {
    let now = await lists.lists();
    if (!now.length) { // another tab removed the last one, or the person took back that it was made
      await lists.ensure(FIRST_LIST);
      now = await lists.lists();
    }
    current = now.find(({ id }) => id === current.id) ?? now[0];
    return now;
  }

  async function create(name) {
    await use(await lists.create(name));
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
    removeList: (id) => lists.removeList(id, FIRST_LIST),
    add: (entry) => lists.add(current.id, entry),
    addAll: (entries) => lists.addAll(current.id, entries),
    entries: () => lists.entries(current.id),
  };
}

/**
 * The set and the language that the person has said all cards are of, each "" where it is not said.
 * @returns {{set: string, lang: string}}
 */
export function locked() {
  return { set: lockedSet.get(), lang: lockedLang.get() };
}

/**
 * The entry of a card of an answer. What is locked wins over what was read on the card. A likely card waits for the
 * person, with its best matches.
 * @param {any} card
 * @param {{set?: string, lang?: string}} [lock]
 */
export function entryOf(card, lock = {}) {
  const [best] = card.matches;
  const printing = choosePrinting(card, lock) ?? best;
  const isKept = card.state === "recognised";
  const inSet = card.printings.filter(({ set }) => set === lock.set);
  const isRead = card.printing_decided && isSameNumber(printing, card.printings[0]);
  const isOnly = inSet.includes(printing) && inSet.every((one) => isSameNumber(printing, one));
  const entry = entryOfPrinting(best, printing);
  return {
    ...entry, lang: lock.lang || entry.lang, state: isKept ? "kept" : "review", decided: isKept && (isRead || isOnly),
    candidates: isKept ? [] : differentCards(card.matches).slice(0, CANDIDATES).map((match) => ({
      face: match.face_id, name: match.name, printing: factsOf(match), image_url: match.image_url,
      card_url: match.card_url, similarity: match.similarity,
    })),
  };
}

/**
 * The entry of the candidate that the person has chosen. printings: those of its face, its own first.
 * @param {any} candidate
 * @param {any[]} printings
 * @param {{set?: string, lang?: string}} lock
 */
export function entryOfCandidate({ face, name, printing, image_url, card_url }, printings, lock) {
  const match = { ...printing, name, face_id: face, image_url, card_url };
  return entryOf({ state: "recognised", matches: [match], printings, printing_decided: false }, lock);
}

/**
 * The printings of a face that the index knows, and this one first. It is alone where the index has no such face.
 * @param {{card: (faceId: string) => Promise<any>, printings: (row: number) => Promise<any[]>}} engine
 * @param {string | null} face
 * @param {any} own
 * @returns {Promise<any[]>}
 */
export async function printingsOf(engine, face, own) {
  if (face === null) return [own];
  const known = await engine.card(face).then(({ row }) => engine.printings(row)).catch(() => []);
  const first = known.find((one) => isSamePrinting(one, own)) ?? own;
  return [first, ...known.filter((one) => one !== first)];
}

/** Whether two printings are one. */
export function isSamePrinting(one, other) {
  return one.scryfall_id === other.scryfall_id && one.lang === other.lang;
}

/**
 * The entry of a printing of a face.
 * @param {any} face
 * @param {any} printing
 */
export function entryOfPrinting(face, printing) {
  const facts = factsOf({ ...face, ...printing });
  return {
    state: "kept", count: 1, printing: facts, finish: finishOf(facts), condition: "near_mint",
    lang: facts.lang, face: face.face_id ?? null, image_url: face.image_url, card_url: face.card_url, decided: true,
    candidates: [],
  };
}

/**
 * The finish of a copy that is of another printing than was thought: the same if it exists, else the usual one.
 * @param {any} printing
 * @param {string} finish
 */
export function finishIn(printing, finish) {
  return !printing.finishes?.length || printing.finishes.includes(finish) ? finish : finishOf(printing);
}

function isSameNumber(one, other) {
  return one.set === other.set && one.collector_number === other.collector_number;
}

/** What an entry keeps of a printing. */
export function factsOf(printing) {
  return Object.fromEntries(FACTS.filter((fact) => fact in printing).map((fact) => [fact, printing[fact]]));
}

function differentCards(matches) {
  return matches.filter(({ name }, at) => matches.findIndex((other) => other.name === name) === at);
}
