// Changes an entry of a list, in a dialog: its printing, count, finish, language and condition.
//
//     await openEntry(engine, kept, entry);

import { printingText } from "./card_tile.js";
import { make, showError, toast } from "./dom.js";
import { defaultFinish } from "./kept.js";

const FINISHES = ["nonfoil", "foil", "etched"];
const CONDITIONS = ["near_mint", "lightly_played", "moderately_played", "heavily_played", "damaged"];
const WORDS = { nonfoil: "Not foil", foil: "Foil", etched: "Etched foil", near_mint: "Near mint",
  lightly_played: "Lightly played", moderately_played: "Moderately played", heavily_played: "Heavily played",
  damaged: "Damaged" };

/**
 * @param {{printings: (row: number) => Promise<any[]>}} engine
 * @param {any} kept
 * @param {any} entry
 */
export async function openEntry(engine, kept, entry) {
  const known = entry.row === null ? [] : await engine.printings(entry.row).catch(() => []);
  const printings = known.length ? withFirst(known, entry.printing) : [entry.printing];
  let printing = entry.printing;
  const filter = /** @type {HTMLInputElement} */ (make("input", { type: "search", placeholder: "Set, number or year",
    "aria-label": "Search the printings" }));
  const list = make("ul", { class: "printings", role: "list" });
  const finish = choice(FINISHES);
  const lang = choice(Object.keys(kept.languages), kept.languages);
  const condition = choice(CONDITIONS);
  const count = /** @type {HTMLInputElement} */ (make("input", { type: "number", min: 1, max: 9999, value: entry.count,
    inputmode: "numeric" }));
  const dialog = /** @type {HTMLDialogElement} */ (make("dialog", { "aria-labelledby": "entry-title", class: "wide" },
    make("h2", { id: "entry-title" }, entry.printing.name),
    make("fieldset", {}, make("legend", {}, printings.length > 1 ? `Printing, of ${printings.length}` : "Printing"),
      printings.length > 6 && filter, list),
    make("div", { class: "fields" }, field("Count", count), field("Finish", finish), field("Language", lang),
      field("Condition", condition)),
    make("div", { class: "actions" },
      make("button", { type: "button", class: "main", onclick: save }, "Save"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      make("button", { type: "button", class: "plain", onclick: remove }, "Remove from the list"))));

  function showPrintings() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = printings.filter((one) => {
      const text = `${one.set} ${one.set_name} ${one.collector_number} ${one.released_at} ${one.lang}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...shown.map((one) => make("li", {}, make("label", {},
      make("input", { type: "radio", name: "printing", checked: isSame(one, printing), onchange: () => choose(one) }),
      make("span", {}, make("b", {}, printingText(one)), ` ${one.set_name || ""}`,
        make("span", { class: "quiet" }, ` ${(one.released_at || "").slice(0, 4)}`,
          one.lang === "en" ? "" : ` ${kept.languages[one.lang] ?? one.lang}`))))));
  }

  function choose(one) {
    printing = one;
    const exists = one.finishes?.length ? one.finishes : FINISHES;
    for (const option of finish.options) option.disabled = !exists.includes(option.value);
    if (!exists.includes(finish.value)) finish.value = defaultFinish(one.finishes) in WORDS ? exists[0] : "nonfoil";
    if (known.length) lang.value = one.lang in kept.languages ? one.lang : lang.value;
  }

  async function save() {
    try {
      await kept.change(entry.id, { printing, lang: lang.value, finish: finish.value, condition: condition.value,
        count: Math.max(1, Math.trunc(Number(count.value)) || 1), decided: true });
      dialog.close();
    } catch (error) {
      showError(error.message);
    }
  }

  async function remove() {
    await kept.remove(entry.id);
    dialog.close();
    toast(`${entry.printing.name} was removed.`, { label: "Undo", run: () => kept.undo() });
  }

  filter.addEventListener("input", showPrintings);
  finish.value = entry.finish;
  choose(entry.printing);
  finish.value = entry.finish;
  lang.value = entry.lang;
  condition.value = entry.condition;
  showPrintings();
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function isSame(one, other) {
  return one.scryfall_id === other.scryfall_id && one.lang === other.lang;
}

// The printings, with the entry's own first: it may be of another list of printings.
function withFirst(printings, first) {
  const same = printings.find((one) => isSame(one, first)) ?? first;
  return [same, ...printings.filter((one) => one !== same)];
}

/** @returns {HTMLSelectElement} */
function choice(values, words = WORDS) {
  return /** @type {HTMLSelectElement} */ (make("select", {}, ...values.map((value) => make("option", { value },
    words[value]))));
}

function field(label, input) {
  return make("label", { class: "field" }, make("span", {}, label), input);
}
