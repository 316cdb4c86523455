// A kept list: its entries, what waits for review, and the ways in and out.
//
//     const view = listView(engine, kept, about);
//     view.show({ id: listId });

import { go } from "./address.js";
import { cardAddress, pictureOf, printingText } from "./card_tile.js";
import { attempt, counted, make, oncePerFrame, replaceKeepingFocus, toast } from "./dom.js";
import { openEntry } from "./entry_dialog.js";
import { entryOfCandidate, locked, printingsOf } from "./kept.js";
import { transferPanel } from "./transfer.js";
import { storageNotice } from "./storage_notice.js";

const PAGE = 100; // entries shown at first

/**
 * @param {any} engine
 * @param {any} kept
 */
export function listView(engine, kept) {
  const heading = make("h1", { tabindex: "-1" });
  const chooser = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": "List",
    onchange: () => go(`#list=${chooser.value}`) }));
  const menu = /** @type {HTMLDetailsElement} */ (make("details", { class: "menu" }, make("summary", {}, "Lists"),
    make("div", { onclick: () => { menu.open = false; } },
      make("button", { type: "button", class: "plain", onclick: () => attempt(create) }, "New list"),
      make("button", { type: "button", class: "plain", onclick: () => attempt(rename) }, "Rename this list"),
      make("button", { type: "button", class: "plain", onclick: () => attempt(remove) }, "Delete this list"))));
  const undo = make("button", { type: "button", class: "plain", onclick: () => attempt(takeBack) }, "Undo");
  const notice = make("div");
  const review = make("section", { class: "review", "aria-labelledby": "review-title" });
  const entries = make("ul", { class: "entries", role: "list" });
  const more = make("button", { type: "button", class: "button", onclick: () => {
    limit += PAGE;
    redraw();
  } });
  const empty = make("p", { class: "empty" }, "Nothing is on this list yet. ",
    make("a", { href: "#scan" }, "Scan cards"), ", ", make("a", { href: "#photo" }, "look at a photo"),
    " or search for cards and add them.");
  const transfer = transferPanel(engine, kept);
  const element = make("section", { class: "list", "aria-label": "List" },
    make("div", { class: "tools" }, heading, make("div", { class: "sort" }, chooser, undo,
      menu)),
    notice, transfer.element, review, entries, empty, more);
  let limit = PAGE;
  let shownId = /** @type {any} */ (null);
  let isShown = false; // with the notice, which is asked for once each time

  const redraw = oncePerFrame(() => element.isConnected && attempt(draw));
  kept.onChange(redraw);

  async function show({ id }) {
    await attempt(async () => {
      if (id) await kept.use(id);
      await draw();
      if (!isShown) notice.replaceChildren(...[await storageNotice()].filter((told) => told !== null));
      isShown = true;
    });
  }

  function hide() {
    isShown = false;
  }

  async function draw() {
    const all = await kept.refresh();
    const current = kept.current();
    const found = await kept.entries();
    if (shownId !== current.id) limit = PAGE;
    shownId = current.id;
    const waiting = found.filter(({ state }) => state === "review");
    const sure = found.filter(({ state }) => state === "kept");
    heading.textContent = counted(sure.reduce((sum, { count }) => sum + count, 0), "card");
    chooser.replaceChildren(...all.map((list) => make("option", { value: list.id, selected: list.id === current.id },
      `${list.name} (${list.count})`)));
    undo.toggleAttribute("disabled", !kept.canUndo());
    replaceKeepingFocus(entries, ...sure.slice(0, limit).map(line));
    more.hidden = sure.length <= limit;
    more.textContent = `Show more of ${sure.length}`;
    empty.hidden = found.length > 0;
    showReview(waiting);
    transfer.show(found);
  }

  function line(entry) {
    const { name } = entry.printing;
    return make("li", {},
      entry.face === null ? pictureOf({ ...entry, name }) : make("a", { href: cardAddress({ face_id: entry.face }),
        tabindex: "-1", "aria-hidden": "true" }, pictureOf({ ...entry, name })),
      make("button", { type: "button", class: "text", "aria-label": `Change ${name}`, "data-key": `${entry.id}`,
        onclick: () => attempt(() => openEntry(engine, kept, entry)) }, make("b", {}, name),
      make("span", { class: "quiet" }, describe(entry, kept.languages)),
      !entry.decided && make("span", { class: "doubt" }, "printing not sure")),
      make("span", { class: "stepper" },
        make("button", { type: "button", onclick: () => step(entry, -1), "aria-label": `One ${name} less`,
          "data-key": `${entry.id} −` }, "−"),
        make("output", {}, String(entry.count)),
        make("button", { type: "button", onclick: () => step(entry, 1), "aria-label": `One more ${name}`,
          "data-key": `${entry.id} +` }, "+")));
  }

  function showReview(waiting) {
    review.hidden = !waiting.length;
    if (!waiting.length) return review.replaceChildren();
    replaceKeepingFocus(review, make("h2", { id: "review-title" }, `${counted(waiting.length, "card")} to review`),
      make("p", { class: "quiet" }, "Which card was it? These are the most alike."),
      make("ul", { class: "entries", role: "list" }, ...waiting.slice(0, PAGE).map(choices)));
  }

  function choices(entry) {
    return make("li", { class: "choices" },
      make("ul", { class: "matches", role: "list" }, ...entry.candidates.map((candidate) => make("li", {},
        make("button", { type: "button", onclick: () => decide(entry, candidate),
          "aria-label": `It was ${candidate.name}`, "data-key": `${entry.id} ${candidate.face}` }, pictureOf(candidate),
        make("span", { class: "name" }, candidate.name),
        make("span", { class: "quiet" }, printingText(candidate.printing)))))),
      make("div", { class: "actions" },
        make("button", { type: "button", class: "plain", onclick: () => drop(entry), "data-key": `${entry.id} none` },
          "None of these"),
        make("a", { href: "./?q=", class: "button plain" }, "Search for it")));
  }

  function decide(entry, candidate) {
    return change(async () => {
      const printings = await printingsOf(engine, candidate.face, candidate.printing);
      await kept.change(entry.id, { ...entryOfCandidate(candidate, printings, locked()), count: entry.count });
    }, `${candidate.name} is on the list.`);
  }

  const drop = (entry) => change(() => kept.remove(entry.id), `${entry.printing.name} was removed.`);

  function step(entry, by) {
    if (entry.count + by < 1) return drop(entry);
    return change(() => kept.change(entry.id, { count: entry.count + by }));
  }

  // Each change of the lists is told to redraw(), also those that are made here.
  function change(run, said = "") {
    return attempt(async () => {
      await run();
      if (said) toast(said, { label: "Undo", run: () => attempt(takeBack) });
    });
  }

  async function takeBack() {
    if (await kept.undo()) toast("Undone.");
  }

  async function create() {
    const name = prompt("Name of the new list");
    if (!name?.trim()) return;
    await kept.create(name.trim());
    go(`#list=${kept.current().id}`);
  }

  async function rename() {
    const name = prompt("New name of the list", kept.current().name);
    if (name?.trim()) await change(() => kept.rename(kept.current().id, name.trim()));
  }

  async function remove() {
    const { id, name, count } = kept.current();
    if (!confirm(`Delete the list “${name}” with ${counted(count, "card")}?`)) return;
    await change(() => kept.removeList(id), `“${name}” was deleted.`);
  }

  return { element, title: "List · Card scanner", show, hide };
}

function describe({ printing, lang, finish, condition }, languages) {
  return [printingText(printing), printing.set_name, lang === "en" ? "" : languages[lang] ?? lang,
    finish === "nonfoil" ? "" : finish, condition === "near_mint" ? "" : condition.replaceAll("_", " ")]
    .filter(Boolean).join(" · ");
}
