// Runs a card index in a worker, so that the page stays responsive. search.js sends {id, method, args}. It gets back
// {id, progress} while something loads, and then {id, result} or {id, error}.

import { openCardIndex } from "./card_index.js";

let index = null;

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "open") index = await openCardIndex(args[0], (progress) => self.postMessage({ id, progress }));
    self.postMessage({ id, result: method === "open" ? index.about : await index[method](...args) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
