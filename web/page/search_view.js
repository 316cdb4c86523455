// The results of a search, a page of them at a time: by names and terms, or by what the pictures show.
//
//     const view = searchView({ search, searchText, about });
//     view.show({ q: "t:goblin", by: "name", sort: "newest", descending: false, page: 2 });
//     view.show({ q: "a dragon", by: "picture", fit: "", page: 1 });
//
// The switch between the two is there if the index has words.

import { go, searchAddress } from "./address.js";
import { tileOf } from "./card_tile.js";
import { searchHelp } from "./search_help.js";
import { counted, make, number, replaceKeepingFocus, say, showError } from "./dom.js";

const PAGE = 60; // cards: whole rows of 2, 3, 4, 5 and 6
const SORTS = { best: "Best match", name: "Name", set: "Set and number", newest: "Newest", artist: "Artist",
  colour: "Colour" };
const WAYS = { name: "Names", picture: "Pictures" };
const FITTING = "Ordered by how well the picture fits. Cards that fit no better than by chance are left out.";
const NOTHING = "No card’s picture fits these words clearly better than the others do. Say in English what one sees, for "
  + "example “a castle at night”.";
const ALL = "All cards, ordered by how well the picture fits. Only the first ones may fit, or none.";

/** @typedef {{q: string, by: string, fit: string, sort: string, descending: boolean, page: number}} Asked */
/** @typedef {{total: number, matches: any[], title: string, notes: string[], quiet?: string}} Results */

/**
 * @param {{search: (text: string, options: object) => Promise<any>,
 *   searchText: (text: string, options: object) => Promise<any>, about: {words: number}}} engine
 */
export function searchView({ search, searchText, about }) {
  const hasWords = Boolean(about.words);
  const heading = make("h1", { class: "count" });
  const ways = make("nav", { class: "switch", "aria-label": "Search in", hidden: !hasWords });
  const notes = make("ul", { class: "notes", role: "list" });
  const order = make("p", { class: "quiet order" });
  const sort = /** @type {HTMLSelectElement} */ (make("select", { id: "sort" },
    ...Object.entries(SORTS).map(([value, label]) => make("option", { value }, label))));
  const reverse = make("button", { type: "button", "aria-pressed": "false" }, "Reverse");
  const sorting = make("div", { class: "sort" }, make("label", { for: "sort" }, "Sort by"), sort, reverse);
  const other = make("p", { class: "other" }); // another way to search
  const grid = make("ul", { class: "grid", role: "list" });
  const pages = make("nav", { class: "pages", "aria-label": "Pages of results" });
  const element = make("section", { class: "search", "aria-label": "Search results" }, ways,
    make("div", { class: "tools" }, heading, sorting), order, notes, other, grid, pages, searchHelp(hasWords));
  let shown = /** @type {Asked} */ ({ q: "", by: "name", fit: "", sort: "best", descending: false, page: 1 });
  let asked = 0;
  let hasFailed = false;

  sort.addEventListener("change", () => go(searchAddress({ q: shown.q, sort: sort.value })));
  reverse.addEventListener("click", () => go(searchAddress({ ...shown, descending: !shown.descending, page: 1 })));

  async function show(/** @type {Asked} */ address) {
    const mine = ++asked;
    const by = hasWords && address.by === "picture" ? "picture" : "name";
    if (by !== shown.by) clear();
    shown = { ...address, by };
    sort.value = address.sort in SORTS ? address.sort : "best";
    reverse.setAttribute("aria-pressed", String(address.descending));
    reverse.hidden = sort.value === "best";
    sorting.hidden = by === "picture";
    replaceKeepingFocus(ways, ...Object.entries(WAYS).map(([way, label]) => make("a", { "data-key": way,
      href: searchAddress({ q: address.q, by: way }), "aria-current": way === by && "true" }, label)));
    if (by === "picture") heading.textContent = "Searching the pictures";
    try {
      const results = await (by === "picture" ? byPicture(shown) : byName(shown));
      if (mine !== asked) return;
      if (hasFailed) showError("");
      hasFailed = false;
      fill(results);
    } catch (error) {
      if (mine !== asked) return;
      hasFailed = true;
      clear();
      heading.textContent = "The search could not be done";
      showError(error.message);
    }
  }

  /** @type {(address: Asked) => Promise<Results>} */
  async function byName({ q, descending, page }) {
    const { total, matches, notes: said } = await search(q, {
      sort: sort.value, descending, offset: (page - 1) * PAGE, limit: PAGE });
    return { total, matches, notes: said, title: total ? counted(total, "card") : "No card fits" };
  }

  /** @type {(address: Asked) => Promise<Results>} */
  async function byPicture({ q, fit, page }) {
    const { total, matches } = await searchText(q, { k: PAGE, offset: (page - 1) * PAGE,
      ...(fit === "any" ? { least: -Infinity } : {}) });
    return { total, matches, notes: total ? [] : [NOTHING],
      title: total ? counted(total, "card") : "No picture stands out",
      quiet: fit === "any" ? ALL : total ? FITTING : "" };
  }

  function fill(/** @type {Results} */ { total, matches, title, notes: said, quiet = "" }) {
    heading.textContent = title;
    order.textContent = quiet;
    notes.replaceChildren(...said.map((text) => make("li", {}, text)));
    other.replaceChildren(...otherWays(total, said));
    grid.replaceChildren(...matches.map((match) => tileOf(match)));
    showPages(total);
    say([`${title}.`, quiet, ...said].join(" "));
  }

  // Where names have no answer, pictures may have one. Where no picture stands out, the nearest ones may do.
  function otherWays(total, said) {
    const { q, by } = shown;
    const link = (to, label) => make("a", { class: "button", href: searchAddress({ q, by: "picture", ...to }) }, label);
    if (by === "name") {
      const isSentence = /\s/.test(q.trim()) && !/[:<>=!"()]/.test(q);
      return hasWords && isSentence && (!total || said.length) ? [link({}, `Search the pictures for “${q.trim()}”`)] : [];
    }
    return !total ? [link({ fit: "any" }, "Show the cards that come nearest")] : [];
  }

  function clear() {
    order.textContent = "";
    for (const part of [notes, other, grid, pages]) part.replaceChildren();
  }

  function showPages(total) {
    const last = Math.ceil(total / PAGE);
    pages.hidden = last < 2;
    const link = (page, label, isThere) => (isThere
      ? make("a", { href: searchAddress({ ...shown, page }), class: "button" }, label)
      : make("span", { class: "button off", "aria-hidden": "true" }, label));
    const from = (shown.page - 1) * PAGE;
    pages.replaceChildren(
      link(1, "First", shown.page > 1), link(shown.page - 1, "Previous", shown.page > 1),
      make("span", {}, `${number.format(Math.min(from + 1, total))} to ${number.format(Math.min(from + PAGE, total))} `
        + `of ${number.format(total)}`),
      link(shown.page + 1, "Next", shown.page < last), link(last, "Last", shown.page < last));
  }

  return { element, get title() { return `${shown.q} · Card scanner`; }, show, hide: () => { asked += 1; } };
}
