// The map of map.html: it moves and zooms, finds cards, and shows the card under a tap. map_page.py embeds this after the
// other files, with the data.

const STEPS = 65_535; // x and y go from 0 to this
const MARGIN = 0.06; // of the shorter side of the map, around all cards
const FARTHEST = 0.5, NEAREST = 400; // zoom, where 1 shows all cards
const CLOSE = 8; // zoom that a card from a list is shown with
const COVERED = 20; // pixels above a card on a phone that count as covered
const LISTED = 12, NEIGHBOURS = 6; // cards in lists
const FILTERED = 20; // entries from which on the legend has a search field
const WEB_ADDRESS = /^https?:\/\//;

/** @param {string} id @returns {any} */
const element = id => document.getElementById(id);
const canvas = /** @type {HTMLCanvasElement} */ (element("map"));
// A phone may take the graphics memory of a page that is not seen.
canvas.addEventListener("webglcontextlost", event => event.preventDefault());
canvas.addEventListener("webglcontextrestored", () => location.reload());

/** A new element with these properties and children. Texts are never read as HTML. */
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

/** @returns {Promise<Cards>} */
const unpack = async () => {
  const bytes = Uint8Array.from(atob(element("data").textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
};

/** @param {Cards} cards */
const openMap = cards => {
  const count = cards.x.length;
  const x = Float32Array.from(cards.x, value => value / STEPS), y = Float32Array.from(cards.y, value => value / STEPS);
  const names = cards.name.map(folded);
  const extent = [x, y].map(values => values.reduce((most, value) => Math.max(most, value), 0));
  const view = { x: 0, y: 0, zoom: 1 };
  const paint = painter(canvas, cards);
  /** @type {Set<string>} */
  const chosen = new Set();
  /** @type {Uint8Array | null} */
  let matching = null; // 1 for each card whose name was searched for
  let legend = legendOf(cards, "colour"), selected = -1, isPinned = false, waiting = 0;

  const pixelsPerUnit = () => {
    const free = Math.min(canvas.clientWidth, canvas.clientHeight) * 2 * MARGIN;
    return view.zoom * Math.min((canvas.clientWidth - free) / (extent[0] || 1),
      (canvas.clientHeight - free) / (extent[1] || 1));
  };
  const onScreen = row => ({
    left: canvas.clientWidth / 2 + (x[row] - view.x) * pixelsPerUnit(),
    top: canvas.clientHeight / 2 - (y[row] - view.y) * pixelsPerUnit(),
  });
  const redraw = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      paint.draw(view, pixelsPerUnit());
      element("ring").hidden = selected < 0;
      if (selected >= 0) {
        const { left, top } = onScreen(selected);
        element("ring").style.translate = `${left}px ${top}px`;
      }
    });
  };
  const moveBy = (right, down) => {
    view.x = Math.min(extent[0], Math.max(0, view.x - right / pixelsPerUnit()));
    view.y = Math.min(extent[1], Math.max(0, view.y + down / pixelsPerUnit()));
    redraw();
  };
  /** Zooms, and what is at this place of the screen stays there. */
  const zoomBy = (factor, left = canvas.clientWidth / 2, top = canvas.clientHeight / 2) => {
    const zoom = Math.min(NEAREST, Math.max(FARTHEST, view.zoom * factor));
    const right = left - canvas.clientWidth / 2, down = top - canvas.clientHeight / 2;
    const before = pixelsPerUnit();
    view.zoom = zoom;
    const after = pixelsPerUnit();
    view.x += right / before - right / after;
    view.y -= down / before - down / after;
    moveBy(0, 0);
  };
  const showAll = () => {
    Object.assign(view, { x: extent[0] / 2, y: extent[1] / 2, zoom: 1 });
    redraw();
  };
  const isBright = row => (!chosen.size || chosen.has(legend.categories[legend.of[row]].value))
    && (!matching || matching[row] === 1);

  /** The cards nearest to a place of the screen, the nearest first, of those that are `wanted`. */
  const nearest = (left, top, most, reach = Infinity, wanted = isBright) => {
    const pixels = pixelsPerUnit();
    const there = [view.x + (left - canvas.clientWidth / 2) / pixels, view.y - (top - canvas.clientHeight / 2) / pixels];
    const found = [];
    let limit = (reach / pixels) ** 2;
    for (let row = 0; row < count; row++) {
      const far = (x[row] - there[0]) ** 2 + (y[row] - there[1]) ** 2;
      if (far > limit || !wanted(row)) continue;
      const at = found.findIndex(other => far < other.far);
      found.splice(at < 0 ? found.length : at, 0, { row, far });
      if (found.length > most) found.pop();
      if (found.length === most) limit = found[most - 1].far;
    }
    return found.map(({ row }) => row);
  };

  /** A button with a card's name, which goes to the card. */
  const link = row => make("button", { type: "button", onclick: () => goTo(row) },
    make("span", { textContent: `${cards.name[row]} (${cards.set[row].toUpperCase()})` }));

  const show = row => {
    selected = row;
    element("card").hidden = row < 0;
    if (row >= 0) element("card").classList.toggle("aside", onScreen(row).left < canvas.clientWidth / 2);
    redraw();
    if (row < 0) return;
    const address = cards.scryfall_uri[row], title = cards.name[row];
    const { left, top } = onScreen(row);
    const beside = nearest(left, top, NEIGHBOURS, Infinity, other => other !== row);
    element("shown").replaceChildren(
      make("h2", {}, WEB_ADDRESS.test(address)
        ? make("a", { href: address, target: "_blank", rel: "noopener noreferrer", textContent: title }) : title),
      make("img", { src: WEB_ADDRESS.test(cards.picture[row]) ? cards.picture[row] : "", alt: title }),
      make("p", { textContent: cards.type_line[row] }),
      make("p", { className: "quiet", textContent: [cards.set_name[row] || cards.set[row].toUpperCase(),
        cards.collector_number[row], cards.year[row]].filter(Boolean).join(" · ") }),
      ...cards.artist[row] ? [make("p", { className: "quiet", textContent: `Art: ${cards.artist[row]}` })] : [],
      make("p", { className: "quiet", textContent: `Cluster ${cards.cluster[row]}` }),
      make("div", { className: "near" }, make("h3", { textContent: "Beside it on the map" }),
        make("ul", {}, ...beside.map(other => make("li", {}, link(other))))));
  };
  const pin = row => {
    isPinned = row >= 0;
    show(row);
    const { offsetTop, offsetWidth } = element("card");
    if (!isPinned || offsetWidth <= canvas.clientWidth / 2) return;
    const { top } = onScreen(row);
    if (top > offsetTop - COVERED) moveBy(0, offsetTop / 2 - top); // on a phone, the card would cover the point
  };
  const goTo = row => {
    Object.assign(view, { x: x[row], y: y[row], zoom: Math.max(view.zoom, CLOSE) });
    pin(row);
    element("close").focus();
  };

  const recolour = () => {
    paint.look(legend, isBright, Boolean(matching));
    element("all").disabled = !chosen.size;
    redraw();
  };
  const showLegend = () => {
    chosen.clear();
    legend = legendOf(cards, element("colouring").value);
    element("filter").hidden = legend.categories.length < FILTERED;
    element("filter").value = "";
    element("legend").querySelector("summary").textContent = `Legend: ${legend.categories.length} entries`;
    element("entries").replaceChildren(...legend.categories.map(category => {
      const swatch = make("i");
      swatch.style.background = category.colour;
      const button = make("button", { type: "button", ariaPressed: "false" }, swatch,
        make("span", { textContent: category.label }),
        make("span", { className: "quiet", textContent: category.count.toLocaleString("en") }));
      button.onclick = () => {
        if (!chosen.delete(category.value)) chosen.add(category.value);
        button.ariaPressed = String(chosen.has(category.value));
        recolour();
      };
      return make("li", {}, button);
    }));
    recolour();
  };
  const find = () => {
    const words = folded(element("search").value).split(/\s+/).filter(Boolean);
    const rows = [];
    matching = words.length ? new Uint8Array(count) : null;
    for (let row = 0; matching && row < count; row++) {
      if (words.every(word => names[row].includes(word))) {
        matching[row] = 1;
        rows.push(row);
      }
    }
    const more = rows.length > LISTED ? `, the first ${LISTED}:` : "";
    element("told").textContent = matching ? `${rows.length.toLocaleString("en")} card${rows.length === 1 ? "" : "s"}${more}`
      : `${count.toLocaleString("en")} cards`;
    element("found").hidden = !rows.length;
    element("found").replaceChildren(...rows.slice(0, LISTED).map(row => make("li", {}, link(row))));
    recolour();
  };

  listen(canvas, { moveBy, zoomBy, showAll, nearest, pin, preview: row => isPinned || show(row) });
  element("nearer").onclick = () => zoomBy(1.5);
  element("farther").onclick = () => zoomBy(1 / 1.5);
  element("reset").onclick = showAll;
  element("close").onclick = () => {
    pin(-1);
    canvas.focus();
  };
  element("search").oninput = find;
  element("search").onkeydown = event => event.key === "Enter" && element("found").querySelector("button")?.click();
  element("colouring").onchange = showLegend;
  element("filter").oninput = () => {
    const text = folded(element("filter").value);
    for (const entry of element("entries").children) entry.hidden = !folded(entry.textContent).includes(text);
  };
  element("all").onclick = () => {
    chosen.clear();
    for (const button of element("entries").querySelectorAll("button")) button.ariaPressed = "false";
    recolour();
  };
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showLegend);
  element("legend").open = matchMedia("(min-width: 701px)").matches;
  showAll();
  showLegend();
  find();
};

unpack().then(openMap).catch(error => {
  element("failed").textContent = error.message;
  element("failed").hidden = false;
});
