// Keeps the page and its cards on this device, where the browser can: with https, and on localhost.
//
//     startOffline({
//       onReady: () => say("This page now also works without a network."),
//       onUpdate: (load, cards) => showButton(cards ? "New cards are there" : "The page is new", load),
//     });
//
//     keepWords();
//
// Call it when the cards are loaded: it fetches what is not here yet. service_worker.js does the work.

const SECONDS_BETWEEN_LOOKS = 600; // while the page stays open: a new export is a matter of days

/** The page has fetched the words: from now on they are kept, too. Few people need them, so not before. */
export async function keepWords() {
  (await navigator.serviceWorker?.ready)?.active?.postMessage({ type: "words" });
}

/**
 * onReady: everything is on this device now, for the first time. onUpdate: something newer is there, also new cards if
 * cards is true; load() loads the page with it. Returns false where the browser keeps nothing: on http, in some private
 * windows, and with a certificate that it does not trust. There, the page works as it would without this.
 * @param {{ onReady: () => void, onUpdate: (load: () => void, cards: boolean) => void }} heard
 */
export async function startOffline({ onReady, onUpdate }) {
  const container = navigator.serviceWorker;
  if (!container) return false;
  let looked = 0;
  const send = async (/** @type {object} */ message) => (await container.ready).active?.postMessage(message);
  const look = () => {
    looked = Date.now();
    send({ type: "look" });
  };

  container.addEventListener("message", ({ data }) => {
    if (data.type === "kept") onReady();
    if (data.type === "update") onUpdate(() => send({ type: "take" }), data.cards);
    if (data.type === "taken") location.reload();
  });
  try {
    await container.register(new URL("../service_worker.js", import.meta.url));
  } catch {
    return false;
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - looked > SECONDS_BETWEEN_LOOKS * 1000) look();
  });
  window.addEventListener("online", look);
  look();
  return true;
}
