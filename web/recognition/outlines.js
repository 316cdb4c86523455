// A picture -> black and white pictures. In some of them, a card's outline is closed. It is _outlines() of
// mtg_image_db/recognition/finder.py, whose comments explain the numbers.
//
//     for (const outlines of outlinesOf(work)) ...       // work: a Mat, RGB. outlines: a Mat of 0 and 255, used again

import { cv } from "./opencv.js";

const CANNY = [[20, 60], [50, 120], [90, 200]];
const ADAPTIVE = [[51, 7], [151, 10], [51, -7]];
const PERCENTILES = [10, 25, 40, 55];
const EDGE = 8; // pixels

/** @param {import("./opencv.js").Mat} work */
export function* outlinesOf(work) {
  const lab = new cv.Mat();
  cv.cvtColor(work, lab, cv.COLOR_RGB2Lab);
  cv.GaussianBlur(lab, lab, new cv.Size(5, 5), 0);
  const channels = new cv.MatVector();
  cv.split(lab, channels);
  const [grey, red, blue] = [0, 1, 2].map((i) => channels.get(i));
  channels.delete();
  const [edges, other] = [new cv.Mat(), new cv.Mat()];
  const thick = cv.Mat.ones(3, 3, cv.CV_8U);
  for (const [weak, strong] of CANNY) {
    cv.Canny(grey, edges, weak, strong);
    cv.dilate(edges, edges, thick);
    yield edges;
  }
  cv.Canny(red, edges, 15, 40);
  cv.Canny(blue, other, 15, 40);
  cv.max(edges, other, edges);
  cv.dilate(edges, edges, thick);
  yield edges;
  for (const [window, difference] of ADAPTIVE) {
    cv.adaptiveThreshold(grey, edges, 255, cv.ADAPTIVE_THRESH_MEAN_C,
      difference > 0 ? cv.THRESH_BINARY_INV : cv.THRESH_BINARY, window, difference);
    yield edges;
  }
  const counts = counted(grey.data);
  for (const value of PERCENTILES.map((percent) => percentile(counts, percent))) {
    cv.threshold(grey, edges, value, 255, cv.THRESH_BINARY);
    yield edges;
  }
  const far = farFromTable(lab);
  const split = cv.threshold(far, edges, 0, 255, cv.THRESH_BINARY + cv.THRESH_OTSU);
  yield edges;
  cv.threshold(far, edges, split / 2, 255, cv.THRESH_BINARY);
  yield edges;
  for (const mat of [lab, grey, red, blue, edges, other, thick, far]) mat.delete();
}

// The value below which a share of the counted values are, as numpy.percentile has it.
function percentile(counts, percent) {
  const total = counts.reduce((sum, count) => sum + count);
  const place = (percent / 100) * (total - 1);
  const at = (number) => {
    let seen = 0;
    return counts.findIndex((count) => (seen += count) > number);
  };
  const low = at(Math.floor(place));
  return low + (at(Math.ceil(place)) - low) * (place - Math.floor(place));
}

// How often each value is in a picture.
function counted(values) {
  const counts = new Uint32Array(256);
  for (let i = 0; i < values.length; i++) counts[values[i]] += 1;
  return counts;
}

// Twice the distance of each pixel to the table's colour: the median of what is near the picture's edge.
function farFromTable(lab) {
  const far = new cv.Mat(lab.rows, lab.cols, cv.CV_8U); // first: a new Mat may move the data of the others
  const { rows, cols, data } = lab;
  const counts = [new Uint32Array(256), new Uint32Array(256), new Uint32Array(256)];
  const count = (top, bottom, left, right) => {
    for (let y = Math.max(0, top); y < Math.min(rows, bottom); y++) {
      for (let x = Math.max(0, left); x < Math.min(cols, right); x++) {
        for (let channel = 0; channel < 3; channel++) counts[channel][data[3 * (y * cols + x) + channel]] += 1;
      }
    }
  };
  count(0, EDGE, 0, cols);
  count(rows - EDGE, rows, 0, cols);
  count(0, rows, 0, EDGE);
  count(0, rows, cols - EDGE, cols);
  const [light, red, blue] = counts.map((values) => percentile(values, 50));
  const into = far.data;
  for (let i = 0, at = 0; i < into.length; i++, at += 3) {
    const [l, a, b] = [data[at] - light, data[at + 1] - red, data[at + 2] - blue];
    into[i] = Math.min(255, 2 * Math.sqrt(l * l + a * a + b * b));
  }
  return far;
}
