// Makes elements of the page, and says things to those who see them and to those who hear them.
//
//     const button = make("button", { type: "button", onclick: stop }, "Stop");
//     say("Lightning Bolt is on the list.");

export const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
export const number = new Intl.NumberFormat("en");

const TOAST_SECONDS = 5;

/**
 * An element with attributes and children. An attribute that begins with "on" is a listener. true gives an empty
 * attribute, and false, null and undefined none.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * A symbol of index.html as an icon, without a name of its own.
 * @param {string} name
 */
export function icon(name) {
  const holder = document.createElement("span");
  holder.innerHTML = `<svg aria-hidden="true"><use href="#i-${name}"></use></svg>`;
  return /** @type {Element} */ (holder.firstElementChild);
}

/**
 * "1 card", "2 cards".
 * @param {number} count
 * @param {string} one
 */
export function counted(count, one) {
  return `${number.format(count)} ${one}${count === 1 ? "" : "s"}`;
}

/**
 * Tells a screen reader something that happened.
 * @param {string} text
 */
export function say(text) {
  const said = at("said");
  if (said.textContent === text) said.textContent = ""; // else the same words would not be read again
  said.textContent = text;
}

/**
 * Shows something for a moment, with an action that can still be taken, and says it.
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function toast(text, action) {
  say(text);
  const shown = make("div", { class: "toast" }, make("span", {}, text), action
    && make("button", { type: "button", onclick: () => { shown.remove(); action.run(); } }, action.label));
  at("toasts").replaceChildren(shown);
  setTimeout(() => shown.remove(), TOAST_SECONDS * 1000);
}

/**
 * Shows an error above the page, or nothing for "".
 * @param {string} message
 */
export function showError(message) {
  const shown = at("error");
  delete shown.dataset.waiting;
  if (shown.textContent !== message) shown.textContent = message;
  shown.hidden = !message;
}
