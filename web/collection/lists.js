// The person's lists of cards, kept in this browser. They outlive the page, and each open tab sees every change.
//
//     const lists = await openLists();
//     const id = await lists.create("Box 1");
//     await lists.add(id, { state: "kept", printing, finish: "nonfoil", condition: "near_mint", lang: "en" });
//     lists.onChange(async () => show(await lists.entries(id)));       // also after a change in another tab
//     await lists.undo();                                              // what this tab changed last
//
// An entry is {id, list, state, count, printing, finish, condition, lang, face, image_url, decided, candidates,
// added_at}. state is "kept", or "review" where a person has to say which of the candidates it is. A kept entry counts
// up where its printing, finish, condition and language are added again, and are as sure as before.
// A change is made completely or not at all. One that comes too late, because its entry is gone, does nothing.
// Every error is an Error whose message is a sentence for the person.
// Reads and writes  the IndexedDB database "mtg-lists"

import { inWords, NAME, openDatabase, STORES } from "./lists_database.js";
import { takenBack } from "./undoing.js";

const STEPS = 100; // that can be undone. They are in memory, each with the records that it changed

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
 * @property {string | null} [face] the face_id of its row in the index; null where the index had no such name
 * @property {string} [image_url]
 * @property {boolean} [decided] a person or a reading has said which printing it is
 * @property {any[]} [candidates]
 * @property {number} added_at when it was added or counted up, in ms
 */

/** Opens the lists of this browser. */
export async function openLists() {
  const db = await openDatabase();
  const channel = new BroadcastChannel(NAME);
  const listeners = new Set();
  const steps = [];
  channel.onmessage = () => tell();

  return {
    lists, ensure, create, rename, removeList, entries, entry, add, addAll, change, changeOne, remove, undo,
    canUndo: () => steps.length > 0, onChange, close,
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

  /** Makes a list of this name if there is none at all. It is no change of the person's: it cannot be undone. */
  async function ensure(name) {
    await transact(async (made) => {
      if (await made.count("lists") === 0) await made.put("lists", { name });
    });
  }

  function create(name) {
    return write("create", async (made) => (await made.put("lists", { name: checkedName(name) })).id);
  }

  function rename(id, name) {
    return write("rename", async (made) => {
      await made.put("lists", { ...await existingList(made, id), name: checkedName(name) });
    });
  }

  /** Removes a list with its entries. If it was the last one, there is an empty list named `instead`. */
  function removeList(id, instead) {
    return write("removeList", async (made) => {
      for (const entry of await made.all("entries", "list", id)) await made.delete("entries", entry);
      await made.delete("lists", await existingList(made, id));
      if (await made.count("lists") === 0) await made.put("lists", { name: instead });
    });
  }

  /** @returns {Promise<Entry[]>} the newest first */
  async function entries(listId) {
    const found = await db.getAllFromIndex("entries", "list", listId).catch((error) => {
      throw inWords(error);
    });
    return found.sort((one, other) => other.added_at - one.added_at || other.id - one.id);
  }

  /** @returns {Promise<Entry | null>} the entry as it is now; null if it is gone */
  async function entry(id) {
    return await db.get("entries", id).catch((error) => {
      throw inWords(error);
    }) ?? null;
  }

  /** @returns {Promise<number>} the id of the entry, which may have been there before */
  async function add(listId, entry) {
    return (await addAll(listId, [entry]))[0];
  }

  /** Adds entries as one change, which one undo() takes back. */
  function addAll(listId, added) {
    return write("add", async (made) => {
      await existingList(made, listId);
      const ids = [];
      for (const entry of added) {
        const fresh = { count: 1, ...entry, list: listId, added_at: Date.now() };
        delete fresh.id;
        ids.push(await putMerged(made, fresh));
      }
      return ids;
    });
  }

  /**
   * Changes an entry. If it is then the same card as another one, the two become one. A count of 0 removes it.
   * @returns {Promise<number | null>} the id of what is left, or null
   */
  function change(id, fields) {
    return write("change", async (made) => {
      const entry = await made.get("entries", id);
      return entry ? putChanged(made, entry, { ...entry, ...fields, id }) : null;
    });
  }

  /**
   * Changes one copy of an entry. The others stay as they are.
   * @returns {Promise<number | null>} the id of the entry that has this copy now, or null
   */
  function changeOne(id, fields) {
    return write("change", async (made) => {
      const entry = await made.get("entries", id);
      if (!entry) return null;
      const one = { ...entry, ...fields, count: 1 };
      if (entry.count === 1) return putChanged(made, entry, one);
      delete one.id;
      await made.put("entries", { ...entry, count: entry.count - 1 });
      return putMerged(made, one);
    });
  }

  /** Removes an entry. Its id, or null if it was gone. */
  function remove(id) {
    return write("remove", async (made) => {
      const entry = await made.get("entries", id);
      if (entry) await made.delete("entries", entry);
      return entry ? id : null;
    });
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
          if (left && store === "entries") await existingList(made, left.list);
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
    if (changes.length) steps.push({ what, changes });
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
        count: (store) => transaction.objectStore(store).count(),
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
    if (changes.length) {
      channel.postMessage("changed");
      tell();
    }
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

async function sameAs(made, entry) {
  const { list, state, printing, finish, condition, lang, decided = false } = entry;
  if (state !== "kept" || !printing?.scryfall_id) return null;
  const found = await made.all("entries", "same", [list, state, printing.scryfall_id, finish, condition, lang]);
  return found.find((other) => other.id !== entry.id && (other.decided ?? false) === decided) ?? null;
}

// Puts an entry, or counts up the one that is the same card.
async function putMerged(made, entry) {
  const other = await sameAs(made, entry);
  return (await made.put("entries", other ? countedUp(other, entry) : entry)).id;
}

// Puts what an entry has become. Where another one is the same card, that one is counted up instead.
async function putChanged(made, entry, changed) {
  const other = changed.count > 0 ? await sameAs(made, changed) : null;
  if (!other && changed.count > 0) return (await made.put("entries", changed)).id;
  await made.delete("entries", entry);
  return other && (await made.put("entries", countedUp(other, changed))).id;
}

function countedUp(entry, { count }) {
  return { ...entry, count: entry.count + count, added_at: Date.now() };
}

async function existingList(made, id) {
  const list = await made.get("lists", id);
  if (!list) throw new Error("This list was removed.");
  return list;
}

function checkedName(name) {
  if (!name.trim()) throw new Error("A list needs a name.");
  return name.trim();
}
