// The person's lists of cards, kept in this browser. They outlive the page, and each open tab sees every change.
//
//     const lists = await openLists();
//     const id = await lists.create("Box 1");
//     await lists.add(id, { state: "kept", printing, finish: "nonfoil", condition: "near_mint", lang: "en" });
//     lists.onChange(async () => show(await lists.entries(id)));       // also after a change in another tab
//     await lists.undo();                                              // what this tab changed last
//
// An entry is {id, list, state, count, printing, finish, condition, lang, row, image_url, decided, candidates,
// added_at}. state is "kept", or "review" where a person has to say which of the candidates it is. A kept entry counts
// up where its printing, finish, condition and language are added again.
// A change is made completely or not at all. Every error is an Error whose message is a sentence for the person.
// Reads and writes  the IndexedDB database "mtg-lists"

import { takenBack } from "./undoing.js";

const PROGRAM = new URL("../vendor/idb.js", import.meta.url);
const NAME = "mtg-lists"; // of the database and of the channel
const VERSION = 1;
const STORES = ["lists", "entries"];
const SAME = ["list", "state", "printing.scryfall_id", "finish", "condition", "lang"];
const STEPS = 100; // that can be undone. They are in memory, each with the records that it changed

const WORDS = {
  QuotaExceededError: "There is no room left for the lists in this browser. Nothing was changed. Export a list and "
    + "remove it, or free space on the device.",
  InvalidStateError: "The browser has closed the lists. Load the page again.",
  VersionError: "Another tab shows a newer version of this page. Load the page again.",
};

/**
 * @typedef {object} Entry
 * @property {number} id
 * @property {number} list
 * @property {"kept" | "review"} state
 * @property {number} count
 * @property {any} printing as in a card's printings; null where it is not known yet
 * @property {string} finish "nonfoil", "foil" or "etched"
 * @property {string} condition "near_mint", "lightly_played", "moderately_played", "heavily_played" or "damaged"
 * @property {string} lang
 * @property {number} [row]
 * @property {string} [image_url]
 * @property {boolean} [decided]
 * @property {any[]} [candidates]
 * @property {number} added_at when it was added or counted up, in ms
 */

/** Opens the lists of this browser. */
export async function openLists() {
  const db = await opened();
  const channel = new BroadcastChannel(NAME);
  const listeners = new Set();
  const steps = [];
  channel.onmessage = () => tell();

  return {
    lists, create, rename, removeList, entries, add, addAll, change, remove, undo, canUndo: () => steps.length > 0,
    onChange, persistence, askToPersist, close,
  };

  /** @returns {Promise<{id: number, name: string, count: number, waiting: number}[]>} by name; waiting: to review */
  async function lists() {
    const [all, kept] = await readAll();
    const found = all.map(({ id, name }) => ({ id, name, count: 0, waiting: 0 }));
    const byId = new Map(found.map((list) => [list.id, list]));
    for (const { list, state, count } of kept) {
      const its = byId.get(list);
      if (state === "review") its.waiting += 1;
      else its.count += count;
    }
    return found.sort((one, other) => one.name.localeCompare(other.name) || one.id - other.id);
  }

  function create(name) {
    return write("create", async (made) => (await made.put("lists", { name: checkedName(name) })).id);
  }

  function rename(id, name) {
    return write("rename", async (made) => {
      await made.put("lists", { ...await existing(made, "lists", id), name: checkedName(name) });
    });
  }

  /** Removes a list with its entries. */
  function removeList(id) {
    return write("removeList", async (made) => {
      for (const entry of await made.all("entries", "list", id)) await made.delete("entries", entry);
      await made.delete("lists", await existing(made, "lists", id));
    });
  }

  /** @returns {Promise<Entry[]>} the newest first */
  async function entries(listId) {
    const found = await db.getAllFromIndex("entries", "list", listId).catch((error) => {
      throw inWords(error);
    });
    return found.sort((one, other) => other.added_at - one.added_at || other.id - one.id);
  }

  /** @returns {Promise<number>} the id of the entry, which may have been there before */
  async function add(listId, entry) {
    return (await addAll(listId, [entry]))[0];
  }

  /** Adds entries as one change, which one undo() takes back. */
  function addAll(listId, added) {
    return write("add", async (made) => {
      await existing(made, "lists", listId);
      const ids = [];
      for (const entry of added) {
        const fresh = { count: 1, ...entry, list: listId, added_at: Date.now() };
        delete fresh.id;
        const before = await sameAs(made, fresh);
        ids.push((await made.put("entries", before ? countedUp(before, fresh) : fresh)).id);
      }
      return ids;
    });
  }

  /**
   * Changes an entry. If it is then the same card as another one, the two become one. A count of 0 removes it.
   * @returns {Promise<number | null>} the id of what is left
   */
  function change(id, fields) {
    return write("change", async (made) => {
      const entry = await existing(made, "entries", id);
      const changed = { ...entry, ...fields, id };
      const other = changed.count > 0 ? await sameAs(made, changed) : null;
      if (!other && changed.count > 0) return (await made.put("entries", changed)).id;
      await made.delete("entries", entry);
      return other && (await made.put("entries", countedUp(other, changed))).id;
    });
  }

  function remove(id) {
    return write("remove", async (made) => made.delete("entries", await existing(made, "entries", id)));
  }

  /** Takes back this tab's last change, and keeps what other tabs did since. What it was, or null. */
  async function undo() {
    const step = steps.pop();
    if (!step) return null;
    try {
      await transact(async (made) => {
        for (const { store, before, after } of [...step.changes].reverse()) {
          const { id } = before ?? after;
          const left = takenBack(await made.get(store, id), before, after);
          if (left && store === "entries") await existing(made, "lists", left.list);
          if (left) await made.put(store, left);
          else if (store === "lists" && (await made.all("entries", "list", id)).length) continue; // another tab's
          else await made.delete(store, { id });
        }
      });
    } catch (error) {
      steps.push(step);
      throw error;
    }
    return { what: step.what, entries: step.changes.filter(({ store }) => store === "entries")
      .map(({ before, after }) => before ?? after) };
  }

  /** Calls back after each change, of this tab or of another. Returns a function that ends it. */
  function onChange(callback) {
    listeners.add(callback);
    return () => listeners.delete(callback);
  }

  function close() {
    channel.close();
    listeners.clear();
    db.close();
  }

  // Makes a change that can be undone.
  async function write(what, work) {
    const { result, changes } = await transact(work);
    steps.push({ what, changes });
    steps.splice(0, steps.length - STEPS);
    return result;
  }

  // Runs work(made) in one transaction, and tells everybody of it. made reads and writes, and notes what it changed.
  async function transact(work) {
    let result;
    const changes = [];
    try {
      const transaction = db.transaction(STORES, "readwrite");
      const done = transaction.done;
      done.catch(() => {}); // it is awaited below, if the work comes so far
      const made = {
        get: (store, id) => transaction.objectStore(store).get(id),
        all: (store, index, value) => transaction.objectStore(store).index(index).getAll(value),
        async put(store, record) {
          const before = record.id === undefined ? null : await made.get(store, record.id) ?? null;
          const after = { ...record, id: await transaction.objectStore(store).put(record) };
          changes.push({ store, before, after });
          return after;
        },
        async delete(store, record) {
          await transaction.objectStore(store).delete(record.id);
          changes.push({ store, before: record, after: null });
        },
      };
      try {
        result = await work(made);
      } catch (error) {
        try {
          transaction.abort();
        } catch { /* the browser aborted it */ }
        throw transaction.error ?? error; // the requests that were open say only that it was aborted
      }
      await done;
    } catch (error) {
      throw inWords(error);
    }
    channel.postMessage("changed");
    tell();
    return { result, changes };
  }

  async function readAll() {
    try {
      const transaction = db.transaction(STORES);
      return await Promise.all(STORES.map((store) => transaction.objectStore(store).getAll()));
    } catch (error) {
      throw inWords(error);
    }
  }

  function tell() {
    for (const callback of listeners) callback();
  }
}

/**
 * How safe the lists are. persisted: the browser does not remove them by itself. canAsk: askToPersist() may help.
 * used and quota are in bytes, or null where the browser does not say.
 */
async function persistence() {
  const { storage } = navigator; // on https and localhost only
  const persisted = Boolean(await storage?.persisted?.());
  const { usage = null, quota = null } = await storage?.estimate?.() ?? {};
  return { persisted, canAsk: !persisted && Boolean(storage?.persist), used: usage, quota };
}

/** Asks the browser not to remove the lists by itself. True if it agrees. */
async function askToPersist() {
  return Boolean(await navigator.storage?.persist?.());
}

// idb (ISC, 12 KB) gives IndexedDB's requests as promises. It is imported here, so that the page starts without it.
async function opened() {
  const { openDB } = await import(PROGRAM.href).catch(() => {
    throw new Error("What keeps the lists is not installed: make web");
  });
  try {
    const db = await openDB(NAME, VERSION, {
      upgrade(empty) {
        empty.createObjectStore("lists", { keyPath: "id", autoIncrement: true });
        const entries = empty.createObjectStore("entries", { keyPath: "id", autoIncrement: true });
        entries.createIndex("list", "list");
        entries.createIndex("same", SAME);
      },
      blocking: () => db.close(), // a newer version of the page opens the lists in another tab
    });
    return db;
  } catch (error) {
    if (WORDS[error.name]) throw inWords(error);
    throw new Error("This browser keeps no lists for this page, as in a private window. Export what you scan.",
      { cause: error });
  }
}

async function sameAs(made, entry) {
  const { list, state, printing, finish, condition, lang } = entry;
  if (state !== "kept" || !printing?.scryfall_id) return null;
  const found = await made.all("entries", "same", [list, state, printing.scryfall_id, finish, condition, lang]);
  return found.find(({ id }) => id !== entry.id) ?? null;
}

function countedUp(entry, { count }) {
  return { ...entry, count: entry.count + count, added_at: Date.now() };
}

async function existing(made, store, id) {
  const record = await made.get(store, id);
  if (!record) throw new Error(store === "lists" ? "This list was removed." : "This card was removed from the list.");
  return record;
}

function checkedName(name) {
  if (!name.trim()) throw new Error("A list needs a name.");
  return name.trim();
}

function inWords(error) {
  return WORDS[error.name] ? new Error(WORDS[error.name], { cause: error }) : error;
}
