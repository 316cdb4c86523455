// The exported index, opened. It finds cards by name, by how alike their pictures are, or by a picture of one.
//
// A page imports search.js, which runs this in a worker: here, a call blocks until it has its answer.

import { abilities } from "./abilities.js";
import { readBytes, readMeta } from "./artefacts.js";
import { ROW_BYTES, levelsOf, nearestByArt } from "./hashes.js";
import { judge, readDecision } from "./likeness.js";
import { fits, keyOf, order, plain } from "./names.js";
import { cut, decode, tensor } from "./prepare.js";
import { createRows, normalise } from "./scores.js";

const RUNTIME = new URL("./vendor/", import.meta.url); // onnxruntime-web, put there by `make web`

// Opens the index at base, a URL that ends in /. onProgress({what, part}) hears what is loading: part goes from 0 to 1.
export async function openCardIndex(base, onProgress = () => {}) {
  onProgress({ what: "cards", part: 0 });
  const meta = await readMeta(base);
  const { similar, pictures, lacking } = abilities();
  const rows = similar ? createRows(meta.rows, meta.dimension, meta.scale) : null;
  if (rows) {
    await readBytes(new URL("embeddings.i8bin", base), rows.bytes, meta.digest,
      (part) => onProgress({ what: "vectors", part }));
  }
  const { record, value } = meta;
  const keys = Array.from({ length: meta.rows }, (_, row) =>
    keyOf(value(row, "name"), value(row, "set"), value(row, "collector_number")));
  const answer = (found) => found.map(({ row, score }) => ({ row, score, record: record(row) }));
  let loading = null;
  const model = () => {
    if (!pictures) throw new Error(lacking);
    loading ??= loadModel(base, meta, onProgress).catch((error) => {
      loading = null; // so that the next picture tries again
      throw error;
    });
    return loading;
  };

  return {
    about: {
      cards: meta.rows, dimension: meta.dimension, model: meta.model, similar, lacking,
      pictures: Boolean(meta.embedding) && pictures,
    },

    // {total, matches}: the cards that have every word of the text in their name, set or number. A card whose whole
    // name is the text comes first, then names that begin with it.
    find(text, k) {
      const wanted = plain(text);
      const groups = [[], [], [], [], []];
      keys.forEach((key, row) => {
        if (fits(key, wanted)) groups[order(key, wanted)].push({ row });
      });
      const all = groups.flat();
      return { total: all.length, matches: answer(all.slice(0, k)) };
    },

    // The k cards whose pictures are most like the picture of a row, without the row itself.
    like(row, k) {
      if (!(Number.isInteger(row) && row >= 0 && row < meta.rows)) throw new Error(`The index has no row ${row}.`);
      if (!rows) throw new Error(lacking);
      return answer(rows.nearest(rows.vector(row), k + 1).filter((match) => match.row !== row).slice(0, k));
    },

    // The k cards nearest to a vector, which the index's own model made.
    nearest(vector, k) {
      if (!rows) throw new Error(lacking);
      return answer(rows.nearest(normalise(Float32Array.from(vector)), k));
    },

    // The unit vector of a picture (Blob, ImageBitmap or ImageData) that shows a card and nothing else.
    async embed(picture) {
      return (await model()).embed(await pixelsOf(picture));
    },

    // {accepted, similarity, margin, confidence, matches}: the card in a picture, the best of k matches first.
    // frame {x, y, width, height} says where in the picture the card is. It may be wrong by a few percent of the card.
    // Without a frame, the card fills the picture.
    async name(picture, k, frame) {
      const { embed, hashes, decision } = await model();
      const pixels = await pixelsOf(picture);
      const { x, y, width, height } = frame ?? { x: 0, y: 0, width: pixels.width, height: pixels.height };
      const vector = await embed(frame ? cut(pixels, frame) : pixels);
      const quad = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
      const levels = levelsOf(pixels);
      const alike = nearestByArt(levels, quad, hashes, decision);
      const near = rows.nearest(vector, Math.max(k, decision.retrieved), alike);
      const judged = judge(levels, quad, near, hashes, (row) => value(row, "name"), decision);
      return {
        accepted: judged.accepted, similarity: judged.similarity, margin: judged.margin, confidence: judged.confidence,
        matches: answer(judged.order.slice(0, k).map((place) => near[place])),
      };
    },
  };
}

async function pixelsOf(picture) {
  return picture instanceof ImageData ? picture : decode(picture);
}

// {embed, hashes, decision}, fetched when the first picture comes.
async function loadModel(base, { embedding, recognition, size, fit, rows }, onProgress) {
  if (!embedding) throw new Error("This index was exported without its model (--with-model).");
  const decision = readDecision(recognition);
  let runtime;
  try {
    runtime = await import(new URL("ort.wasm.min.mjs", RUNTIME));
  } catch {
    throw new Error("The program that runs the model is not installed: make web");
  }
  runtime.env.wasm.wasmPaths = RUNTIME.href;
  runtime.env.wasm.numThreads = 1; // more threads need response headers that few servers send
  const [preferred] = embedding.models;
  const file = await readBytes(new URL(preferred.file, base), new Uint8Array(preferred.bytes), preferred.sha256,
    (part) => onProgress({ what: "model", part }));
  const { hashes } = recognition;
  const known = await readBytes(new URL(hashes.file, base), new Uint8Array(rows * ROW_BYTES), hashes.sha256);
  // Widens int8 weights once, not again for each picture. For ViT-B/32 on one core, a picture takes 315 ms, not 365 ms.
  const widened = { session: { disable_quant_qdq: "1" } };
  const session = await runtime.InferenceSession.create(file, { executionProviders: ["wasm"], extra: widened });
  return {
    hashes: known,
    decision,
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
