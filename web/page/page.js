// The page: opens the index and the lists, and shows what the address asks for.

import { abilities } from "../abilities.js";
import { openIndex } from "../search.js";
import { addressed, go, onAddress, searchAddress } from "./address.js";
import { cardView } from "./card_view.js";
import { at, attempt, counted, number, showError, showLack, toast } from "./dom.js";
import { entryOf, entryOfPrinting, openKept } from "./kept.js";
import { listView } from "./list_view.js";
import { keepWords, startOffline } from "./offline.js";
import { photoView } from "./photo_view.js";
import { scanView } from "./scan_view.js";
import { searchView } from "./search_view.js";
import { startView } from "./start_view.js";

const LOADING = { cards: "Loading the cards", vectors: "Loading the vectors", model: "Loading what names pictures",
  words: "Loading the words" };
const TYPING_MS = { name: 150, picture: 700 }; // after the last key: then the results are shown
const SEARCHED = { name: "Search for cards", picture: "What the picture shows" };
const { lacking } = abilities();

let index = /** @type {any} */ (null);
let shown = /** @type {any} */ (null);
let views = /** @type {Record<string, any>} */ ({});
let noLists = ""; // why this browser keeps no lists
let noScans = ""; // why no camera is used

async function open() {
  showError("");
  try {
    index = await openIndex("./", showProgress);
  } catch (error) {
    showLoaded();
    return showError(error.message);
  }
  showLoaded();
  if (lacking) showLack(lacking);
  const kept = await openKept(index.about.collection).catch((error) => {
    noLists = error.message; // the rest of the page goes on
    return null;
  });
  const choosePhoto = () => setTimeout(() => views.photo.choose());
  views = {
    start: startView({ choosePhoto }, Boolean(index.about.words)),
    search: searchView(index),
    card: cardView(index, { addToList: ({ row, record }, printing) =>
      add(kept, [entryOfPrinting({ ...record, row }, printing)]) }),
    photo: photoView(index, { addCards: (cards) => add(kept, cards.map((card) => entryOf(card))),
      addMatch: (card, match) => add(kept, [card.accepted && match === card.matches[0] ? entryOf(card)
        : { ...entryOfPrinting(match, match), decided: false }]) }),
  };
  if (kept) {
    views.list = listView(index, kept);
    if (index.about.pictures) views.scan = scanView(index, kept);
    else noScans = noPictures();
    kept.onChange(() => showBadge(kept));
    await showBadge(kept);
  }
  const typed = text.value; // while the cards were loading
  onAddress(render);
  if (typed.trim()) {
    text.value = typed;
    search(false);
  }
}

async function add(kept, entries) {
  if (!kept) return showError(noLists);
  await attempt(async () => {
    await kept.addAll(entries);
    const what = entries.length === 1 ? `${entries[0].printing.name} is` : `${counted(entries.length, "card")} are`;
    toast(`${what} on “${kept.current().name}”.`, { label: "Show the list", run: () => go("#list") });
  });
}

async function render(/** @type {number} */ top) {
  const address = addressed();
  const view = views[address.view] ?? views.start;
  const isNew = view !== shown;
  if (isNew) {
    shown?.hide();
    at("toasts").replaceChildren(); // they were of the other view
    at("main").replaceChildren(view.element);
    shown = view;
  }
  if (view === views.start && address.view !== "start") showError(noLists || noScans);
  else if (isNew) showError("");
  if (document.activeElement !== text) {
    text.value = address.q;
    if (isNew || address.page > 1) at("main").focus({ preventScroll: true });
  }
  markWay(address.view);
  text.placeholder = SEARCHED[isByPicture(address) ? "picture" : "name"];
  at("text-label").textContent = text.placeholder;
  scrollTo(0, 0);
  await attempt(() => view.show(address));
  if (view !== shown) return;
  document.title = view.title;
  if (top) scrollTo(0, top);
}

// Marks the way in that led here, for eyes and screen readers.
function markWay(/** @type {string} */ view) {
  for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("nav [data-view]"))) {
    const mine = link.dataset.view;
    const isHere = mine === view || (mine === "start" && ["search", "card"].includes(view));
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function showBadge(kept) {
  await kept.refresh();
  const { count, waiting } = kept.current();
  at("badge").hidden = !(count + waiting);
  at("badge").textContent = number.format(count + waiting);
}

function showProgress({ what, part }) {
  if (at("error").dataset.waiting) showError(""); // start.js said that nothing arrives
  if (what === "words" && part === 1) keepWords();
  if (index && part === 1) return showLoaded();
  /** @type {HTMLProgressElement} */ (at("progress")).value = part;
  at("loading").hidden = false;
  const told = LOADING[what] + (what === "words" ? ` (${Math.round(index.about.words / 1e6)} MB, once)` : "");
  if (at("about").textContent !== told) at("about").textContent = told;
}

function showLoaded() {
  at("loading").hidden = true;
  at("about").textContent = "";
  if (index) at("summary").textContent = `${counted(index.about.cards, "card picture")} · ${index.about.model}`;
}

function isByPicture({ by }) {
  return by === "picture" && Boolean(index?.about.words);
}

// Why pictures cannot be named here.
function noPictures() {
  return lacking || "Pictures cannot be named: the index was exported without its model.";
}

function lookAt(file) {
  if (!file || !views.photo) return;
  if (!index.about.pictures) return showError(noPictures());
  views.photo.look(file);
}

const text = /** @type {HTMLInputElement} */ (at("text"));
let typing = 0;
const search = (replace) => {
  clearTimeout(typing);
  const q = text.value.trim();
  if (index) go(q ? searchAddress({ ...addressed(), fit: "", page: 1, q }) : "./", { replace });
};
at("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  search(false);
});
text.addEventListener("input", () => {
  clearTimeout(typing);
  // The first key makes a new entry in the history, the next ones change it.
  const [address, { href }] = [addressed(), location];
  typing = window.setTimeout(() => {
    if (location.href === href) search(address.view === "search"); // else the person has gone somewhere meanwhile
  }, TYPING_MS[isByPicture(address) ? "picture" : "name"]);
});
document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return; // dragged text may go into the search box
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  lookAt(event.dataTransfer.files[0]);
});
document.addEventListener("paste", ({ clipboardData }) => lookAt(clipboardData?.files[0]));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && location.hash === "#scan" && !document.querySelector("dialog[open]")) go("./");
  if (event.key === "/" && document.activeElement === document.body) {
    event.preventDefault();
    text.focus();
  }
});

await open();
startOffline({ // also where the cards could not be opened: a mended page is found then
  onUpdate(load, cards) {
    at("update").hidden = false;
    at("update-what").textContent = cards ? "There are new cards." : "There is a new version of this page.";
    at("update-now").onclick = load;
  },
  onReady: () => toast("This page now also works without a network."),
});
