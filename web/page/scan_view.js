// The camera view: it names the cards that lie under the camera, and puts each on the list once.
//
//     const view = scanView({ name }, kept);
//     view.show();                             // asks for the camera

import { createSession } from "../collection/scan_session.js";
import { go } from "./address.js";
import { openCamera } from "./camera.js";
import { attempt, icon, make, say, toast } from "./dom.js";
import { entryOf, finishIn, locked } from "./kept.js";
import { outlinesOver } from "./outlines.js";
import { openOptions } from "./scan_options.js";
import { scanSheet } from "./scan_sheet.js";
import { signal } from "./signals.js";
import { setting } from "./settings.js";

const READINGS = 3; // frames in which the printing of a card is read, until it is decided
const MATCHES = 10; // of a card: several may be printings of one, and a review shows three cards
const HINT_FRAMES = 5; // in a row that must want another hint: else it flickers
const LAY = "Lay a card under the camera";

/**
 * @param {{name: (picture: any, options: object) => Promise<any>}} engine
 * @param {any} kept
 */
export function scanView(engine, kept) {
  const video = /** @type {HTMLVideoElement} */ (make("video", { playsinline: true, muted: true }));
  video.muted = true;
  const outlines = outlinesOver();
  outlines.element.setAttribute("preserveAspectRatio", "xMidYMid slice"); // as the video covers its frame
  const hint = make("p", { class: "hint" });
  const light = tool("torch", "Light", () => toggleLight());
  const turn = tool("turn", "Other camera", () => nextCamera());
  const sheet = scanSheet(kept, complain);
  const element = make("section", { class: "scan", "aria-label": "Scan" },
    make("div", { class: "view" }, video, outlines.element,
      make("div", { class: "overlay" }, tool("close", "Stop scanning", () => go("./")), hint, turn, light,
        tool("options", "Options", () => attempt(() => openOptions(kept, camera,
          { useCamera, whenDone: sheet.redraw, complain }), complain)))),
    sheet.element);
  const cameraId = setting("camera", "");
  // One for all starts of the camera: a card that still lies there is not listed again.
  const session = createSession();
  const added = new Map(); // by the session's number of a card: the id of its entry
  const undecided = new Map(); // by the same: how many more frames its printing is read in
  let watched = 0; // ms, the session's time: it stands still while the camera is off
  let camera = /** @type {any} */ (null);
  let turnOf = 0; // counts the starts: permission may come late, and only the last start counts
  let isLit = false;
  let waits = false; // the page was hidden: the camera starts again when it is seen
  let frame = 0;
  let wanted = { text: "", frames: 0 };
  document.addEventListener("visibilitychange", () => {
    if (waits && !document.hidden) useCamera(cameraId.get());
  });

  function show() {
    document.body.classList.add("scanning");
    useCamera(cameraId.get());
  }

  function hide() {
    release();
    document.body.classList.remove("scanning");
  }

  function release() {
    turnOf += 1;
    waits = false;
    camera?.close();
    camera = null;
    light.hidden = turn.hidden = true;
  }

  async function useCamera(id) {
    release();
    const mine = turnOf;
    setHint("Waiting for the camera");
    outlines.show([], { width: 1, height: 1 });
    sheet.redraw();
    try {
      const opened = await openCamera(video, { id, onEnd: (why) => mine === turnOf && stopped(why) });
      if (mine !== turnOf) return opened.close();
      camera = opened;
      cameraId.set(opened.id);
      light.hidden = !opened.hasLight;
      turn.hidden = opened.cameras.length < 2;
      isLit = false;
      light.setAttribute("aria-pressed", "false");
      setHint("Getting ready"); // until the first answers
      await watch(mine);
    } catch (error) {
      if (mine === turnOf) stopped(error.message);
    }
  }

  // The view stays, and says why there is no picture.
  function stopped(why) {
    release();
    waits = document.hidden;
    complain(why);
    hint.append(" ", make("button", { type: "button", class: "plain", onclick: () => useCamera(cameraId.get()) },
      "Start again"));
  }

  // Looks at one picture after the other.
  async function watch(mine) {
    const begun = performance.now() - watched;
    let near = [];
    while (mine === turnOf) {
      const bitmap = await camera.frame();
      const options = { camera: true, near, k: MATCHES, read: [...undecided.values()].some((tries) => tries > 0) };
      const { cards, width, height } = await engine.name(bitmap, options);
      if (mine !== turnOf) return;
      near = cards.map(({ quad }) => quad);
      undecided.forEach((tries, id) => undecided.set(id, tries - 1));
      outlines.show(cards, { width, height });
      watched = performance.now() - begun;
      for (const event of session.see(cards, watched)) await take(event);
      if (mine !== turnOf) return;
      showHint(cards);
      outlines.element.dataset.frame = String(++frame);
      await new Promise((next) => requestAnimationFrame(next));
    }
  }

  /** @param {import("../collection/scan_session.js").SeenEvent} event */
  async function take({ type, id, card }) {
    if (type === "unknown") {
      signal("unknown");
      sheet.showUnknown();
      return say("This card is not known.");
    }
    const entry = entryOf(card, locked());
    const before = added.has(id) ? await kept.entry(added.get(id)) : null; // null also where the person removed it
    if (type === "printing") {
      undecided.delete(id);
      // What the person has said stays: the printing of this entry, and that all cards are of a set.
      if (!before || before.decided || !entry.decided) return;
      note(id, await kept.changeOne(before.id, changedBy(entry, before)));
      return;
    }
    if (before?.state === "kept") { // the person has said what it was that waited for review
      added.delete(id);
      return;
    }
    note(id, before ? await kept.changeOne(before.id, entry) : await kept.add(entry));
    if (type === "recognised" && !card.printing_decided && card.printings_known > 1) undecided.set(id, READINGS);
    signal(type);
    const { name } = entry.printing;
    say(type === "review" ? `Perhaps ${name}. It waits for your review.` : `${name} is on the list.`);
    setHint("");
    sheet.showLatest(card);
  }

  function note(id, entryId) {
    if (entryId === null) added.delete(id);
    else added.set(id, entryId);
  }

  function showHint(cards) {
    const isUnknown = cards.every(({ state }) => state === "unknown");
    const text = !cards.length ? LAY : isUnknown ? "Hold still. Not known yet." : "";
    wanted = { text, frames: text === wanted.text ? wanted.frames + 1 : 1 };
    if (wanted.frames === HINT_FRAMES) setHint(text);
  }

  function setHint(text) {
    hint.textContent = text;
    hint.hidden = !text;
  }

  // Errors stand here: the page's own lie behind the camera.
  function complain(why) {
    setHint(why);
    say(why);
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

// What a reading changes of an entry: the finish only where the printing does not exist in it.
function changedBy({ printing, lang, decided }, { finish }) {
  return { printing, lang, decided, finish: finishIn(printing, finish) };
}
