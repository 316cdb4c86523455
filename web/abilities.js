// What this browser can do of what the page offers.
//
//     const { similar, pictures, lacking } = abilities();
//
// similar: search for similar cards; pictures: search by picture. lacking names what the browser lacks and says what
// still works. It is empty where nothing is missing.

const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0,
  65, 0, 253, 15, 253, 98, 11); // the smallest module with an instruction of WebAssembly SIMD
const NAMES_ONLY = "Similar cards and pictures cannot be searched. Names can.";

/** @returns {{ similar: boolean, pictures: boolean, lacking: string }} */
export function abilities() {
  if (typeof WebAssembly !== "object") return without(`no WebAssembly, or it is switched off. ${NAMES_ONLY}`);
  if (!WebAssembly.validate(SIMD)) return without(`no WebAssembly SIMD: it is too old. ${NAMES_ONLY}`);
  if (typeof createImageBitmap === "function") return { similar: true, pictures: true, lacking: "" };
  return { ...without("no createImageBitmap: it is too old. Pictures cannot be searched. Names can."), similar: true };
}

function without(/** @type {string} */ what) {
  return { similar: false, pictures: false, lacking: `This browser has ${what}` };
}
