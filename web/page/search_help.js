// The words of the search, for those who want to know them.
//
//     section.append(searchHelp());

import { make } from "./dom.js";

const HELP = [
  ["bolt", "a name, also with typing errors"], ["\"lim-dul's\"", "exactly these words"],
  ["t:goblin", "type"], ["a:\"matt cavotta\"", "artist"], ["set:mh1", "set, by code or name"],
  ["cn:17", "collector number"], ["c:r, c>=ug, c:azorius", "colours"], ["r>=rare", "rarity"],
  ["year>=2015", "year"], ["-t:creature", "not this"], ["t:elf or t:dwarf", "one of the two"],
];

/** @param {boolean} hasWords  whether cards are also found by what their pictures show */
export function searchHelp(hasWords) {
  return make("details", { class: "help" }, make("summary", {}, "What can be searched"),
    hasWords && make("p", {}, "Under “Pictures”, write in English what one sees: “a dragon over a burning village”. The "
      + "complete card is looked at, also its frame. Under “Names”:"),
    make("dl", {}, ...HELP.flatMap(([words, text]) =>
      [make("dt", {}, make("code", {}, words)), make("dd", {}, text)])),
    make("p", { class: "quiet" }, "Set, number, year and rarity are those of the picture in the index. A card's own "
      + "view lists its other printings."));
}
