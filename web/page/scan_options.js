// The options of a scan, in a dialog: the list, the set and the language that are meant, sound, vibration, the camera.
//
//     openOptions(kept, camera, { useCamera, whenDone, complain });

import { attempt, field, make } from "./dom.js";
import { setting } from "./settings.js";
import { sound, vibration } from "./signals.js";

/**
 * @param {any} kept
 * @param {any} camera
 * @param {{useCamera: (id: string) => void, whenDone: () => void, complain: (why: string) => void}} actions
 */
export async function openOptions(kept, camera, { useCamera, whenDone, complain }) {
  const [set, lang] = [setting("set", ""), setting("lang", "")];
  const lists = await kept.refresh();
  const dialog = /** @type {HTMLDialogElement} */ (make("dialog", { "aria-labelledby": "options-title" },
    make("h2", { id: "options-title" }, "Options"),
    field("List", select(lists.map(({ id, name }) => [String(id), name]), String(kept.current().id),
      (id) => attempt(() => kept.use(id), complain))),
    field("Only this set", make("input", { type: "text", value: set.get(), placeholder: "any, or a code: MH1",
      autocapitalize: "characters", spellcheck: "false",
      onchange: ({ target }) => set.set(target.value.trim().toLowerCase()) })),
    field("Only this language", select([["", "any"], ...Object.entries(kept.languages)], lang.get(),
      (value) => lang.set(value))),
    camera?.cameras.length > 1 && field("Camera", select(camera.cameras.map(({ id, label }) => [id, label]), camera.id,
      (id) => useCamera(id))),
    check("Sound", sound), check("Vibration", vibration),
    make("form", { method: "dialog" }, make("button", { class: "main" }, "Done"))));
  dialog.addEventListener("close", () => {
    dialog.remove();
    whenDone();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function select(choices, chosen, onChoose) {
  return make("select", { onchange: ({ target }) => onChoose(target.value) }, ...choices.map(([value, label]) =>
    make("option", { value, selected: value === chosen }, label)));
}

function check(label, kept) {
  return make("label", { class: "check" }, make("input", { type: "checkbox", checked: kept.get() === "on",
    onchange: ({ target }) => kept.set(target.checked ? "on" : "off") }), label);
}
