// Runs a card index in a worker, so that the page stays responsive. search.js sends {id, method, args}. It gets back
// {id, progress} while something loads, {id, first} where a method has a first answer, and then {id, result} or
// {id, error}.

import { openIndex } from "./recognition/open_index.js";

let index = /** @type {any} */ (null); // methods are called by their names

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "open") index = await openIndex(args[0], (progress) => self.postMessage({ id, progress }));
    const tell = (first) => self.postMessage({ id, first });
    self.postMessage({ id, result: method === "open" ? index.about : await index[method](...args, tell) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
