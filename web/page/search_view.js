// The results of a search, a page of them at a time.
//
//     const view = searchView({ search });
//     view.show({ q: "t:goblin", sort: "newest", descending: false, page: 2 });

import { go, searchAddress } from "./address.js";
import { tileOf } from "./card_tile.js";
import { searchHelp } from "./search_help.js";
import { counted, make, number, say, showError } from "./dom.js";

const PAGE = 60; // cards: whole rows of 2, 3, 4, 5 and 6
const SORTS = { best: "Best match", name: "Name", set: "Set and number", newest: "Newest", artist: "Artist",
  colour: "Colour" };
/** @param {{search: (text: string, options: object) => Promise<any>}} engine */
export function searchView({ search }) {
  const heading = make("h1", { class: "count" });
  const notes = make("ul", { class: "notes", role: "list" });
  const sort = /** @type {HTMLSelectElement} */ (make("select", { id: "sort" },
    ...Object.entries(SORTS).map(([value, label]) => make("option", { value }, label))));
  const order = make("button", { type: "button", "aria-pressed": "false" }, "Reverse");
  const grid = make("ul", { class: "grid", role: "list" });
  const pages = make("nav", { class: "pages", "aria-label": "Pages of results" });
  const element = make("section", { class: "search", "aria-label": "Search results" },
    make("div", { class: "tools" }, heading,
      make("div", { class: "sort" }, make("label", { for: "sort" }, "Sort by"), sort, order)),
    notes, grid, pages, searchHelp());
  let shown = { q: "", sort: "best", descending: false, page: 1 };
  let asked = 0;

  sort.addEventListener("change", () => go(searchAddress({ q: shown.q, sort: sort.value })));
  order.addEventListener("click", () => go(searchAddress({ ...shown, descending: !shown.descending, page: 1 })));

  async function show(address) {
    const mine = ++asked;
    shown = address;
    sort.value = address.sort in SORTS ? address.sort : "best";
    order.setAttribute("aria-pressed", String(address.descending));
    order.hidden = sort.value === "best";
    try {
      const { total, matches, notes: said } = await search(address.q, {
        sort: sort.value, descending: address.descending, offset: (address.page - 1) * PAGE, limit: PAGE });
      if (mine !== asked) return;
      heading.textContent = total ? counted(total, "card") : "No card fits";
      notes.replaceChildren(...said.map((text) => make("li", {}, text)));
      grid.replaceChildren(...matches.map((match) => tileOf(match)));
      showPages(total);
      say(`${heading.textContent}. ${said.join(" ")}`);
    } catch (error) {
      if (mine === asked) showError(error.message);
    }
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
