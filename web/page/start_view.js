// What the page shows first: what it is for, and the three ways in.
//
//     const view = startView({ choosePhoto });
//     main.replaceChildren(view.element);

import { searchAddress } from "./address.js";
import { icon, make } from "./dom.js";
import { searchHelp } from "./search_help.js";

const EXAMPLES = ["t:goblin c:r", "a:guay", "set:mh1 r>=rare", "lightnig bolt"];

const SHOWN = ["a dragon over a burning village", "a castle at night"]; // by pictures

/**
 * @param {{choosePhoto: () => void}} actions
 * @param {boolean} hasWords  whether cards are also found by what their pictures show
 */
export function startView({ choosePhoto }, hasWords) {
  const element = make("section", { class: "start", "aria-labelledby": "start-title" },
    make("h1", { id: "start-title" }, "Find out which Magic cards you have."),
    make("p", { class: "lead" }, "Show them to the camera, give a photo, or search. "
      + "Everything happens on this device: no picture leaves it."),
    make("div", { class: "ways" },
      way("camera", "Scan cards", "Lay one after the other under the camera. You get a list that your collection "
        + "manager imports.", { href: "#scan" }),
      way("photo", "Look at a photo", "One card or many, at any angle. You can also drop or paste a picture.",
        { href: "#photo", onclick: choosePhoto }),
      way("search", "Search", "By name, artist, type, set, number, colour or rarity. Typing errors are forgiven.",
        { href: "./?q=", onclick: focusSearch })),
    make("p", { class: "quiet", id: "examples" }, "Search as on Scryfall: ", ...EXAMPLES.flatMap((text, at) => [
      at ? ", " : "", make("a", { href: searchAddress({ q: text }) }, text)])),
    hasWords && make("p", { class: "quiet", id: "shown" }, "Or for what a picture shows: ", ...SHOWN.flatMap((text, at) => [
      at ? ", " : "", make("a", { href: searchAddress({ q: text, by: "picture" }) }, text)])), searchHelp(hasWords));
  return { element, title: "Card scanner", show() {}, hide() {} };
}

function way(symbol, title, text, attributes) {
  return make("a", { class: "way", ...attributes }, icon(symbol), make("span", {},
    make("b", {}, title), make("span", {}, text)));
}

/** @param {Event} event */
function focusSearch(event) {
  event.preventDefault();
  document.getElementById("text")?.focus();
}
