// Search the cards of an index that export_for_browser.py wrote, in a page, with no server.
//
//     import { openIndex } from "./search.js";
//
//     const index = await openIndex("./");                        // where meta.json and embeddings.i8bin lie
//     const { total, matches } = await index.find("bolt lea", { k: 10 });   // by name, set, collector number
//     const similar = await index.like(matches[0].row);                     // more like this
//     const answer = await index.name(file);             // a picture: File, Blob, ImageData, image, video or canvas
//     if (answer.accepted) show(answer.matches[0].record.name);             // else: not sure
//
// Each gives k matches, 24 unless told. index.name(picture, { frame: { x, y, width, height } }) looks at a part of the
// picture, in its pixels. The card has to be upright and fill the frame, or the picture.
// A match is {row, score, record}: record as in meta.json, score the cosine (none where a name was looked for). An
// answer to a picture is {accepted, likeness, margin, matches}: it is the hashes' likeness that decides. Of several
// printings of one artwork the first match is the most alike, not surely the one in the picture.
// Everything runs in a worker. Errors are Errors with a sentence for the person who reads it. To use it elsewhere,
// copy the .js files beside each other, and vendor/ for pictures.

const MATCHES = 24;

// Opens the index at base, a URL relative to the page. onProgress({what, part}) is told what is loading, part 0 to 1:
// "cards" and "vectors" now, "model" with the first picture.
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
    const error = new Error(`The search could not start: ${event.message ?? "worker.js is not there"}.`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };

  const about = await ask("open", new URL(base, document.baseURI).href).catch((error) => {
    worker.terminate();
    throw error;
  });
  return {
    about, // {cards, dimension, model, pictures}: pictures says whether the model was exported too
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

// What a worker can be sent: an element's picture becomes an ImageBitmap.
async function sendable(picture) {
  if (picture instanceof Blob || picture instanceof ImageData) return picture;
  try {
    return await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This is no picture: give a File, Blob or ImageData, or an image, video or canvas element.");
  }
}
