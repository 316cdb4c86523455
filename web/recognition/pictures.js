// A photo and its smaller sizes, and parts of it, straightened. It is what Pyramid and straighten() are in
// mtg_image_db/recognition/finder.py, and Photo in retrieval.py.
//
//     const photo = photoOf(pixels);                          // ImageData, or {width, height, data: RGBA}
//     const card = straighten(photo.colour, quad, 244, 340);  // {width, height, channels, data: Uint8Array}
//     photo.close();                                          // frees the memory of OpenCV
//
// A quad is [[x, y] x 4] in pixels of the photo. quad[0] becomes the top left of what is straightened.

import { cv } from "./opencv.js";
import { roundToEven } from "./preparation.js";
import { rectangle, sidesOf } from "./quads.js";

/** @typedef {import("./opencv.js").Mat} Mat */
/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {{width: number, height: number, channels: number, data: Uint8Array | Uint8ClampedArray}} Picture */
/**
 * @typedef {{width: number, height: number, near: (scale: number) => {mat: Mat, level: number}, close: () => void}}
 *   Pyramid
 */
/** @typedef {{width: number, height: number, colour: Pyramid, grey: Pyramid, close: () => void}} Photo */

export const CARD_RATIO = 63 / 88; // a card's width divided by its height, both in mm

/**
 * A photo in colour and in grey: {colour, grey, width, height, close()}. Needs loadOpenCv().
 * @param {Pick<Picture, "width" | "height" | "data">} pixels
 * @returns {Photo}
 */
export function photoOf({ width, height, data }) {
  const rgba = new cv.Mat(height, width, cv.CV_8UC4);
  rgba.data.set(data);
  const [rgb, grey] = [new cv.Mat(), new cv.Mat()];
  cv.cvtColor(rgba, rgb, cv.COLOR_RGBA2RGB);
  rgba.delete();
  cv.cvtColor(rgb, grey, cv.COLOR_RGB2GRAY);
  return photoOfMats(rgb, grey);
}

/**
 * The photo as a mirror shows it.
 * @param {Photo} photo
 * @returns {Photo}
 */
export function mirroredPhoto(photo) {
  const [rgb, grey] = [photo.colour, photo.grey].map((pyramid) => {
    const mirrored = new cv.Mat();
    cv.flip(pyramid.near(1).mat, mirrored, 1);
    return mirrored;
  });
  return photoOfMats(rgb, grey);
}

function photoOfMats(rgb, grey) {
  const pyramids = [pyramidOf(rgb), pyramidOf(grey)];
  return {
    colour: pyramids[0], grey: pyramids[1], width: rgb.cols, height: rgb.rows,
    close: () => pyramids.forEach((pyramid) => pyramid.close()),
  };
}

/**
 * A Mat and its halved sizes: {near(scale), width, height, close()}. near gives {mat, level}: the smallest of the
 * halved pictures that is not smaller than scale, and its scale. Each is made when it is first needed. close() deletes
 * all.
 * @param {Mat} mat
 * @returns {Pyramid}
 */
function pyramidOf(mat) {
  const levels = [mat];
  return {
    width: mat.cols, height: mat.rows,
    near(scale) {
      let number = 0;
      for (let level = 1; level / 2 >= scale && Math.min(levels[number].rows, levels[number].cols) > 1; level /= 2) {
        number += 1;
        levels[number] ??= halved(levels[number - 1]);
      }
      return { mat: levels[number], level: 0.5 ** number };
    },
    close: () => levels.splice(0).forEach((level) => level.delete()),
  };
}

/**
 * What is inside a quad of a pyramid: {width, height, channels, data: Uint8Array [H * W * channels]}. Outside the
 * photo, the photo is mirrored: this suits the embedding. reflect: false repeats the border pixels: this suits the
 * hash.
 * @param {Pyramid} pyramid
 * @param {Quad} quad
 * @param {number} width
 * @param {number} height
 * @param {{reflect?: boolean}} [options]
 * @returns {Picture}
 */
export function straighten(pyramid, quad, width, height, { reflect = true } = {}) {
  const longest = Math.max(1, ...sidesOf(quad));
  return warped(pyramid.near((2 * height) / longest), quad, width, height, cv.INTER_LINEAR,
    reflect ? cv.BORDER_REFLECT : cv.BORDER_REPLICATE);
}

/**
 * What is inside a quad of a level of a pyramid. interpolation and border are constants of OpenCV.
 * @param {{mat: Mat, level: number}} from
 * @param {Quad} quad
 * @param {number} width
 * @param {number} height
 * @param {number} interpolation
 * @param {number} border
 * @returns {Picture}
 */
export function warped({ mat, level }, quad, width, height, interpolation, border) {
  const from = cv.matFromArray(4, 1, cv.CV_32FC2, quad.flatMap(([x, y]) => [x * level, y * level]));
  const to = cv.matFromArray(4, 1, cv.CV_32FC2, rectangle(width, height).flat());
  const view = cv.getPerspectiveTransform(from, to);
  const straight = new cv.Mat();
  cv.warpPerspective(mat, straight, view, new cv.Size(width, height), interpolation, border, new cv.Scalar());
  const picture = { width, height, channels: mat.channels(), data: Uint8Array.from(straight.data) };
  for (const used of [from, to, view, straight]) used.delete();
  return picture;
}

/**
 * A Mat with the pyramid's picture at a scale of at most 1.
 * @param {Pyramid} pyramid
 * @param {number} scale
 */
export function resized(pyramid, scale) {
  const [width, height] = [pyramid.width, pyramid.height].map((side) => Math.max(1, roundToEven(side * scale)));
  const small = new cv.Mat();
  cv.resize(pyramid.near(1).mat, small, new cv.Size(width, height), 0, 0, cv.INTER_AREA);
  return small;
}

function halved(mat) {
  const half = new cv.Mat();
  cv.resize(mat, half, new cv.Size(0, 0), 0.5, 0.5, cv.INTER_AREA);
  return half;
}
