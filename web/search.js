// Searches the cards of an index in a page, and names the cards in pictures, without a server. export_for_browser.py
// wrote the index.
//
//     import { openIndex } from "./search.js";
//
//     const index = await openIndex("./");                        // where meta.json and embeddings.i8bin are
//     const { total, matches } = await index.search("t:goblin c:r", { limit: 10 });
//     const similar = await index.like(matches[0].row);                     // similar art
//     const dragons = await index.searchText("a dragon over a burning village");     // by what the pictures show
//     const { cards } = await index.name(file);          // a picture: File, Blob, ImageData, image, video or canvas
//     for (const card of cards) show(card.state, card.matches[0].name, card.quad);
//
// A match of search, like and nearest is {row, score, record}. record is the card's record in meta.json. score is the
// cosine, and a search by text has none. like and nearest give k of them, or 24 without k; search gives `limit`, or 60.
// name() gives {cards, width, height, seconds}. A card is an object as in the JSON of query_index.py, which
// docs/naming.md explains. Its corners are in pixels of the picture, which has this width and height. The options:
//     k       matches of each card, at most. 3 without it
//     quad    [[x, y] x 4]: the corners of the card, if a person has set them. Only this place is looked at
//     camera  true: the picture is one of many, so that a few places are enough
//     near    the corners of the cards in the picture before: with camera, they are looked for there
//     read    false: nothing that is printed is read
//     onFirst hears the answer before anything is read, if a card is recognised. Reading takes a second or two
//
// searchText() takes a text or several, which add up. It gives {total, least, matches}. A match is {row, record,
// stands_out, cosines}: docs/recipes/find-by-words.md explains the numbers. Its options:
//     pictures  pictures that the cards shall resemble
//     exclude   texts: what the cards shall not show
//     k         matches, at most. 10 without it
//     least     how far a card must stand out. Without it, as far as one of all cards does by chance
//
// Everything runs in a worker. Every error is an Error whose message is a sentence for the person who reads it.
// To use the search in another page, copy the folders of .js files and vendor/.

import { decode } from "./recognition/preparation.js";

const MATCHES = 24; // of a card, by how alike they are
const TEXT_MATCHES = 10; // of words
const CARD_MATCHES = 3; // of a card in a picture

/**
 * Opens the index at base, a URL relative to the page. onProgress({what, part}) hears what is loading: what is "cards"
 * or "vectors" now, "model" with the first picture, and "words" with the first searchText(). part goes from 0 to 1.
 * @param {string} [base]
 * @param {import("./index/card_index.js").OnProgress} [onProgress]
 */
export async function openIndex(base = "./", onProgress = () => {}) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let last = 0;

  const asked = (method, args, moved = [], onFirst = () => {}) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject, onFirst });
    worker.postMessage({ id: last, method, args }, moved);
  });
  const ask = (method, ...args) => asked(method, args);
  const askPicture = async (method, picture, args = [], onFirst = () => {}) => {
    const { sent, moved } = await sendable(picture);
    return asked(method, [sent, ...args], moved, onFirst);
  };
  worker.onmessage = ({ data: { id, progress, first, result, error } }) => {
    if (progress) return onProgress(progress);
    const { resolve, reject, onFirst } = waiting.get(id);
    if (first) return onFirst(first);
    waiting.delete(id);
    return error === undefined ? resolve(result) : reject(new Error(error));
  };
  worker.onerror = (event) => {
    const why = event.message ?? "worker.js is missing, or this browser runs no modules in a worker";
    const error = new Error(`The search could not start: ${why}.`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };

  const about = await ask("open", new URL(base, document.baseURI).href).catch((error) => {
    worker.terminate();
    throw error;
  });
  return {
    // {cards, dimension, model, similar, art, pictures, words, lacking}. pictures is true where the model was exported
    // too, and art where vectors of the art were. words is the bytes of what searchText() fetches first, and 0 where the
    // index was exported without it. similar, pictures, words and lacking also say what this browser can do
    // (abilities.js).
    about,
    search: (text, options = {}) => ask("search", text, options),
    card: (faceId) => ask("card", faceId),
    printings: (row) => ask("printings", row),
    listed: (lines) => ask("listed", lines),
    like: (row, { k = MATCHES, region = "art" } = {}) => ask("like", row, { k, region }),
    nearest: (vector, { k = MATCHES } = {}) => ask("nearest", vector, k),
    embed: (picture) => askPicture("embed", picture),
    async searchText(texts, { pictures = [], exclude = [], k = TEXT_MATCHES, offset = 0, least = undefined } = {}) {
      const ready = await Promise.all(/** @type {any[]} */ ([pictures].flat()).map(sendable));
      const options = { exclude: [exclude].flat(), k, offset, least };
      return asked("searchText", [[texts].flat(), ready.map(({ sent }) => sent), options],
        ready.flatMap(({ moved }) => moved));
    },
    name: (picture, {
      k = CARD_MATCHES, quad = null, read = true, camera = false, near = [], onFirst = () => {},
    } = {}) => askPicture("name", picture, [{ k, quad, read, camera, near }], onFirst),
    close() {
      worker.terminate();
      for (const { reject } of waiting.values()) reject(new Error("The index was closed."));
      waiting.clear();
    },
  };
}

// A picture as it is sent to the worker, and what moves there without a copy: an element becomes an ImageBitmap. A
// worker reads pictures with an OffscreenCanvas. Browsers without it read them here.
async function sendable(picture) {
  if (picture instanceof ImageData) return { sent: picture, moved: [] };
  let bitmap = picture;
  try {
    if (!(picture instanceof Blob)) bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This is no picture: give a File, Blob or ImageData, or an image, video or canvas element.");
  }
  if (!globalThis.OffscreenCanvas) return { sent: await decode(bitmap), moved: [] };
  return { sent: bitmap, moved: bitmap instanceof Blob ? [] : [bitmap] };
}
