// The exported index, opened: cards found by name, by likeness to one of them, or by a picture.
//
// Runs anywhere, but takes its time there; search.js runs it in a worker and is what a page imports.

import { readBytes, readMeta } from "./artefacts.js";
import { HASH_BYTES, greyLevels, judge } from "./likeness.js";
import { cut, decode, tensor } from "./prepare.js";
import { createRows, normalise } from "./scores.js";

const RUNTIME = new URL("./vendor/", import.meta.url); // onnxruntime-web, put there by `make web`
const END = "|"; // of the name, in what is searched
const RANKED_AGAIN = 50; // nearest rows among which the likeness decides

// Opens what lies at base (a URL that ends in /). onProgress({what, part}) says what is loaded, part 0 to 1.
export async function openCardIndex(base, onProgress = () => {}) {
  onProgress({ what: "cards", part: 0 });
  const meta = await readMeta(base);
  const rows = createRows(meta.rows, meta.dimension, meta.scale);
  await readBytes(new URL("embeddings.i8bin", base), rows.bytes, meta.digest,
    (part) => onProgress({ what: "vectors", part }));
  const { record, value } = meta;
  const keys = Array.from({ length: meta.rows }, (_, row) =>
    ` ${plain(value(row, "name"))} ${END} ${plain(`${value(row, "set")} ${value(row, "collector_number")}`)} `);
  const answer = (found) => found.map(({ row, score }) => ({ row, score, record: record(row) }));
  let loading = null;
  const model = () => {
    loading ??= loadModel(base, meta, onProgress).catch((error) => {
      loading = null; // the next picture tries again
      throw error;
    });
    return loading;
  };

  return {
    about: { cards: meta.rows, dimension: meta.dimension, model: meta.model, pictures: Boolean(meta.embedding) },

    // {total, matches}: the cards with every word of the text in name, set or number; whole names and beginnings first.
    find(text, k) {
      const wanted = plain(text);
      const words = wanted.split(" ").filter(Boolean);
      const groups = [[], [], [], [], []];
      keys.forEach((key, row) => {
        if (words.length && words.every((word) => key.includes(word))) {
          groups[order(key, wanted, words)].push({ row });
        }
      });
      const all = groups.flat();
      return { total: all.length, matches: answer(all.slice(0, k)) };
    },

    // The k cards whose pictures are most like that of a row, the row itself left out.
    like(row, k) {
      if (!(Number.isInteger(row) && row >= 0 && row < meta.rows)) throw new Error(`The index has no row ${row}.`);
      return answer(rows.nearest(rows.vector(row), k + 1).filter((one) => one.row !== row).slice(0, k));
    },

    // The k cards nearest to a vector of the index's own model.
    nearest(vector, k) {
      return answer(rows.nearest(normalise(Float32Array.from(vector)), k));
    },

    // The unit vector of a picture (Blob, ImageBitmap or ImageData) that shows a card and nothing else.
    async embed(picture) {
      return (await model()).embed(await pixelsOf(picture));
    },

    // {accepted, likeness, margin, matches}: the card in a picture, the best of k matches first.
    // frame {x, y, width, height} is where in the picture the card is, within a few percent; without it, everywhere.
    async name(picture, k, frame) {
      const { embed, hashes, accepted } = await model();
      const whole = await pixelsOf(picture);
      const { x, y, width, height } = frame ?? { x: 0, y: 0, width: whole.width, height: whole.height };
      const near = rows.nearest(await embed(frame ? cut(whole, frame) : whole), Math.max(k, RANKED_AGAIN));
      const quad = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
      const judged = judge(greyLevels(whole), quad, near, hashes, (row) => value(row, "name"), accepted);
      return {
        accepted: judged.accepted, likeness: judged.likeness, margin: judged.margin,
        matches: answer(judged.order.slice(0, k).map((place) => near[place])),
      };
    },
  };
}

async function pixelsOf(picture) {
  return picture instanceof ImageData ? picture : decode(picture);
}

// {embed, hashes, accepted}: fetched when the first picture comes.
async function loadModel(base, { embedding, recognition, size, fit, rows }, onProgress) {
  if (!embedding) throw new Error("This index was exported without its model (--with-model).");
  let runtime;
  try {
    runtime = await import(new URL("ort.wasm.min.mjs", RUNTIME));
  } catch {
    throw new Error("The program that runs the model is not installed: make web");
  }
  runtime.env.wasm.wasmPaths = RUNTIME.href;
  runtime.env.wasm.numThreads = 1; // more need headers that few servers send
  const [preferred] = embedding.models;
  const file = await readBytes(new URL(preferred.file, base), new Uint8Array(preferred.bytes), preferred.sha256,
    (part) => onProgress({ what: "model", part }));
  const { hashes } = recognition;
  const known = await readBytes(new URL(hashes.file, base), new Uint8Array(rows * HASH_BYTES), hashes.sha256);
  // int8 weights are widened once instead of with each picture: 315 ms instead of 365 for ViT-B/32 (one core)
  const widened = { session: { disable_quant_qdq: "1" } };
  const session = await runtime.InferenceSession.create(file, { executionProviders: ["wasm"], extra: widened });
  return {
    hashes: known,
    accepted: recognition.accepted,
    async embed(picture) {
      const pixels = tensor(picture, { size, fit, mean: embedding.mean, std: embedding.std });
      const input = new runtime.Tensor("float32", pixels, [1, 3, size, size]);
      const output = (await session.run({ [embedding.input]: input }))[embedding.output];
      const vector = normalise(Float32Array.from(output.data));
      output.dispose();
      return vector;
    },
  };
}

// Text as it is compared: no accents, no capitals, straight apostrophes, single spaces.
function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[\u2018\u2019]/g, "'").toLowerCase()
    .replace(/\s+/g, " ").trim();
}

// 0: the whole name, 1: its beginning, 2: whole words, 3: beginnings of words, 4: anywhere.
function order(key, wanted, words) {
  if (key.startsWith(` ${wanted} ${END}`)) return 0;
  if (key.startsWith(` ${wanted}`)) return 1;
  if (words.every((word) => key.includes(` ${word} `))) return 2;
  return words.every((word) => key.includes(` ${word}`)) ? 3 : 4;
}
