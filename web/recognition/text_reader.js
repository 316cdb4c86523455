// A picture -> where lines of text are, and what they say. It is what text_reader.py is in mtg_image_db/recognition/.
//
//     const reader = await openReader((file) => bytesOf(file), meta.recognition.reading);
//     const lines = await reader.lines(photo.colour, await reader.find(photo.colour.near(1).mat, 512));
//
// Reads the networks that meta.json names, each when it is first needed: 10 MB find lines, 21 MB read them.

import { ALPHABET, textOf } from "./letters.js";
import { openNetwork } from "./networks.js";
import { cv } from "./opencv.js";
import { warped } from "./pictures.js";
import { roundToEven } from "./preparation.js";

/** @typedef {import("./pictures.js").Picture} Picture */
/** @typedef {import("./pictures.js").Pyramid} Pyramid */
/** @typedef {import("./letters.js").Letters} Letters */
/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {Awaited<ReturnType<typeof openReader>>} Reader */
/** @typedef {{quad: Quad, text: string}} Line  corners clockwise from the top left of the text */

export const HEIGHT = 48; // pixels of a strip
const COLUMN = 8; // pixels of a column that the network reads
const MAX_WIDTH = 960; // of a strip: 20 times the height. A name of 30 letters takes 12
const TURN_WIDTH = 192; // of the strips that are looked at for being upside down
const BATCH = 8; // strips at a time: they are as wide as the widest
const STEP = 32; // the sides of a picture in which lines are found are multiples of it
// From text_reader.py: a pixel is text from this probability on, a line from this mean of its pixels on. What is marked
// is the middle of a line. The line is larger, by this share of its area divided by its outline.
const [TEXT_PIXEL, TEXT_LINE, LARGER] = [0.3, 0.5, 1.6];
const SURELY_TURNED = 0.9;
const MIN_SIDE = 3; // pixels of a line, as it is marked
const LEAST = 1e-6; // probabilities below it count as this one

/**
 * Resolves to {rules, find, standOnHead, read, lines}. networkBytes(file) resolves to the bytes of a network, where
 * file is its entry of reading.networks. reading: meta.recognition.reading, which is `rules` of the reader.
 * @param {(file: any) => Promise<Uint8Array>} networkBytes
 * @param {any} reading
 */
export async function openReader(networkBytes, reading) {
  const { networks, positions } = reading;
  if (!networks || reading.alphabet !== ALPHABET.join("")) {
    throw new Error("The index was exported without what reads text. "
      + "Run python export_for_browser.py --with-model --with-reading again.");
  }
  const opened = {};
  const run = async (name, numbers, shape) => {
    opened[name] ??= networkBytes(networks[name]).then(openNetwork).catch((error) => {
      opened[name] = undefined; // so that the next photo tries again
      throw error;
    });
    return (await opened[name]).run(numbers, shape);
  };

  /**
   * The lines of text in a photo (an RGB Mat), looked for in one whose longer side has this many pixels: quads in
   * pixels of the photo. The text is assumed to be read to the right, or downward: see standOnHead().
   * @param {import("./opencv.js").Mat} photo
   * @param {number} side
   * @returns {Promise<Quad[]>}
   */
  async function find(photo, side) {
    const scale = Math.min(1, side / Math.max(photo.cols, photo.rows));
    const [width, height] = [photo.cols, photo.rows].map((length) =>
      Math.max(STEP, roundToEven((length * scale) / STEP) * STEP));
    const resized = resizedTo(photo, width, height, scale < 1 ? cv.INTER_AREA : cv.INTER_LINEAR);
    const { data } = await run("find", batchOf([resized], width), [1, 3, height, width]);
    const [across, down] = [photo.cols / width, photo.rows / height];
    return linesOf(data, width, height).map((quad) => quad.map(([x, y]) => [x * across, y * down]));
  }

  /**
   * Whether each strip (HEIGHT pixels high) shows its text upside down.
   * @param {Picture[]} strips
   */
  async function standOnHead(strips) {
    if (strips.length === 0) return [];
    const narrow = strips.map((strip) => {
      if (strip.width <= TURN_WIDTH) return strip;
      const mat = matOf(strip);
      const picture = resizedTo(mat, TURN_WIDTH, HEIGHT, cv.INTER_LINEAR);
      mat.delete();
      return picture;
    });
    const { data } = await run("turn", batchOf(narrow, TURN_WIDTH), [strips.length, 3, HEIGHT, TURN_WIDTH]);
    return strips.map((_, at) => data[2 * at + 1] > SURELY_TURNED);
  }

  /**
   * What stands on strips (HEIGHT pixels high): Letters for each.
   * @param {Picture[]} strips
   * @returns {Promise<Letters[]>}
   */
  async function read(strips) {
    const found = new Array(strips.length);
    const byWidth = strips.map((_, at) => at).sort((a, b) => strips[a].width - strips[b].width);
    for (let start = 0; start < byWidth.length; start += BATCH) {
      const chosen = byWidth.slice(start, start + BATCH);
      const width = Math.ceil(strips[chosen[chosen.length - 1]].width / STEP) * STEP;
      const pixels = batchOf(chosen.map((at) => strips[at]), width);
      const { data, dims: [, most, known] } = await run("read", pixels, [chosen.length, 3, HEIGHT, width]);
      chosen.forEach((at, number) => {
        const count = Math.min(most, Math.ceil(strips[at].width / COLUMN));
        const logs = new Float32Array(count * positions.length);
        for (let column = 0, to = 0; column < count; column++) {
          const from = (number * most + column) * known;
          for (const position of positions) logs[to++] = Math.log(Math.max(data[from + position], LEAST));
        }
        found[at] = { count, logs };
      });
    }
    return found;
  }

  /**
   * Reads the lines of an RGB photo that find() has found there.
   * @param {Pyramid} photo
   * @param {Quad[]} quads
   * @returns {Promise<Line[]>}
   */
  async function lines(photo, quads) {
    const strips = quads.map((quad) => stripOf(photo, quad));
    const turned = await standOnHead(strips);
    const letters = await read(strips.map((strip, at) => (turned[at] ? onHead(strip) : strip)));
    return quads.map((quad, at) => ({
      quad: turned[at] ? [...quad.slice(2), ...quad.slice(0, 2)] : quad, text: textOf(letters[at]),
    }));
  }

  return { rules: reading, find, standOnHead, read, lines };
}

/**
 * Cuts a line of text out of an RGB photo: a picture HEIGHT pixels high. Without a width, it has the line's shape.
 * @param {Pyramid} photo
 * @param {Quad} quad
 * @param {number} [width]
 * @returns {Picture}
 */
export function stripOf(photo, quad, width = undefined) {
  const side = (from, to) => Math.hypot(quad[to][0] - quad[from][0], quad[to][1] - quad[from][1]);
  const along = side(0, 1) + side(3, 2);
  const down = Math.max(1, side(0, 3) + side(1, 2));
  const wide = width ?? Math.min(MAX_WIDTH, Math.max(Math.floor(HEIGHT / 3), roundToEven((HEIGHT * along) / down)));
  // Cubic: of 32 cards that are 250 pixels high, it decides 25 printings, where linear decides 23.
  return warped(photo.near((2 * HEIGHT) / down), quad, wide, HEIGHT, cv.INTER_CUBIC, cv.BORDER_REPLICATE);
}

function matOf({ width, height, data }) {
  const mat = new cv.Mat(height, width, cv.CV_8UC3);
  mat.data.set(data);
  return mat;
}

function resizedTo(mat, width, height, interpolation) {
  const small = new cv.Mat();
  cv.resize(mat, small, new cv.Size(width, height), 0, 0, interpolation);
  const picture = { width, height, channels: 3, data: Uint8Array.from(small.data) };
  small.delete();
  return picture;
}

// A strip, turned by 180 degrees.
function onHead(strip) {
  const data = new Uint8Array(strip.data.length);
  for (let from = 0, to = data.length - 3; to >= 0; from += 3, to -= 3) {
    for (let channel = 0; channel < 3; channel++) data[to + channel] = strip.data[from + channel];
  }
  return { ...strip, data };
}

// RGB pictures of one height as planes of -1 to 1, [n, 3, height, width]. Beside a narrow one it is grey.
function batchOf(pictures, width) {
  const { height } = pictures[0];
  const size = height * width;
  const batch = new Float32Array(pictures.length * 3 * size);
  pictures.forEach((picture, number) => {
    for (let y = 0, from = 0; y < height; y++) {
      for (let x = 0, to = 3 * size * number + y * width; x < picture.width; x++, to++) {
        for (let plane = 0; plane < 3; plane++) batch[to + plane * size] = picture.data[from++] / 127.5 - 1;
      }
    }
  });
  return batch;
}

// The quads of the lines of text in what the network answers: a probability for each pixel.
function linesOf(chances, width, height) {
  const text = new cv.Mat(height, width, cv.CV_8UC1);
  text.data.set(Uint8Array.from(chances, (chance) => Number(chance > TEXT_PIXEL)));
  const [outlines, levels] = [new cv.MatVector(), new cv.Mat()];
  cv.findContours(text, outlines, levels, cv.RETR_LIST, cv.CHAIN_APPROX_SIMPLE);
  const found = [];
  for (let at = 0; at < outlines.size(); at++) {
    const outline = outlines.get(at);
    const quad = lineOf(cv.minAreaRect(outline), chances, width, height);
    outline.delete();
    if (quad) found.push(quad);
  }
  for (const used of [text, outlines, levels]) used.delete();
  return found;
}

// The line of text whose middle has this rectangle around it, or null if it is none.
function lineOf(around, chances, width, height) {
  const { width: first, height: second } = around.size;
  if (Math.min(first, second) < MIN_SIDE || meanInside(around, chances, width, height) < TEXT_LINE) return null;
  const more = (LARGER * first * second) / (first + second); // on both sides together
  return alongText(cornersOf({ ...around, size: { width: first + more, height: second + more } }));
}

// The mean probability inside a rectangle, or 0 if that is not in the picture.
function meanInside(around, chances, width, height) {
  const corners = cornersOf(around);
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  const [left, top] = [xs, ys].map((numbers) => Math.max(0, Math.floor(Math.min(...numbers))));
  const right = Math.min(width, Math.ceil(Math.max(...xs)) + 1);
  const bottom = Math.min(height, Math.ceil(Math.max(...ys)) + 1);
  const mask = cv.Mat.zeros(bottom - top, right - left, cv.CV_8UC1);
  const polygon = cv.matFromArray(4, 1, cv.CV_32SC2, corners.flatMap(([x, y]) =>
    [roundToEven(x - left), roundToEven(y - top)]));
  const polygons = new cv.MatVector();
  polygons.push_back(polygon);
  cv.fillPoly(mask, polygons, new cv.Scalar(1));
  let [sum, count] = [0, 0];
  mask.data.forEach((isInside, at) => {
    if (!isInside) return;
    sum += chances[(top + Math.floor(at / mask.cols)) * width + left + (at % mask.cols)];
    count += 1;
  });
  for (const used of [mask, polygon, polygons]) used.delete();
  return count > 0 ? sum / count : 0;
}

function cornersOf(rectangle) {
  return cv.RotatedRect.points(rectangle).map(({ x, y }) => [x, y]);
}

// The corners of a rectangle, clockwise, so that the first side is a long one that leads to the right, or downward if
// it is steep.
function alongText(corners) {
  const side = (from, to) => [corners[to][0] - corners[from][0], corners[to][1] - corners[from][1]];
  const start = Math.hypot(...side(0, 1)) < Math.hypot(...side(1, 2)) ? 1 : 0;
  const [right, down] = side(start, start + 1);
  const steep = Math.abs(right) < 0.3 * Math.abs(down);
  const first = start + ((steep ? down : right) < 0 ? 2 : 0);
  return [0, 1, 2, 3].map((at) => corners[(first + at) % 4]);
}
