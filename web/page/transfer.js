// A list leaves as the file of a collection manager or as text, and comes in from such a file.
//
//     const panel = transferPanel(engine, kept);
//     section.append(panel.element);
//     panel.show(entries);                     // those that leave

import { textOf } from "../collection/formats.js";
import { counted, make, say, showError, toast } from "./dom.js";
import { entryOfPrinting } from "./kept.js";
import { setting } from "./settings.js";

const SHOWN_PROBLEMS = 5;
const SAVING_MS = 60_000; // some browsers ask the person where to save, and read the file after that
const chosen = setting("format", "manabox");

/**
 * @param {any} engine
 * @param {any} kept
 */
export function transferPanel(engine, kept) {
  if (!kept.collection) {
    const why = "The index was exported by an earlier version. Lists can leave and come in after "
      + "python export_for_browser.py.";
    return { element: make("p", { class: "notice" }, why), show() {} };
  }
  const { formats } = kept.collection;
  let sure = [];
  const format = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": "Collection manager",
    onchange: () => chosen.set(format.value) }, ...Object.entries(formats).map(([value, { title }]) =>
    make("option", { value, selected: value === chosen.get() }, title))));
  const file = /** @type {HTMLInputElement} */ (make("input", { type: "file", id: "import-file", class: "unseen",
    accept: ".csv,.txt,text/csv,text/plain", onchange: () => file.files?.[0] && read(file.files[0]) }));
  const problems = make("ul", { class: "notes", role: "list" });
  const text = (name) => textOf(name, kept.collection, sure);

  function download() {
    const [type, ending] = format.value === "text" ? ["text/plain", ".txt"] : ["text/csv", ".csv"];
    const link = /** @type {HTMLAnchorElement} */ (make("a", {
      download: `${kept.current().name.replace(/[^\p{L}\p{N} _-]/gu, "").trim() || "cards"}-${format.value}${ending}`,
      href: URL.createObjectURL(new Blob([text(format.value)], { type: `${type};charset=utf-8` })) }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), SAVING_MS);
    say(`The list was saved as ${link.download}.`);
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(text("text"));
      toast("The list was copied.");
    } catch {
      showError("The browser did not allow to copy. Download the list as text instead.");
    }
  }

  async function read(chosenFile) {
    file.value = "";
    problems.replaceChildren(make("li", {}, `${chosenFile.name} is being read.`));
    say("The list is being read.");
    try {
      const { readList } = await import("../collection/imports.js").catch(() => {
        throw new Error("What reads lists is not installed: make web");
      });
      const text = await chosenFile.text();
      if (/[\0\ufffd]/.test(text)) throw new Error(`${chosenFile.name} is no list: it is not text.`);
      const { lines, problems: found } = readList(text, kept.collection);
      const all = await engine.listed(lines);
      const isCard = ({ row, line }) => row !== null || line.set || line.scryfall_id; // else any text would be one
      const listed = all.filter(isCard);
      await kept.addAll(listed.map(entryOfLine));
      const why = [...found.map(({ line, why: reason }) => `Line ${line}: ${reason}`),
        ...all.filter(({ row }) => row === null).map((one) => `${one.line.name} is not in this index. `
          + (isCard(one) ? "It was added as the file names it." : "It was left out."))];
      toast(`${counted(listed.length, "line")} added.`);
      problems.replaceChildren(...why.slice(0, SHOWN_PROBLEMS).map((reason) => make("li", {}, reason)),
        ...(why.length > SHOWN_PROBLEMS ? [make("li", {}, `And ${why.length - SHOWN_PROBLEMS} more.`)] : []));
    } catch (error) {
      problems.replaceChildren();
      showError(error.message);
    }
  }

  const leaving = [make("span", { class: "export" }, format,
    make("button", { type: "button", class: "main", onclick: download }, "Download")),
  make("button", { type: "button", onclick: copy }, "Copy as text")];

  return {
    element: make("div", { class: "transfer" }, ...leaving, file,
      make("label", { for: "import-file", class: "button" }, "Import a list"), problems),
    /** @param {any[]} entries */
    show(entries) {
      sure = entries.filter(({ state }) => state === "kept").reverse(); // as they were added
      for (const element of leaving) element.hidden = !sure.length;
    },
  };
}

// What the index does not know is kept as the file has it: nothing of a list is lost on the way.
function entryOfLine({ line, record, printing }) {
  const { count, name, set, set_name, collector_number, scryfall_id, finish, condition, lang } = line;
  const facts = printing ?? { name, card_name: name, set, set_name, collector_number, scryfall_id, lang: lang || "en" };
  const entry = entryOfPrinting({ ...record }, facts);
  return { ...entry, count, finish, condition, lang: lang || entry.lang, decided: Boolean(printing && set) };
}
