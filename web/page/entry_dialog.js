// Changes an entry of a list, in a dialog: its printing, count, finish, language and condition.
//
//     await openEntry(engine, kept, entry);

import { printingText } from "./card_tile.js";
import { attempt, field, make, toast } from "./dom.js";
import { factsOf, finishIn, isSamePrinting, printingsOf } from "./kept.js";

const FINISHES = ["nonfoil", "foil", "etched"];
const CONDITIONS = ["near_mint", "lightly_played", "moderately_played", "heavily_played", "damaged"];
const WORDS = { nonfoil: "Not foil", foil: "Foil", etched: "Etched foil", near_mint: "Near mint",
  lightly_played: "Lightly played", moderately_played: "Moderately played", heavily_played: "Heavily played",
  damaged: "Damaged" };

/**
 * @param {{card: (faceId: string) => Promise<any>, printings: (row: number) => Promise<any[]>}} engine
 * @param {any} kept
 * @param {any} entry
 */
export async function openEntry(engine, kept, entry) {
  const printings = await printingsOf(engine, entry.face, entry.printing);
  let [printing] = printings;
  const filter = /** @type {HTMLInputElement} */ (make("input", { type: "search", placeholder: "Set, number or year",
    "aria-label": "Search the printings" }));
  const list = make("ul", { class: "printings", role: "list" });
  // What an entry has stays among the choices, also if it is not among the usual ones.
  const finish = choice([...new Set([...FINISHES, entry.finish])], entry.finish);
  const lang = choice([...new Set([...Object.keys(kept.languages), entry.lang])], entry.lang, kept.languages);
  const condition = choice(CONDITIONS, entry.condition);
  const problem = make("p", { class: "notice bad", role: "alert", hidden: true }); // the page's own lies behind
  const count = /** @type {HTMLInputElement} */ (make("input", { type: "number", min: 1, max: 9999, value: entry.count,
    inputmode: "numeric" }));
  const dialog = /** @type {HTMLDialogElement} */ (make("dialog", { "aria-labelledby": "entry-title", class: "wide" },
    make("h2", { id: "entry-title" }, entry.printing.name),
    make("fieldset", {}, make("legend", {}, printings.length > 1 ? `Printing, of ${printings.length}` : "Printing"),
      printings.length > 6 && filter, list),
    make("div", { class: "fields" }, field("Count", count), field("Finish", finish), field("Language", lang),
      field("Condition", condition)),
    problem,
    make("div", { class: "actions" },
      make("button", { type: "button", class: "main", onclick: () => attempt(save, complain) }, "Save"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      make("button", { type: "button", class: "plain", onclick: () => attempt(remove, complain) },
        "Remove from the list"))));

  function showPrintings() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = printings.filter((one) => {
      const text = `${one.set} ${one.set_name} ${one.collector_number} ${one.released_at} ${one.lang}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    list.replaceChildren(...shown.map((one) => make("li", {}, make("label", {},
      make("input", { type: "radio", name: "printing", checked: one === printing, onchange: () => choose(one) }),
      make("span", {}, make("b", {}, printingText(one)), ` ${one.set_name || ""}`,
        make("span", { class: "quiet" }, ` ${(one.released_at || "").slice(0, 4)}`,
          one.lang === "en" ? "" : ` ${kept.languages[one.lang] ?? one.lang}`))))));
  }

  function choose(one) {
    printing = one;
    finish.value = finishIn(one, finish.value);
    showFinishes();
    if ([...lang.options].some(({ value }) => value === one.lang)) lang.value = one.lang;
  }

  function showFinishes() {
    const exists = printing.finishes?.length ? printing.finishes : FINISHES;
    for (const option of finish.options) option.disabled = !option.selected && !exists.includes(option.value);
  }

  async function save() {
    const isOther = !isSamePrinting(printing, entry.printing);
    await kept.change(entry.id, {
      printing: isOther ? factsOf(printing) : entry.printing, decided: true, // the person has seen it
      lang: lang.value, finish: finish.value, condition: condition.value,
      count: Math.max(1, Math.trunc(Number(count.value)) || 1),
    });
    dialog.close();
  }

  async function remove() {
    await kept.remove(entry.id);
    dialog.close();
    toast(`${entry.printing.name} was removed.`, { label: "Undo", run: () => attempt(kept.undo) });
  }

  function complain(why) {
    problem.textContent = why;
    problem.hidden = false;
  }

  filter.addEventListener("input", showPrintings);
  showFinishes();
  showPrintings();
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @returns {HTMLSelectElement} */
function choice(values, chosen, words = WORDS) {
  return /** @type {HTMLSelectElement} */ (make("select", {}, ...values.map((value) => make("option", { value,
    selected: value === chosen }, words[value] ?? value))));
}
