// The sheet below the camera: the card that was seen last, the count, and what was listed last, with − and +.
//
//     const sheet = scanSheet(kept, complain);
//     sheet.showLatest(card);

import { pictureOf, printingText } from "./card_tile.js";
import { attempt, counted, make, oncePerFrame, replaceKeepingFocus, toast } from "./dom.js";
import { markOf } from "./states.js";

const RECENT = 30; // entries that are shown

/**
 * @param {any} kept
 * @param {(why: string) => void} complain
 */
export function scanSheet(kept, complain) {
  const tally = make("a", { href: "#list", class: "tally" });
  const latest = make("div", { class: "latest" });
  const undo = make("button", { type: "button", class: "plain", onclick: () => attempt(kept.undo, complain) }, "Undo");
  const recent = make("ul", { class: "recent", role: "list" });
  const element = make("div", { class: "sheet" }, latest, make("div", { class: "totals" }, tally, undo), recent);
  const redraw = oncePerFrame(() => element.isConnected && attempt(draw, complain));
  kept.onChange(redraw);

  async function draw() {
    await kept.refresh();
    const entries = await kept.entries();
    const { name, count, waiting } = kept.current();
    tally.replaceChildren(make("b", {}, counted(count, "card")), ` on “${name}”`,
      waiting ? ` · ${waiting} to review` : "");
    undo.toggleAttribute("disabled", !kept.canUndo());
    replaceKeepingFocus(recent, ...entries.slice(0, RECENT).map(line));
  }

  function line(entry) {
    const { name } = entry.printing;
    const change = (by) => () => attempt(async () => {
      if (entry.count + by > 0) return kept.change(entry.id, { count: entry.count + by });
      await kept.remove(entry.id);
      return toast(`${name} was removed.`, { label: "Undo", run: () => attempt(kept.undo, complain) });
    }, complain);
    return make("li", {}, pictureOf({ ...entry, name }),
      make("span", { class: "text" }, make("b", {}, name), make("span", { class: "quiet" },
        entry.state === "review" ? "To review" : printingText(entry.printing))),
      make("span", { class: "stepper" },
        make("button", { type: "button", onclick: change(-1), "aria-label": `One ${name} less`,
          "data-key": `${entry.id} −` }, "−"),
        make("output", {}, String(entry.count)),
        make("button", { type: "button", onclick: change(1), "aria-label": `One more ${name}`,
          "data-key": `${entry.id} +` }, "+")));
  }

  /** @param {any} card */
  function showLatest(card) {
    latest.replaceChildren(pictureOf(card.matches[0]), make("div", {}, make("b", {}, card.matches[0].name),
      markOf(card.state)));
  }

  function showUnknown() {
    latest.replaceChildren(make("span", { class: "picture empty" }, "?"), make("div", {}, make("b", {}, "Unknown card"),
      markOf("unknown")));
  }

  return { element, redraw, showLatest, showUnknown };
}
