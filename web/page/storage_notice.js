// Warns where the browser may delete the lists, and offers to ask it not to.
//
//     const notice = await storageNotice(kept);          // an element, or null

import { make, toast } from "./dom.js";

/** @param {any} kept */
export async function storageNotice(kept) {
  const { persisted, canAsk } = await kept.persistence();
  if (persisted) return null;
  const notice = make("p", { class: "notice" }, "The lists are kept in this browser. It may delete them when it runs "
    + "out of space: export what you need. ", canAsk && make("button", { type: "button", class: "plain", onclick: ask },
    "Ask the browser to keep them"));

  async function ask() {
    if (await kept.askToPersist()) notice.remove();
    else toast("The browser did not agree. It asks more readily for a page that is bookmarked or installed.");
  }

  return notice;
}
