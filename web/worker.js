// Runs a card index away from the page, which then never waits: search.js sends {id, method, args}, and gets
// {id, progress} and {id, result} or {id, error} back.

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
