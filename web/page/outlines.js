// The outlines of cards over a picture or a video, with their numbers and states. A corner can be dragged.
//
//     const outlines = outlinesOver({ onChoose, onMoved });
//     outlines.show(cards, { width, height }, chosen);
//
// A state is told by word, by the kind of line and by the shape of the mark, not by colour alone.

import { replaceKeepingFocus } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const KEYS_MS = 300; // after the last arrow key: then the card is looked at
const STEP = 0.005; // of the picture's longer side: how far an arrow key moves a corner
const CORNERS = ["top left", "top right", "bottom right", "bottom left"];

/**
 * @param {{onChoose?: (number: number) => void, onMoved?: (number: number, quad: number[][]) => void}} [actions]
 */
export function outlinesOver({ onChoose, onMoved } = {}) {
  const svg = draw("svg", { class: "outlines", "aria-hidden": onChoose ? null : "true" });
  let isDragged = false; // a corner: then nothing is drawn anew
  let waiting = 0; // for the next arrow key
  let unit = 1; // pixels of the picture that are one pixel of the page

  function show(cards, { width, height }, chosen = -1) {
    if (isDragged) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    unit = 1 / (svg.getScreenCTM()?.a || 1);
    replaceKeepingFocus(svg, ...cards.flatMap((card, at) => outline(card, at, at === chosen)),
      ...(onMoved && cards[chosen] ? handles(cards[chosen], chosen, Math.max(width, height)) : []));
  }

  function outline(card, at, isChosen) {
    const shape = draw("polygon", { points: pointsOf(card.quad), "stroke-width": (isChosen ? 4 : 2.5) * unit,
      class: `outline ${card.state}${isChosen ? " chosen" : ""}`, "stroke-dasharray": dashes(card.state) });
    const name = card.state === "unknown" ? "unknown" : card.matches[0].name;
    const button = draw("g", { class: "mark", "data-key": `card ${at}`, role: onChoose ? "button" : null,
      tabindex: onChoose ? "0" : null,
      "aria-label": `Card ${at + 1}: ${card.state}, ${name}`, "aria-pressed": onChoose ? String(isChosen) : null });
    const [x, y] = centre(card.quad);
    button.append(shape, badge(card.state, x, y, 15 * unit), label(String(at + 1), x, y, 15 * unit));
    if (onChoose) {
      button.addEventListener("click", () => onChoose(at));
      button.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onChoose(at);
      });
    }
    return [button];
  }

  function dashes(state) {
    return { likely: `${10 * unit} ${6 * unit}`, unknown: `${3 * unit} ${5 * unit}` }[state] ?? null;
  }

  function handles(card, number, side) {
    const quad = card.quad.map((point) => [...point]);
    return card.quad.map(([x, y], corner) => {
      // The disc that is seen is too small for a thumb: a larger one around it is not seen.
      const discs = [draw("circle", { class: "grip", r: 24 * unit }), draw("circle", { r: 11 * unit })];
      const handle = draw("g", { class: "handle", "stroke-width": 3 * unit, tabindex: "0", role: "slider",
        "data-key": `corner ${corner}`, "aria-label": `Corner at the ${CORNERS[corner]}` });
      handle.append(...discs);
      const move = (to) => {
        quad[corner] = to;
        for (const disc of discs) setAll(disc, { cx: to[0], cy: to[1] });
        setAll(handle, { "aria-valuenow": Math.round(to[0]), "aria-valuetext": to.map(Math.round).join(", ") });
        svg.querySelector(".chosen")?.setAttribute("points", pointsOf(quad));
      };
      const drop = () => {
        handle.onpointermove = handle.onpointerup = handle.onpointercancel = null;
        isDragged = false;
        onMoved?.(number, quad);
      };
      move([x, y]);
      handle.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        handle.setPointerCapture(event.pointerId);
        isDragged = true;
        handle.onpointermove = (moved) => move(inPicture(moved));
        handle.onpointerup = handle.onpointercancel = drop;
      });
      handle.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!by) return;
        event.preventDefault();
        move([quad[corner][0] + by[0] * STEP * side, quad[corner][1] + by[1] * STEP * side]);
        clearTimeout(waiting);
        waiting = window.setTimeout(() => onMoved?.(number, quad), KEYS_MS);
      });
      return handle;
    });
  }

  function inPicture({ clientX, clientY }) {
    const point = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM()?.inverse());
    return [point.x, point.y];
  }

  return { element: svg, show };
}

/**
 * The mark of a state: a disc, a diamond or a square, so that it is seen without colours too.
 * @param {string} state
 */
function badge(state, x, y, size) {
  const attributes = { class: `badge ${state}`, "stroke-width": size / 8 };
  if (state === "recognised") return draw("circle", { ...attributes, cx: x, cy: y, r: size });
  const square = draw("rect", { ...attributes, x: x - size * 0.88, y: y - size * 0.88, width: size * 1.76,
    height: size * 1.76, rx: size * 0.2 });
  if (state === "likely") square.setAttribute("transform", `rotate(45 ${x} ${y})`);
  return square;
}

function label(text, x, y, size) {
  const element = draw("text", { x, y, "font-size": size * 1.15, "text-anchor": "middle",
    "dominant-baseline": "central" });
  element.textContent = text;
  return element;
}

function pointsOf(quad) {
  return quad.map((point) => point.join(",")).join(" ");
}

function centre(quad) {
  return [0, 1].map((axis) => quad.reduce((sum, point) => sum + point[axis], 0) / 4);
}

function draw(tag, attributes) {
  return setAll(document.createElementNS(SVG, tag), attributes);
}

function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  return element;
}
