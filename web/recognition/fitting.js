// Measures how alike a place in a photo and an indexed picture are, and moves the corners to raise it. It is the twin
// of mtg_image_db/recognition/fitting.py.
//
//     const { similarity, quad } = fitCorners(start, alike, hashes, row, photo.grey, decision);
//
// The constants come from meta.json, as readDecision() of decision.js gives them.

import { HIGH, WIDE, kernel } from "./hash_kernel.js";
import { ART_OFFSET, ROW_BYTES, artHashOfSquares, artSimilarity, hashOfSquare, similarity } from "./picture_hash.js";
import { area, inside, moved, projection, sidesOf } from "./quads.js";

/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {import("./pictures.js").Pyramid} Pyramid */
/** @typedef {import("./decision.js").Decision} Decision */

const TINY = 1e-7; // so that each pixel has one beside it and one below

/**
 * Uint32Array [8], the hash of what is inside a quad of a photo's grey pyramid.
 * @param {Quad} quad
 * @param {Pyramid} pyramid
 */
export function hashAt(quad, pyramid) {
  straightenSquares(quad, pyramid);
  return hashOfSquare();
}

/**
 * Uint32Array [24], the hash of the art of a card at a quad of a photo's colour pyramid. art: its left, top, right and
 * bottom as shares of the card's width and height.
 * @param {Quad} quad
 * @param {Pyramid} pyramid
 * @param {number[]} art
 */
export function artHashAt(quad, pyramid, art) {
  straightenSquares(inside(quad, art), pyramid);
  return artHashOfSquares();
}

/**
 * Moves corners and sides to where the complete card is most similar to a row: {similarity, quad}. alike is the
 * similarity of the quad before any move. words: the hashes of the index.
 * @param {Quad} quad
 * @param {number} alike
 * @param {Uint32Array} words
 * @param {number} row
 * @param {Pyramid} pyramid
 * @param {Decision} decision
 */
export function fitCorners(quad, alike, words, row, pyramid, { steps, hopeless, moves }) {
  const at = (row * ROW_BYTES) / 4;
  return fitted(quad, alike, steps, hopeless, moves, (other) => similarity(hashAt(other, pyramid), words, at));
}

/**
 * The highest similarity of a card's art to that of a row, after small moves of the corners and sides.
 * @param {Quad} quad
 * @param {Uint32Array} words
 * @param {number} row
 * @param {Pyramid} pyramid
 * @param {Decision} decision
 */
export function bestArt(quad, words, row, pyramid, { art, artSteps, artHopeless, moves }) {
  const at = (row * ROW_BYTES + ART_OFFSET) / 4;
  const similarityAt = (other) => artSimilarity(artHashAt(other, pyramid, art), words, at);
  const alike = similarityAt(quad);
  return alike < artHopeless ? alike : fitted(quad, alike, artSteps, artHopeless, moves, similarityAt).similarity;
}

// Moves corners and sides, at most `moves` times with each step, each time to the highest similarity.
function fitted(quad, alike, steps, hopeless, moves, similarityAt) {
  let best = { similarity: alike, quad };
  for (const step of steps) {
    if (step < steps[0] && best.similarity < hopeless) break;
    for (let move = 0; move < moves; move++) {
      const before = best;
      for (const other of moved(before.quad, step * Math.sqrt(area(before.quad)))) {
        const found = similarityAt(other);
        if (found > best.similarity) best = { similarity: found, quad: other };
      }
      if (best === before) break;
    }
  }
  return best;
}

// Writes what is inside a quad of a grey or RGB pyramid into the kernel's squares. As in fitting.py, it is first
// straightened to WIDE x HIGH, between the pixels of the photo by bilinear interpolation. Outside the photo, the pixels
// of its border repeat.
function straightenSquares(quad, pyramid) {
  const { mat, level } = pyramid.near((2 * HIGH) / Math.max(1, ...sidesOf(quad)));
  const channels = mat.channels();
  const straighten = channels === 1 ? straightenGrey : straightenColour;
  straighten(mat.data, mat.cols, mat.rows, projection(quad), level);
  for (let channel = 0; channel < channels; channel++) kernel.shrink(channel);
}

function straightenGrey(data, width, height, view, level) {
  const [card] = kernel.cards;
  const [right, bottom] = [width - 1 - TINY, height - 1 - TINY];
  const [stepX, stepY, stepW] = [(view.a * level) / WIDE, (view.d * level) / WIDE, view.g / WIDE];
  for (let row = 0, i = 0; row < HIGH; row++) {
    const down = row / HIGH;
    let across = (view.b * down + view.c) * level;
    let along = (view.e * down + view.f) * level;
    let depth = view.h * down + 1;
    for (const end = i + WIDE; i < end; i++) {
      const inverse = 1 / depth;
      let x = across * inverse;
      let y = along * inverse;
      x = x > 0 ? (x < right ? x : right) : 0;
      y = y > 0 ? (y < bottom ? y : bottom) : 0;
      const left = x | 0;
      const top = y | 0;
      const u = x - left;
      const at = top * width + left;
      const below = at + width;
      const upper = data[at] + u * (data[at + 1] - data[at]);
      const lower = data[below] + u * (data[below + 1] - data[below]);
      card[i] = upper + (y - top) * (lower - upper) + 0.5;
      across += stepX;
      along += stepY;
      depth += stepW;
    }
  }
}

function straightenColour(data, width, height, view, level) {
  const [red, green, blue] = kernel.cards;
  const [right, bottom] = [width - 1 - TINY, height - 1 - TINY];
  const [stepX, stepY, stepW] = [(view.a * level) / WIDE, (view.d * level) / WIDE, view.g / WIDE];
  for (let row = 0, i = 0; row < HIGH; row++) {
    const down = row / HIGH;
    let across = (view.b * down + view.c) * level;
    let along = (view.e * down + view.f) * level;
    let depth = view.h * down + 1;
    for (const end = i + WIDE; i < end; i++) {
      const inverse = 1 / depth;
      let x = across * inverse;
      let y = along * inverse;
      x = x > 0 ? (x < right ? x : right) : 0;
      y = y > 0 ? (y < bottom ? y : bottom) : 0;
      const left = x | 0;
      const top = y | 0;
      const u = x - left;
      const v = y - top;
      const at = 3 * (top * width + left);
      const below = at + 3 * width;
      let upper = data[at] + u * (data[at + 3] - data[at]);
      red[i] = upper + v * (data[below] + u * (data[below + 3] - data[below]) - upper) + 0.5;
      upper = data[at + 1] + u * (data[at + 4] - data[at + 1]);
      green[i] = upper + v * (data[below + 1] + u * (data[below + 4] - data[below + 1]) - upper) + 0.5;
      upper = data[at + 2] + u * (data[at + 5] - data[at + 2]);
      blue[i] = upper + v * (data[below + 2] + u * (data[below + 5] - data[below + 2]) - upper) + 0.5;
      across += stepX;
      along += stepY;
      depth += stepW;
    }
  }
}
