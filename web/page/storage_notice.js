// Warns where the browser may delete the lists, and offers to ask it not to.
//
//     const notice = await storageNotice();              // an element, or null

import { attempt, make, toast } from "./dom.js";

export async function storageNotice() {
  const { persisted, canAsk } = await persistence();
  if (persisted) return null;
  const button = make("button", { type: "button", class: "plain", onclick: () => attempt(ask) },
    "Ask the browser to keep them");
  const notice = make("p", { class: "notice" }, "The lists are kept in this browser. It may delete them when it runs "
    + "out of space: export what you need. ", canAsk && button);

  async function ask() {
    if (await navigator.storage.persist()) notice.remove();
    else toast("The browser did not agree. It asks more readily for a page that is bookmarked or installed.");
  }

  return notice;
}

// How safe the lists are. persisted: the browser does not remove them by itself. canAsk: it can be asked not to.
async function persistence() {
  const { storage } = navigator; // on https and localhost only
  const persisted = Boolean(await storage?.persisted?.());
  return { persisted, canAsk: !persisted && Boolean(storage?.persist) };
}
