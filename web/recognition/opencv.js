// OpenCV, as WebAssembly. It has the version that the Python scripts use, so that both find the same places.
//
//     import { cv, loadOpenCv } from "./opencv.js";
//
//     await loadOpenCv();                          // once: 13 MB, 0.3 s
//     const grey = new cv.Mat();                   // whoever makes a Mat calls its delete()
//
// Reads vendor/opencv.js, from the npm package @techstark/opencv-js (Apache-2.0). `make web` puts it there.

/** @typedef {import("@techstark/opencv-js").Mat} Mat */
/** @typedef {(curve: Mat, into: Mat, sides: number, epsilon: number, convex: boolean) => void} ApproxPolyN */
/** @typedef {typeof import("@techstark/opencv-js") & {approxPolyN: ApproxPolyN}} OpenCv  its own types lack that */

const PROGRAM = new URL("../vendor/opencv.js", import.meta.url);

export let cv = /** @type {OpenCv} */ (/** @type {unknown} */ (null)); // whoever uses it has waited for loadOpenCv()
let loading = /** @type {Promise<void> | null} */ (null);

export function loadOpenCv() {
  loading ??= load().catch((error) => {
    loading = null; // so that the next picture tries again
    throw error;
  });
  return loading;
}

async function load() {
  try {
    await import(PROGRAM.href); // no module: it leaves a promise in a global variable
    cv = await /** @type {any} */ (globalThis).cv;
  } catch {
    throw new Error("OpenCV, which finds the cards in a picture, is not installed: make web");
  }
}
