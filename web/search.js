// Searches the cards of an index in a page, without a server. export_for_browser.py wrote the index.
//
//     import { openIndex } from "./search.js";
//
//     const index = await openIndex("./");                        // where meta.json and embeddings.i8bin are
//     const { total, matches } = await index.find("bolt lea", { k: 10 });   // by name, set, collector number
//     const similar = await index.like(matches[0].row);                     // more like this
//     const answer = await index.name(file);             // a picture: File, Blob, ImageData, image, video or canvas
//     if (answer.accepted) show(answer.matches[0].record.name);             // else: not sure
//
// Each call gives k matches, or 24 without k. index.name(picture, { frame: { x, y, width, height } }) looks at a part
// of the picture. The frame is in pixels. The card has to be upright, and to fill the frame or, without one, the
// picture.
//
// A match is {row, score, record}. record is the card's record in meta.json. score is the cosine, and a search by text
// has none.
// The answer to a picture is {accepted, similarity, margin, confidence, matches}. similarity says how alike the picture
// and the first match are, margin how much less alike the next card is. confidence is the similarity of the art alone.
// It decides whether the answer is accepted (likeness.js). Where an artwork has several printings, the first match may
// be another printing than the one in the picture.
//
// Everything runs in a worker. Every error is an Error whose message is a sentence for the person who reads it.
// To use the search in another page, copy the .js files into one folder, and vendor/ too if it searches pictures.

import { decode } from "./prepare.js";

const MATCHES = 24;

// Opens the index at base, a URL relative to the page. onProgress({what, part}) hears what is loading: what is "cards"
// or "vectors" now, and "model" with the first picture. part goes from 0 to 1.
export async function openIndex(base = "./", onProgress = () => {}) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let last = 0;

  const ask = (method, ...args) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, method, args });
  });
  worker.onmessage = ({ data: { id, progress, result, error } }) => {
    if (progress) return onProgress(progress);
    const { resolve, reject } = waiting.get(id);
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
    // {cards, dimension, model, similar, pictures, lacking}. pictures is true where the model was exported too.
    // similar, pictures and lacking also say what this browser can do (abilities.js).
    about,
    find: (text, { k = MATCHES } = {}) => ask("find", text, k),
    like: (row, { k = MATCHES } = {}) => ask("like", row, k),
    nearest: (vector, { k = MATCHES } = {}) => ask("nearest", vector, k),
    embed: async (picture) => ask("embed", await sendable(picture)),
    name: async (picture, { k = MATCHES, frame = null } = {}) => ask("name", await sendable(picture), k, frame),
    close() {
      worker.terminate();
      for (const { reject } of waiting.values()) reject(new Error("The index was closed."));
      waiting.clear();
    },
  };
}

// A picture that can be sent to a worker: an element becomes an ImageBitmap. A worker reads pictures with an
// OffscreenCanvas. Browsers without it read them here.
async function sendable(picture) {
  if (picture instanceof ImageData) return picture;
  let sent = picture;
  try {
    if (!(picture instanceof Blob)) sent = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This is no picture: give a File, Blob or ImageData, or an image, video or canvas element.");
  }
  return globalThis.OffscreenCanvas ? sent : decode(sent);
}
