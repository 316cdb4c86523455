// The exported index, opened. It is what mtg_image_db/index/reader.py is: it finds rows, and describes faces.
//
//     const index = await openCardIndex("./", onProgress);
//     index.nearest(vector, 5)                     // [{row, score}], the best first
//     await index.loadHashes(onProgress);          // once, before nearestByArt() and words
//
// It reads meta.json, embeddings.i8bin and, for pictures, hashes.bin. A call blocks until it has its answer: so it runs
// in a worker.

import { abilities } from "../abilities.js";
import { readBytes, readMeta } from "./artefacts.js";
import { createHashes } from "./hash_search.js";
import { openPrintings } from "./printings.js";
import { createRows } from "./scores.js";

/** @typedef {Awaited<ReturnType<typeof openCardIndex>>} OpenedIndex */
/** @typedef {(progress: {what: "cards" | "vectors" | "model" | "words", part: number}) => void} OnProgress  part: 0 to 1 */
/** @typedef {{cosine: number, similarity: number, artSimilarity: number}} Measured  how alike two pictures are */
/**
 * @typedef {{name: string, set: string, collector_number: string, scryfall_id: string, face_id: string,
 *   image_url: string, scryfall_uri: string, artist: string, card_name: string, set_name: string, lang: string,
 *   layout: string, rarity: string, finishes: string[], oracle_id: string | null, illustration_id: string | null,
 *   tcgplayer_id: number | null, cardmarket_id: number | null}} Face
 */

const [ARTWORK, SAME_PICTURE] = ["illustration_id", "same_image_as"];
// What a face has if the index was built by an earlier version, and all fields of a face, as Face of reader.py has
// them.
const ABSENT = { card_name: "", set_name: "", rarity: "", finishes: [], tcgplayer_id: null, cardmarket_id: null };
const DESCRIBED = ["name", "set", "collector_number", "scryfall_id", "face_id", "image_url", "scryfall_uri", "artist",
  "card_name", "set_name", "lang", "layout", "rarity", "finishes", "oracle_id", "illustration_id", "tcgplayer_id",
  "cardmarket_id"];

/**
 * Opens the index at base, a URL that ends in /. onProgress({what, part}) hears what is loading: part goes from 0 to 1.
 * @param {string} base
 * @param {OnProgress} [onProgress]
 */
export async function openCardIndex(base, onProgress = () => {}) {
  onProgress({ what: "cards", part: 0 });
  const meta = await readMeta(base);
  const { similar, lacking } = abilities();
  const vectors = similar ? createRows(meta.rows, meta.dimension, meta.scale) : null;
  if (vectors) {
    await readBytes(new URL("embeddings.i8bin", base), vectors.bytes, meta.digest,
      (part) => onProgress({ what: "vectors", part }));
  }
  const { rows, record, value } = meta;
  const printings = listedIn(base, meta);
  const openVectors = () => {
    if (!vectors) throw new Error(lacking);
    return vectors;
  };
  let hashes = /** @type {ReturnType<typeof createHashes> | null} */ (null);
  const openHashes = () => {
    if (!hashes) throw new Error("The hashes are not loaded.");
    return hashes;
  };
  let art = /** @type {Promise<ReturnType<typeof createRows>> | null} */ (null);
  let found = /** @type {ReturnType<typeof lookupsOf> | null} */ (null);
  const lookups = () => found ??= lookupsOf(rows, value);

  return {
    rows, record, value, meta,
    name: (row) => value(row, "name"),

    // {bytes, nearest(vector, k), cosine(vector, row), vector(row)} of all rows. Throws an Error where this browser
    // cannot compare vectors.
    get vectors() {
      return openVectors();
    },

    // The vectors of the art of all rows, fetched when they are first needed. Where the export has none, those of the
    // cards.
    artVectors() {
      const ofCards = openVectors();
      if (!meta.art) return Promise.resolve(ofCards);
      art ??= loadArt(base, meta).catch((error) => {
        art = null; // so that the next question tries again
        throw error;
      });
      return art;
    },

    // The hashes of all rows as 32-bit words: picture_hash.js compares them.
    get words() {
      return openHashes().words;
    },

    // Fetches the hashes, if they are not there.
    async loadHashes() {
      if (hashes) return;
      const made = createHashes(rows);
      const { file, sha256 } = meta.recognition.hashes;
      await readBytes(new URL(file, base), made.bytes, sha256);
      hashes = made;
    },

    /**
     * The k rows nearest to a unit vector: [{row, score}], the best first. Of rows that share a picture, only the first
     * is searched.
     * @param {Float32Array} vector
     * @param {number} k
     */
    nearest: (vector, k) => openVectors().nearest(vector, k, lookups().shared),

    /**
     * The k rows with the art hashes nearest to one (Uint32Array [24]), the best first.
     * @param {Uint32Array} hash
     * @param {number} k
     */
    nearestByArt: (hash, k) => openHashes().nearest(hash, k, lookups().shared),

    /**
     * Every row with the same illustration_id or with the same picture. The given row comes first.
     * @param {number} row
     * @returns {number[]}
     */
    rowsOfArtwork(row) {
      const { sharing, artworks } = lookups();
      const [sharers, artwork] = [sharing.get(value(row, "face_id")), artworks.get(value(row, ARTWORK))];
      return [...new Set([row, ...sharers ?? [], ...artwork ?? []])];
    },

    /**
     * The matches of rows, at most k, the highest score first: the JSON objects of query_index.py. Faces that share a
     * picture are listed one after the other. measured: a Map of row -> {cosine, similarity, artSimilarity}.
     * @param {Map<number, Measured>} measured
     * @param {number} k
     * @returns {import("../recognition/cards.js").Match[]}
     */
    matches(measured, k) {
      const listed = /** @type {import("../recognition/cards.js").Match[]} */ ([]);
      for (const [row, alike] of [...measured].sort(([, one], [, other]) => scoreOf(other) - scoreOf(one))) {
        for (const shown of [row, ...lookups().sharing.get(value(row, "face_id")) ?? []]) {
          if (listed.length === k) return listed;
          listed.push({
            row: shown, ...described(record(shown)), rank: listed.length + 1, score: rounded(scoreOf(alike)),
            cosine: rounded(alike.cosine), similarity: rounded(alike.similarity),
            art_similarity: rounded(alike.artSimilarity),
          });
        }
      }
      return listed;
    },

    /**
     * Every printing in paper of a row's artwork, the newest first. Empty if the index lists none.
     * @param {number} row
     * @returns {Promise<import("./printings.js").PaperPrinting[]>}
     */
    printingsOf: async (row) => (printings ? printings.ofArtwork(value(row, ARTWORK), value(row, "name")) : []),
  };
}

async function loadArt(base, { rows, dimension, scale, art: { file, sha256 } }) {
  const made = createRows(rows, dimension, scale);
  await readBytes(new URL(file, base), made.bytes, sha256);
  return made;
}

// The printings that an export has, fetched when they are first needed, or null.
function listedIn(base, { recognition }) {
  if (!recognition?.printings) return null;
  const { file, bytes, sha256 } = recognition.printings;
  return openPrintings(() => readBytes(new URL(file, base), new Uint8Array(bytes), sha256));
}

/**
 * The mean of the three numbers that tell how alike two pictures are, by which matches are ranked.
 * @param {Measured} measured
 */
export function scoreOf({ cosine, similarity, artSimilarity }) {
  return (cosine + similarity + artSimilarity) / 3;
}

/**
 * A number with so many digits after the point: 4 in the JSON of query_index.py.
 * @param {number} value
 * @param {number} [digits]
 */
export function rounded(value, digits = 4) {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

/** @returns {Face} */
function described(record) {
  const face = { ...ABSENT, ...record };
  return /** @type {Face} */ (Object.fromEntries(DESCRIBED.map((field) => [field, face[field]])));
}

// sharing: the rows by the face_id whose picture they share. shared: these rows. artworks: rows by illustration_id.
function lookupsOf(rows, value) {
  const [sharing, artworks, shared] = [new Map(), new Map(), /** @type {number[]} */ ([])];
  const add = (lookup, key, row) => {
    if (key) lookup.set(key, [...lookup.get(key) ?? [], row]);
  };
  for (let row = 0; row < rows; row++) {
    const same = value(row, SAME_PICTURE);
    add(sharing, same, row);
    add(artworks, value(row, ARTWORK), row);
    if (same) shared.push(row);
  }
  return { sharing, artworks, shared };
}
