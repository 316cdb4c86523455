// What a person chose, kept in this browser.
//
//     const sound = setting("sound", "on");
//     sound.get(); sound.set("off");

/**
 * @param {string} name
 * @param {string} first the value until one is chosen
 */
export function setting(name, first) {
  return {
    get() {
      try {
        return localStorage.getItem(`scanner-${name}`) ?? first;
      } catch {
        return first; // storage is switched off
      }
    },
    /** @param {string} value */
    set(value) {
      try {
        localStorage.setItem(`scanner-${name}`, value);
      } catch {
        // it counts until the page is closed
      }
    },
  };
}
