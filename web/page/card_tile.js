// A card as the page shows it: its picture, its name, where it was printed.
//
//     list.append(tileOf({ row, record }));

import { make } from "./dom.js";

// scripts/serve.py sets this where it has the card pictures on this machine. Else they come from Scryfall.
const LOCAL_PICTURES = document.body.dataset.pictures;

/**
 * The picture of a face. Where none can be loaded, the name stands in its place.
 * @param {{name: string, image_url?: string, card_url?: string}} face
 */
export function pictureOf(face, { lazy = true } = {}) {
  const sources = [face.card_url, face.image_url].filter((source) => source && /^https?:/.test(source));
  if (LOCAL_PICTURES && face.image_url) sources.unshift(LOCAL_PICTURES + encodeURIComponent(face.image_url));
  const image = /** @type {HTMLImageElement} */ (make("img", {
    alt: "", width: 488, height: 680, loading: lazy ? "lazy" : null, decoding: "async",
  }));
  const frame = make("span", { class: "picture", "data-name": face.name }, image);
  const next = () => {
    const source = sources.shift();
    if (source) image.src = source;
    else frame.classList.add("missing");
  };
  image.onerror = next;
  next();
  return frame;
}

/**
 * Set and number as they stand on the card: "MH1 17".
 * @param {{set: string, collector_number: string}} face
 */
export function printingText({ set, collector_number: collectorNumber }) {
  return `${set.toUpperCase()} ${collectorNumber}`;
}

/** @param {{face_id: string}} face */
export function cardAddress({ face_id: faceId }) {
  return `#card=${encodeURIComponent(faceId)}`;
}

/**
 * A card of a list of cards.
 * @param {{record: any}} match
 */
export function tileOf({ record }) {
  return make("li", { class: "tile" },
    make("a", { href: cardAddress(record) }, pictureOf(record), make("span", { class: "name" }, record.name)),
    make("span", { class: "quiet" }, printingText(record), record.set_name ? ` · ${record.set_name}` : ""));
}
