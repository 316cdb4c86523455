// The database of this browser in which the kept lists are, and what may go wrong with it in words.
//
//     const db = await openDatabase();
//     await db.getAll("lists").catch((error) => { throw inWords(error); });
//
// Reads and writes  the IndexedDB database "mtg-lists"

const PROGRAM = new URL("../vendor/idb.js", import.meta.url);
export const NAME = "mtg-lists"; // of the database, and of the channel on which tabs tell each other of changes
const VERSION = 1;
export const STORES = ["lists", "entries"];
const SAME = ["list", "state", "printing.scryfall_id", "finish", "condition", "lang"];

const WORDS = {
  QuotaExceededError: "There is no room left for the lists in this browser. Nothing was changed. Export a list and "
    + "remove it, or free space on the device.",
  InvalidStateError: "The browser has closed the lists. Load the page again.",
  VersionError: "Another tab shows a newer version of this page. Load the page again.",
};

/**
 * Opens the database. idb (ISC, 12 KB) gives IndexedDB's requests as promises. It is imported here, so that the page
 * starts without it.
 */
export async function openDatabase() {
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

/**
 * The error as one whose message is a sentence for the person.
 * @param {Error} error
 */
export function inWords(error) {
  return WORDS[error.name] ? new Error(WORDS[error.name], { cause: error }) : error;
}
