// Places in a photo -> the rows of the index that each may show, by the embedding and by the hash of the art. It is the
// twin of mtg_image_db/recognition/retrieval.py.
//
//     const glimpses = places.map((place) => glimpseOf(place, photo, question));
//     const views = await viewsOf(glimpses, photo, question);
//
// A row is retrieved if its vector is among the nearest to the view's, or the hash of its art among the nearest to
// those of the view. The mean of the cosine, the similarity of the complete card and that of the art ranks the rows.

import { scoreOf } from "../index/card_index.js";
import { artHashAt, hashAt } from "./fitting.js";
import { ART_OFFSET, ROW_BYTES, artHash, artSimilarity, pictureHash, similarity } from "./picture_hash.js";
import { CARD_RATIO, straighten } from "./pictures.js";
import { grown } from "./quads.js";

/** @typedef {import("./pictures.js").Photo} Photo */
/** @typedef {import("./corner_refiner.js").Place} Place */
/** @typedef {import("./decision.js").Question} Question */
/** @typedef {import("./quads.js").Quad} Quad */
/** @typedef {{complete: Uint32Array[], art: Uint32Array[]}} Signs  the hashes of a place at each of the sizes */
/** @typedef {ReturnType<typeof glimpseOf>} Glimpse */
/** @typedef {ReturnType<typeof viewOfRows>} View */
/** @typedef {import("../index/card_index.js").Measured} Measured */

// Pixels of the longer side with which a complete photo is hashed. Indexed pictures are hashed as they are: they have
// at most 1,040. For a photo of 12 million pixels, this takes 8 ms instead of 34.
const HASHED_WHOLE = 1024;
const MIN_STRAIGHTENED = 244; // smallest width in pixels of a straightened card, as in retrieval.py

/**
 * What the hashes tell of a place, before anything else looks at it: {place, quad, signs, rows, art, evidence}. rows:
 * those with similar art. art: the similarity of the most similar one. evidence: the highest sum of the similarities of
 * the complete card and of its art. It costs a tenth of what a vector costs.
 * @param {Place} place
 * @param {Photo} photo
 * @param {Question} question
 */
export function glimpseOf(place, photo, { index, decision, k }) {
  const signs = signsAt(place.quad, photo, decision);
  const rows = new Set(signs.art.flatMap((hash) => index.nearestByArt(hash, Math.max(k, decision.retrievedByArt))));
  let [art, evidence] = [0, 0];
  for (const row of rows) {
    const { similarity: alike, artSimilarity } = alikeTo(row, signs, index);
    art = Math.max(art, artSimilarity);
    evidence = Math.max(evidence, alike + artSimilarity);
  }
  return { place, quad: place.quad, signs, rows, art, evidence };
}

/**
 * The views of some glimpses, each with at least k rows: by the vectors of the places, and by the hashes of their art.
 * Places to which the model gives no finite vector are left out.
 * @param {Glimpse[]} glimpses
 * @param {Photo} photo
 * @param {Question} question
 * @returns {Promise<View[]>}
 */
export async function viewsOf(glimpses, photo, question) {
  const { index, model, decision, k } = question;
  const vectors = await embedded(photo, glimpses.map(({ place }) => place), model);
  return glimpses.flatMap(({ place, signs, rows }, at) => {
    if (!Number.isFinite(vectors[at][0])) return [];
    const near = index.nearest(vectors[at], Math.max(k, decision.retrieved)).map(({ row }) => row);
    const retrieved = [...new Set([...rows, ...near])].sort((one, other) => one - other);
    return [viewOfRows(place, vectors[at], signs, retrieved, index)];
  });
}

/**
 * Straightens and embeds places: a unit vector for each.
 * @param {Photo} photo
 * @param {Place[]} places
 * @param {import("./embedder.js").Model} model
 * @returns {Promise<Float32Array[]>}
 */
export async function embedded(photo, places, model) {
  const width = Math.max(MIN_STRAIGHTENED, model.inputSize);
  const vectors = [];
  for (let start = 0; start < places.length; start += model.batch) {
    vectors.push(...await model.embed(places.slice(start, start + model.batch).map(({ quad }) =>
      (isFrame(quad, photo) ? pictureOf(photo.colour, 2 * model.inputSize)
        : straighten(photo.colour, quad, width, Math.round(width / CARD_RATIO))))));
  }
  return vectors;
}

/**
 * The view of a place with these rows: {place, quad, rows, measured, scores, bestSize, best}. measured: how alike each
 * row is, at the best of the sizes. bestSize: the position of that size for the complete card. best: the highest score.
 * @param {Place} place
 * @param {Float32Array} vector
 * @param {Signs} signs
 * @param {number[]} rows
 * @param {import("../index/card_index.js").OpenedIndex} index
 */
export function viewOfRows(place, vector, signs, rows, index) {
  const alike = rows.map((row) => alikeTo(row, signs, index));
  const measured = alike.map(({ similarity: complete, artSimilarity }, at) =>
    ({ cosine: index.vectors.cosine(vector, rows[at]), similarity: complete, artSimilarity }));
  const scores = measured.map(scoreOf);
  const bestSize = alike.map(({ size }) => size);
  return { place, quad: place.quad, rows, measured, scores, bestSize, best: Math.max(...scores) };
}

// How alike a row is, at the best of the sizes, and the position of that size for the complete card.
function alikeTo(row, signs, { words }) {
  const at = (row * ROW_BYTES) / 4;
  const complete = signs.complete.map((hash) => similarity(hash, words, at));
  const art = signs.art.map((hash) => artSimilarity(hash, words, at + ART_OFFSET / 4));
  const best = Math.max(...complete);
  return { similarity: best, artSimilarity: Math.max(...art), size: complete.indexOf(best) };
}

/**
 * {complete, art}: the hashes of a place at each of the sizes.
 * @param {Quad} quad
 * @param {Photo} photo
 * @param {import("./decision.js").Decision} decision
 * @returns {Signs}
 */
export function signsAt(quad, photo, { sizes, art }) {
  const quads = sizes.map((size) => grown(quad, size));
  const signs = {
    complete: quads.map((other) => hashAt(other, photo.grey)),
    art: quads.map((other) => artHashAt(other, photo.colour, art)),
  };
  if (isFrame(quad, photo)) { // as the index hashes its pictures, so that an indexed picture has the same bits
    const at = sizes.indexOf(0);
    const scale = HASHED_WHOLE / Math.max(photo.width, photo.height);
    signs.complete[at] = pictureHash(photo.grey.near(scale).mat);
    signs.art[at] = artHash(photo.colour.near(scale).mat, art);
  }
  return signs;
}

// Whether the quad is the complete photo, upright.
function isFrame(quad, { width, height }) {
  return String(quad) === String([[0, 0], [width, 0], [width, height], [0, height]]);
}

// A pyramid's picture: the smallest size of which no side is shorter than this.
function pictureOf(pyramid, side) {
  const { mat } = pyramid.near(side / Math.min(pyramid.width, pyramid.height));
  return { width: mat.cols, height: mat.rows, channels: mat.channels(), data: mat.data };
}
