// An open index with its model. It is the twin of mtg_image_db/recognition/open_index.py: what a page asks for.
//
//     const index = await openIndex("./", onProgress);
//     const { cards } = await index.name(blob, { k: 3 });
//
// A page imports search.js, which runs this in a worker. The model, the hashes, the networks and OpenCV are loaded with
// the first picture, and the text side of the model with the first words.

import { abilities } from "../abilities.js";
import { readBytes } from "../index/artefacts.js";
import { openCardIndex, rounded } from "../index/card_index.js";
import { openCardSearch } from "../index/card_search.js";
import { findListed } from "../index/listed_cards.js";
import { normalise } from "../index/scores.js";
import { bestRows } from "../index/word_search.js";
import { cardReader } from "./card_reader.js";
import { inReadingOrder } from "./cards.js";
import { readDecision } from "./decision.js";
import { openEmbedder } from "./embedder.js";
import { nameCards, namePhoto } from "./namer.js";
import { loadOpenCv } from "./opencv.js";
import { photoOf } from "./pictures.js";
import { inTurns, openPlaces } from "./places.js";
import { decode } from "./preparation.js";
import { isClockwise, turned } from "./quads.js";
import { openTextEmbedder } from "./text_embedder.js";
import { openReader } from "./text_reader.js";

const NO_WORDS = "This index was exported without words. Export it again with --with-text: it must be of a CLIP model.";
const QUICK_PLACES = 2; // places of a camera's picture that are judged: the next picture comes soon

/**
 * Opens the index at base, a URL that ends in /. onProgress({what, part}) hears what is loading: part goes from 0 to 1.
 * @param {string} base
 * @param {import("../index/card_index.js").OnProgress} [onProgress]
 */
export async function openIndex(base, onProgress = () => {}) {
  const index = await openCardIndex(base, onProgress);
  const { rows, meta, record, value } = index;
  const { similar, pictures, lacking } = abilities();
  const words = openCardSearch(meta);
  const answer = (found) => found.map(({ row, score }) => ({ row, score, record: record(row) }));
  let loading = /** @type {ReturnType<typeof loadRecognition> | null} */ (null);
  let loadingWords = /** @type {ReturnType<typeof loadWords> | null} */ (null);
  let rowsById = /** @type {Map<string, number> | null} */ (null);
  const loaded = () => {
    if (!pictures) throw new Error(lacking);
    loading ??= loadRecognition(base, index, onProgress).catch((error) => {
      loading = null; // so that the next picture tries again
      throw error;
    });
    return loading;
  };
  const loadedWords = () => {
    loadingWords ??= loadWords(base, meta, onProgress).catch((error) => {
      loadingWords = null; // so that the next words try again
      throw error;
    });
    return loadingWords;
  };
  const embedded = async (source) => (await (await loaded()).model.embed([(await decode(source)).picture]))[0];

  const about = {
    cards: rows, dimension: meta.dimension, model: meta.model, similar, lacking,
    pictures: Boolean(meta.embedding) && pictures, reads: Boolean(meta.recognition?.reading?.networks),
    collection: meta.collection, art: Boolean(meta.art) || meta.region === "art",
    words: meta.text && similar ? meta.text.model.bytes + meta.text.tokenizer.bytes : 0,
  };

  return {
    about,

    // {total, matches, notes}: the cards that fit a text, and what of it could not be searched. card_search.js explains
    // the options.
    async search(text, options) {
      const { total, rows: found, notes } = await words.search(text, options);
      return { total, matches: answer(found.map((row) => ({ row }))), notes };
    },

    // {row, record}: the card with a face_id.
    card(faceId) {
      rowsById ??= new Map(Array.from({ length: rows }, (_, row) => [value(row, "face_id"), row]));
      const row = rowsById.get(faceId);
      if (row === undefined) throw new Error("This index has no such card. It may be of another index, or a new one.");
      return { row, record: record(row) };
    },

    // The printings of a row's artwork in paper, the newest first. Without a list of them, those of the index.
    async printings(row) {
      const listed = (await index.printingsOf(row)).filter(({ name }) => name === value(row, "name"));
      return listed.length ? listed : index.rowsOfArtwork(row).map(record);
    },

    // What the lines of a list mean: see listed_cards.js.
    listed: (lines) => findListed(lines, index),

    // The k cards most like a row, without the row itself: by their art, or with the region "card" by the complete
    // pictures. Without vectors of the art, it is always the complete pictures. By art, each artwork is there once,
    // without the row's own.
    async like(row, { k, region }) {
      if (!(Number.isInteger(row) && row >= 0 && row < rows)) throw new Error(`The index has no row ${row}.`);
      const byArt = region !== "card" && about.art;
      const vectors = byArt ? await index.artVectors() : index.vectors;
      const vector = vectors.vector(row);
      if (!byArt) return answer(vectors.nearest(vector, k, [row]));
      const [found, leftOut] = [/** @type {{row: number, score: number}[]} */ ([]), new Set(index.rowsOfArtwork(row))];
      while (found.length < k && leftOut.size < rows) {
        const [match] = vectors.nearest(vector, 1, [...leftOut]);
        found.push(match);
        for (const same of index.rowsOfArtwork(match.row)) leftOut.add(same);
      }
      return answer(found);
    },

    // The k cards nearest to a vector, which the index's own model made.
    nearest: (vector, k) => answer(index.vectors.nearest(normalise(Float32Array.from(vector)), k)),

    // The unit vector of a picture (Blob, ImageBitmap or ImageData) that shows a card and nothing else.
    embed: embedded,

    // {total, least, matches}: the k cards whose pictures fit all texts and pictures best, and the texts of exclude
    // least. They stand out by `least` standard deviations or more. Without it: with texts, as far as one of all cards
    // does by chance, and with pictures alone by any. total counts all of them.
    async searchText(texts, pictures, { exclude, k, offset, least: asked }) {
      if (!texts.some((text) => text.trim()) && !pictures.length) {
        throw new Error("There is nothing to search for: give a text or a picture that cards shall fit.");
      }
      const hasWords = texts.length + exclude.length > 0;
      if (hasWords && !meta.text) throw new Error(NO_WORDS);
      const least = asked ?? (hasWords ? meta.text.least : -Infinity);
      const { vectors } = index;
      const said = hasWords ? await (await loadedWords()).embed([...texts, ...exclude]) : [];
      const shown = [];
      for (const picture of pictures) shown.push(await embedded(picture));
      const wanted = [...said.slice(0, texts.length), ...shown];
      const parts = [...wanted, ...said.slice(texts.length)].map((vector, number) =>
        ({ cosines: vectors.cosines(vector), sign: /** @type {1 | -1} */ (number < wanted.length ? 1 : -1) }));
      const { total, standing } = bestRows(parts, { k, least, offset });
      return { total, least, matches: standing.map(({ row, standsOut, cosines }) => ({
        row, record: record(row), stands_out: rounded(standsOut, 2), cosines: cosines.map((cosine) => rounded(cosine)),
      })) };
    },

    // Names the cards in a picture: {cards, width, height, seconds}. The cards are in reading order, as the JSON of
    // query_index.py has them. search.js explains the options.
    async name(source, { k, quad, read, camera, near }, tell = (/** @type {any} */ _answer) => {}) {
      const { model, decision, places, reader } = await loaded();
      const began = performance.now();
      const { picture, scale, width, height } = await decode(source);
      const photo = photoOf(picture);
      const question = { index, model, decision, k };
      const used = read ? reader : null;
      const answered = (cards) => ({
        cards: scale === 1 ? cards : cards.map((card) => ({ ...card, quad: scaled(card.quad, 1 / scale) })),
        width, height, seconds: (performance.now() - began) / 1000,
      });
      try {
        if (camera) {
          const before = near.map((other) => scaled(other, scale));
          return answered(await nameFrame(photo, question, places, before, used));
        }
        if (quad) return answered(await nameAt(photo, question, scaled(quad, scale), used));
        return answered(await namePhoto(photo, question, await places.guesses(photo), used,
          (cards) => used && tell(answered(cards))));
      } finally {
        photo.close();
      }
    },
  };
}

// The cards in a camera's picture: of a few places, and without a mirror or titles, as the next picture comes soon.
async function nameFrame(photo, question, places, near, reader) {
  const seen = (await places.quickPlaces(photo, near)).slice(0, QUICK_PLACES);
  const cards = await nameCards(photo, question, inTurns(seen));
  return inReadingOrder(reader ? await reader.withPrintings(cards, photo) : cards);
}

// The card at corners that a person has set: one card, whatever else the photo shows.
async function nameAt(photo, question, quad, reader) {
  const cards = (await nameCards(photo, question, turnsOf(quad))).slice(0, 1);
  return reader ? reader.withPrintings(cards, photo) : cards;
}

function scaled(quad, by) {
  return quad.map((corner) => corner.map((number) => Math.round(number * by * 10) / 10));
}

// The places of a card whose corners are known, but not which of them is the top left.
function turnsOf(quad) {
  const clockwise = isClockwise(quad) ? quad : [...quad].reverse();
  return [0, 1, 2, 3].map((turn) => ({ quad: turned(clockwise, turn), confidence: 1, sure: 0 }));
}

// Fetches a file that meta.json names.
function fetcher(base) {
  return ({ file, bytes, sha256 }, onPart) => readBytes(new URL(file, base), new Uint8Array(bytes), sha256, onPart);
}

// The text side of the model, loaded when the first words come.
async function loadWords(base, { text }, onProgress) {
  const fetched = fetcher(base);
  const [network, tokenizer] = await Promise.all([
    fetched(text.model, (part) => onProgress({ what: "words", part })), fetched(text.tokenizer)]);
  return openTextEmbedder(network, tokenizer, text.context);
}

// {model, decision, places, reader}, loaded when the first picture comes. reader is null where the index was exported
// without what reads text.
async function loadRecognition(base, index, onProgress) {
  const { embedding, recognition, size, fit } = index.meta;
  if (!embedding) throw new Error("This index was exported without its model (--with-model).");
  if (!recognition?.networks) {
    throw new Error("The index was exported by an earlier version. Run python export_for_browser.py --with-model "
      + "again.");
  }
  const decision = readDecision(recognition);
  const fetched = fetcher(base);
  const [preferred] = embedding.models;
  const { corners, refiner } = recognition.networks;
  const [model, places] = await Promise.all([
    fetched(preferred, (part) => onProgress({ what: "model", part }))
      .then((bytes) => openEmbedder(bytes, { size, fit, mean: embedding.mean, std: embedding.std,
        window: embedding.window })),
    Promise.all([fetched(corners), fetched(refiner)]).then((networks) => openPlaces(...networks)),
    index.loadHashes(),
    loadOpenCv(),
  ]);
  const { reading } = decision;
  const reader = reading.networks ? cardReader(index, await openReader(fetched, reading), places.refine) : null;
  return { model, decision, places, reader };
}
