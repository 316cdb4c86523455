// A photo: its cards are outlined and numbered. A tap on one shows its matches. Its corners can be dragged.
//
//     const view = photoView({ name }, { addCards });
//     view.look(file);

import { go } from "./address.js";
import { cardAddress, pictureOf, printingText } from "./card_tile.js";
import { counted, icon, make, replaceKeepingFocus, say, showError } from "./dom.js";
import { outlinesOver } from "./outlines.js";
import { detailsOf, markOf, nameOf, printingOf } from "./states.js";

const MATCHES = 3;

/**
 * @param {{name: (picture: any, options: object) => Promise<any>}} engine
 * @param {{addCards: (cards: any[]) => void, addMatch: (card: any, match: any) => void}} actions
 */
export function photoView(engine, { addCards, addMatch }) {
  const file = /** @type {HTMLInputElement} */ (make("input", { type: "file", accept: "image/*", id: "file",
    class: "unseen" }));
  const image = /** @type {HTMLImageElement} */ (make("img", { alt: "Your photo" }));
  const outlines = outlinesOver({ onChoose: choose, onMoved: judgeAt });
  const working = make("p", { class: "working" });
  const stage = make("div", { class: "stage", hidden: true }, image, outlines.element, working);
  const heading = make("h1", { class: "count", tabindex: "-1" }, "Look at a photo");
  const list = make("ol", { class: "found", role: "list" });
  const actions = make("div", { class: "actions" });
  const drop = make("div", { class: "drop" }, icon("photo"),
    make("p", {}, "Drop or paste a picture here. One card or many, at any angle."),
    make("label", { for: "file", class: "button main" }, "Choose a photo"),
    make("p", { class: "quiet" }, "It stays on this device."));
  const element = make("section", { class: "photo", "aria-label": "Photo" }, file, drop, stage,
    make("div", { class: "side" }, heading, actions, list));
  let asked = 0; // counts the photos: only the answer to the last one is shown
  let judging = 0; // the same, for corners that were moved
  let shown = { picture: /** @type {Blob | null} */ (null), width: 1, height: 1, chosen: -1,
    cards: /** @type {import("../recognition/cards.js").Card[]} */ ([]) };

  file.addEventListener("change", () => {
    if (file.files?.[0]) look(file.files[0]);
    file.value = "";
  });
  image.addEventListener("load", draw);
  addEventListener("resize", () => stage.isConnected && draw());

  async function look(picture) {
    const [mine, judged] = [++asked, judging];
    go("#photo", { replace: location.hash === "#photo" });
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(picture);
    shown = { picture, cards: [], width: 1, height: 1, chosen: -1 };
    drop.classList.add("small");
    stage.hidden = false;
    stage.classList.add("busy");
    working.textContent = "Looking for cards";
    heading.textContent = "Looking for cards";
    list.replaceChildren();
    actions.replaceChildren();
    outlines.show([], { width: 1, height: 1 });
    showError("");
    try {
      const answer = await engine.name(picture, { k: MATCHES, onFirst(first) {
        working.textContent = "Reading what is printed on the cards";
        take(mine, first);
      } });
      if (judging === judged) take(mine, answer); // else a person has moved corners meanwhile: that answer stays
      if (mine !== asked) return;
      stage.classList.remove("busy");
      const { cards } = shown;
      say(`${heading.textContent}. ${cards.map((card, at) => `${at + 1}: ${nameOf(card)}, ${card.state}`).join(". ")}`);
    } catch (error) {
      if (mine !== asked) return;
      reset();
      showError(error.message);
    }
  }

  // Shows an answer to the picture. A card that a person has chosen meanwhile stays chosen.
  function take(mine, { cards, width, height }) {
    if (mine !== asked) return;
    const chosen = cards[shown.chosen] ? shown.chosen : cards.length === 1 ? 0 : -1;
    shown = { ...shown, cards, width, height, chosen };
    fill();
  }

  function reset() {
    asked += 1;
    stage.hidden = true;
    stage.classList.remove("busy");
    drop.classList.remove("small");
    heading.textContent = "Look at a photo";
    actions.replaceChildren();
    list.replaceChildren();
  }

  function choose(number) {
    shown.chosen = number === shown.chosen ? -1 : number;
    fill();
    list.children[number]?.scrollIntoView({ block: "nearest" });
  }

  // The card at corners that the person has set.
  async function judgeAt(number, quad) {
    const [mine, photo] = [++judging, asked];
    try {
      const { cards: [card] } = await engine.name(shown.picture, { k: MATCHES, quad });
      if (mine !== judging || photo !== asked || !card) return;
      shown.cards = shown.cards.map((other, at) => (at === number ? card : other));
      fill();
      say(`${nameOf(card)}, ${card.state}`);
    } catch (error) {
      if (mine === judging && photo === asked) showError(error.message);
    }
  }

  function fill() {
    const { cards } = shown;
    const sure = cards.filter((card) => card.accepted);
    heading.textContent = titleFor(cards);
    const add = make("button", { type: "button", class: "main", onclick: () => {
      addCards(sure);
      add.textContent = "Added";
      add.setAttribute("disabled", "");
    } }, cards.length === 1 ? "Add it to the list" : `Add the ${sure.length} recognised`);
    actions.replaceChildren(...(sure.length ? [add] : []));
    replaceKeepingFocus(list, ...cards.map((card, at) => entry(card, at)));
    draw();
  }

  function draw() {
    outlines.show(shown.cards, shown, shown.chosen);
  }

  function entry(card, at) {
    const isChosen = at === shown.chosen;
    const [best] = card.matches;
    return make("li", { class: isChosen ? "chosen" : "" },
      make("button", { type: "button", class: "row", "data-key": `row ${at}`, "aria-expanded": String(isChosen),
        onclick: () => choose(at) },
        make("span", { class: "number" }, String(at + 1)),
        card.state === "unknown" ? make("span", { class: "picture empty" }, "?") : pictureOf(best),
        make("span", { class: "text" }, make("b", {}, nameOf(card)), markOf(card.state),
          make("span", { class: "quiet" }, printingOf(card)))),
      isChosen && make("div", { class: "more" },
        make("p", { class: "quiet" }, card.accepted ? "If an outline is wrong, drag its corners in the photo."
          : "Drag the corners in the photo to the corners of the card. Or is it one of these?"),
        make("ul", { class: "matches", role: "list" }, ...card.matches.map((match) => make("li", {},
          make("a", { href: cardAddress(match), "aria-label": match.name }, pictureOf(match)),
          make("span", { class: "name" }, match.name),
          make("span", { class: "quiet" }, printingText(match)),
          make("button", { type: "button", class: "plain", onclick: () => addMatch(card, match),
            "aria-label": `Add ${match.name} to the list` }, "Add")))),
        detailsOf(card)));
  }

  return { element, title: "Photo · Card scanner", look, show() {}, hide() {}, choose: () => file.click() };
}

/** @param {any[]} cards */
function titleFor(cards) {
  const known = cards.filter((card) => card.state === "recognised").length;
  const likely = cards.filter((card) => card.state === "likely").length;
  if (!known && !likely) return cards.length > 1 ? `${cards.length} cards, none known` : "No card was recognised";
  const parts = [known && `${counted(known, "card")} recognised`, likely && `${likely} likely`,
    cards.length - known - likely > 0 && `${cards.length - known - likely} not known`];
  return parts.filter(Boolean).join(", ");
}
