// The camera view: it names the cards that lie under the camera, and puts each on the list once.
//
//     const view = scanView({ name }, kept);
//     view.show();                             // asks for the camera

import { choosePrinting, createSession } from "../collection/scan_session.js";
import { go } from "./address.js";
import { openCamera } from "./camera.js";
import { pictureOf, printingText } from "./card_tile.js";
import { counted, icon, make, say, showError, toast } from "./dom.js";
import { entryOf } from "./kept.js";
import { outlinesOver } from "./outlines.js";
import { openOptions } from "./scan_options.js";
import { signal } from "./signals.js";
import { setting } from "./settings.js";
import { markOf } from "./states.js";

const READINGS = 3; // frames in which the printing of a card is read, until it is decided
const MATCHES = 3; // of a card: what a review chooses from
const RECENT = 30; // entries of the sheet

/**
 * @param {{name: (picture: any, options: object) => Promise<any>}} engine
 * @param {any} kept
 */
export function scanView(engine, kept) {
  const video = /** @type {HTMLVideoElement} */ (make("video", { playsinline: true, muted: true }));
  video.muted = true;
  const outlines = outlinesOver();
  outlines.element.setAttribute("preserveAspectRatio", "xMidYMid slice"); // as the video covers its frame
  const hint = make("p", { class: "hint", role: "status" });
  const light = tool("torch", "Light", () => toggleLight());
  const turn = tool("turn", "Other camera", () => nextCamera());
  const tally = make("a", { href: "#list", class: "tally" });
  const latest = make("div", { class: "latest" });
  const undo = make("button", { type: "button", class: "plain", onclick: () => kept.undo() }, "Undo");
  const recent = make("ul", { class: "recent", role: "list" });
  const element = make("section", { class: "scan", "aria-label": "Scan" },
    make("div", { class: "view" }, video, outlines.element,
      make("div", { class: "overlay" }, tool("close", "Stop scanning", () => go("./")), hint, turn, light,
        tool("options", "Options", () => openOptions(kept, camera, { useCamera, whenDone: update })))),
    make("div", { class: "sheet" }, latest, make("div", { class: "totals" }, tally, undo), recent));
  kept.onChange(() => element.isConnected && update());
  const cameraId = setting("camera", "");
  const [lockedSet, lockedLang] = [setting("set", ""), setting("lang", "")];
  let camera = /** @type {any} */ (null);
  let turnOf = 0; // counts the starts: permission may come late, and only the last start counts
  let isLit = false;
  let added = new Map(); // by the session's number of a card: its entry
  let undecided = new Map(); // by the same: how many more frames its printing is read in

  async function show() {
    document.body.classList.add("scanning");
    await useCamera(cameraId.get());
  }

  function hide() {
    turnOf += 1;
    camera?.close();
    camera = null;
    document.body.classList.remove("scanning");
  }

  async function useCamera(id) {
    const mine = ++turnOf;
    camera?.close();
    camera = null;
    hint.textContent = "Waiting for the camera";
    outlines.show([], { width: 1, height: 1 });
    update();
    try {
      const opened = await openCamera(video, { id, onEnd: (why) => mine === turnOf && stopped(why) });
      if (mine !== turnOf) return opened.close();
      camera = opened;
      cameraId.set(opened.id);
      light.hidden = !opened.hasLight;
      turn.hidden = opened.cameras.length < 2;
      isLit = false;
      hint.textContent = "Lay a card under the camera";
      await watch(mine);
    } catch (error) {
      if (mine === turnOf) stopped(error.message);
    }
  }

  function stopped(why) {
    hide();
    hint.textContent = why;
    showError(why);
    go("./", { replace: true });
    showError(why);
  }

  // Looks at one picture after the other.
  async function watch(mine) {
    const session = createSession();
    [added, undecided] = [new Map(), new Map()];
    let near = [];
    while (mine === turnOf) {
      const bitmap = await camera.frame();
      const options = { camera: true, near, k: MATCHES, read: [...undecided.values()].some((tries) => tries > 0) };
      const { cards, width, height } = await engine.name(bitmap, options);
      if (mine !== turnOf) return;
      near = cards.map(({ quad }) => quad);
      undecided.forEach((tries, id) => undecided.set(id, tries - 1));
      outlines.show(cards, { width, height });
      for (const event of session.see(cards, performance.now())) await take(event);
      showHint(cards);
      await new Promise((next) => requestAnimationFrame(next));
    }
  }

  /** @param {import("../collection/scan_session.js").SeenEvent} event */
  async function take({ type, id, card, printing }) {
    if (type === "unknown") {
      signal("unknown");
      return say("This card is not known.");
    }
    const locked = { set: lockedSet.get(), lang: lockedLang.get() };
    if (type === "printing") {
      undecided.delete(id);
      if (!added.has(id) || locked.set) return;
      added.set(id, await kept.change(added.get(id), changedBy(entryOf(card, printing))));
      return update();
    }
    const entry = entryOf(card, choosePrinting(card, locked));
    if (locked.lang) entry.lang = locked.lang;
    if (locked.set && entry.printing.set === locked.set) entry.decided = true;
    if (added.has(id)) await kept.remove(added.get(id)); // it waited for review, and is recognised now
    added.set(id, await kept.add(entry));
    if (type === "recognised" && !card.printing_decided && card.printings_known > 1) undecided.set(id, READINGS);
    signal(type);
    const { name } = entry.printing;
    say(type === "review" ? `Perhaps ${name}. It waits for your review.` : `${name} is on the list.`);
    return update(card);
  }

  function showHint(cards) {
    const text = !cards.length ? "Lay a card under the camera"
      : cards.every(({ state }) => state === "unknown") ? "Hold still. Not known yet." : "";
    if (hint.textContent !== text) hint.textContent = text;
    hint.hidden = !text;
  }

  async function update(card) {
    await kept.refresh();
    const entries = await kept.entries();
    const { name, count, waiting } = kept.current();
    tally.replaceChildren(make("b", {}, counted(count, "card")), ` on “${name}”`,
      waiting ? ` · ${waiting} to review` : "");
    undo.toggleAttribute("disabled", !kept.canUndo());
    recent.replaceChildren(...entries.slice(0, RECENT).map(line));
    if (card) latest.replaceChildren(pictureOf(card.matches[0]), make("div", {}, make("b", {}, card.matches[0].name),
      markOf(card.state)));
  }

  function line(entry) {
    const change = (by) => async () => {
      if (entry.count + by < 1) {
        await kept.remove(entry.id);
        toast(`${entry.printing.name} was removed.`, { label: "Undo", run: () => kept.undo() });
      } else await kept.change(entry.id, { count: entry.count + by });
      update();
    };
    const { name } = entry.printing;
    return make("li", {}, pictureOf({ ...entry, name }),
      make("span", { class: "text" }, make("b", {}, name), make("span", { class: "quiet" },
        entry.state === "review" ? "To review" : printingText(entry.printing))),
      make("span", { class: "stepper" },
        make("button", { type: "button", onclick: change(-1), "aria-label": `One ${name} less` }, "−"),
        make("output", {}, String(entry.count)),
        make("button", { type: "button", onclick: change(1), "aria-label": `One more ${name}` }, "+")));
  }

  async function toggleLight() {
    try {
      await camera.light(!isLit);
      isLit = !isLit;
      light.setAttribute("aria-pressed", String(isLit));
    } catch {
      toast("The light cannot be switched.");
    }
  }

  function nextCamera() {
    const at = camera.cameras.findIndex(({ id }) => id === camera.id);
    useCamera(camera.cameras[(at + 1) % camera.cameras.length].id);
  }

  return { element, title: "Scan · Card scanner", show, hide };
}

function tool(symbol, label, onclick) {
  return make("button", { type: "button", class: "tool", "aria-label": label, title: label, onclick }, icon(symbol));
}

function changedBy({ printing, lang, finish, decided }) {
  return { printing, lang, finish, decided };
}
