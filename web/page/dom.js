// Makes elements of the page, and says things to those who see them and to those who hear them.
//
//     const button = make("button", { type: "button", onclick: stop }, "Stop");
//     say("Lightning Bolt is on the list.");

export const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
export const number = new Intl.NumberFormat("en");

const TOAST_SECONDS = 5;
let lacking = "";

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
  at("said").replaceChildren(make("p", {}, text)); // a new element: else the same words would not be read again
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
 * Replaces the children of an element. The control that had the focus has it again, if there is one with its data-key.
 * @param {Element} parent
 * @param {...(Node | string)} children
 */
export function replaceKeepingFocus(parent, ...children) {
  const focused = document.activeElement;
  const key = focused && parent.contains(focused) ? /** @type {HTMLElement} */ (focused).dataset.key : "";
  parent.replaceChildren(...children);
  if (key) /** @type {HTMLElement | null} */ (parent.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
}

/**
 * Runs something that a person asked for. Shows why, if it cannot be done: above the page, or where `show` says it.
 * @template T
 * @param {() => T | Promise<T>} run
 * @param {(why: string) => void} [show]
 */
export async function attempt(run, show = showError) {
  try {
    return await run();
  } catch (error) {
    show(error.message);
    return undefined;
  }
}

/**
 * A function that runs `run` with the next frame of the page, once for all its calls until then.
 * @param {() => void} run
 */
export function oncePerFrame(run) {
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      run();
    });
  };
}

/**
 * An input with its label above it.
 * @param {string} label
 * @param {Element} input
 */
export function field(label, input) {
  return make("label", { class: "field" }, make("span", {}, label), input);
}

/**
 * Shows an error above the page. Without a message, it shows what the browser lacks for good, or nothing.
 * @param {string} message
 */
export function showError(message) {
  const shown = at("error");
  const text = message || lacking;
  delete shown.dataset.waiting;
  if (shown.textContent !== text) shown.textContent = text;
  shown.hidden = !text;
  if (!message) return;
  at("loading").hidden = true; // what was loading has failed, or it says so again
  at("about").textContent = "";
  shown.scrollIntoView({ block: "nearest" });
}

/**
 * From now on, this is shown as long as there is no other error.
 * @param {string} message
 */
export function showLack(message) {
  lacking = message;
  showError("");
}
