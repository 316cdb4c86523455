// One card: a large picture, what is known of it, its printings, and cards with similar pictures.
//
//     const view = cardView({ card, printings, like }, { addToList });
//     view.show({ id: faceId });

import { pictureOf, printingText, tileOf } from "./card_tile.js";
import { make, say, showError } from "./dom.js";

const SIMILAR = 12;
const MANY = 12; // printings: so many are shown at first

/**
 * @param {{card: (id: string) => Promise<any>, printings: (row: number) => Promise<any[]>,
 *   like: (row: number, options: object) => Promise<any[]>, about: any}} engine
 * @param {{addToList: (face: any, printing: any) => void}} actions
 */
export function cardView(engine, { addToList }) {
  const element = make("article", { class: "card-view" });
  let asked = 0;
  let title = "Card scanner";

  async function show({ id }) {
    const mine = ++asked;
    try {
      const { row, record } = await engine.card(id);
      if (mine !== asked) return;
      title = `${record.name} · Card scanner`;
      const printings = make("section", { "aria-labelledby": "printings-title" });
      const similar = make("section", { class: "similar", "aria-labelledby": "similar-title" });
      element.replaceChildren(
        make("div", { class: "large" }, pictureOf(record, { lazy: false })),
        make("div", { class: "facts" }, make("h1", {}, record.name), ...factsOf(record),
          make("div", { class: "actions" },
            make("button", { type: "button", class: "main", onclick: () => addToList({ row, record }, record) },
              "Add to the list"),
            /^https?:\/\//.test(record.scryfall_uri) && make("a", { class: "button", href: record.scryfall_uri,
              target: "_blank", rel: "noopener" }, "Open on Scryfall")),
          printings),
        similar);
      say(record.name);
      fill(printings, await engine.printings(row), { row, record });
      if (mine !== asked || !engine.about.similar) return;
      const matches = await engine.like(row, { k: SIMILAR });
      if (mine !== asked) return;
      similar.append(make("h2", { id: "similar-title" }, engine.about.art ? "Similar art" : "Cards that look alike"),
        make("ul", { class: "grid", role: "list" }, ...matches.map((match) => tileOf(match))));
    } catch (error) {
      if (mine === asked) showError(error.message);
    }
  }

  function fill(section, printings, face) {
    if (!printings.length) return;
    const rows = printings.map((printing) => make("tr", {},
      make("td", {}, printingText(printing)), make("td", {}, printing.set_name || ""),
      make("td", {}, (printing.released_at || "").slice(0, 4)), make("td", {}, printing.lang.toUpperCase()),
      make("td", {}, make("button", { type: "button", class: "plain", onclick: () => addToList(face, printing),
        "aria-label": `Add ${printing.name}, ${printingText(printing)}, to the list` }, "Add"))));
    rows.slice(MANY).forEach((row) => { row.hidden = true; });
    const more = make("button", { type: "button", class: "plain", onclick: () => {
      rows.forEach((row) => { row.hidden = false; });
      more.remove();
    } }, `Show all ${printings.length}`);
    section.append(make("h2", { id: "printings-title" }, "Printings with this artwork"),
      make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {},
        ...["Number", "Set", "Year", "Language"].map((text) => make("th", { scope: "col" }, text)),
        make("td", {}))), make("tbody", {}, ...rows))));
    if (rows.length > MANY) section.append(more);
  }

  return { element, get title() { return title; }, show, hide: () => { asked += 1; } };
}

/** @param {any} record */
function factsOf(record) {
  const artist = record.artist && make("a", { href: `./?q=${encodeURIComponent(`a:"${record.artist}"`)}` },
    record.artist);
  const set = make("a", { href: `./?q=${encodeURIComponent(`set:${record.set}`)}&sort=set` },
    record.set_name || record.set.toUpperCase());
  return [
    record.type_line && make("p", { class: "type" }, record.type_line),
    make("p", {}, set, ` · ${printingText(record)}`, record.rarity ? ` · ${record.rarity}` : "",
      record.released_at ? ` · ${record.released_at.slice(0, 4)}` : ""),
    artist && make("p", {}, "Art by ", artist),
  ];
}
