// Pictures -> unit vectors, by the model of the index. It is what mtg_image_db/embedding/onnx_embedder.py does.
//
//     const model = await openEmbedder(bytes, { size: 224, fit: "crop", mean, std });
//     const [vector] = await model.embed([picture]);       // Float32Array
//
// A picture is {width, height, channels, data}: RGB, or RGBA as a canvas gives it.

import { normalise } from "../index/scores.js";
import { openNetwork } from "./networks.js";
import { tensor } from "./preparation.js";

/** @typedef {Awaited<ReturnType<typeof openEmbedder>>} Model */

const BATCH = 8; // pictures at a time: more are not faster, and need more memory

/**
 * The model whose ONNX file has these bytes. view: what it sees of a picture, see tensor().
 * @param {Uint8Array} bytes
 * @param {import("./preparation.js").ModelView} view
 */
export async function openEmbedder(bytes, view) {
  const network = await openNetwork(bytes);
  const numbers = 3 * view.size ** 2; // of a picture
  return {
    inputSize: view.size,

    batch: BATCH,

    /**
     * A unit vector of each of at most BATCH pictures. Its numbers are not finite if the model gives none.
     * @param {import("./pictures.js").Picture[]} pictures
     * @returns {Promise<Float32Array[]>}
     */
    async embed(pictures) {
      const pixels = new Float32Array(pictures.length * numbers);
      pictures.forEach((picture, i) => pixels.set(tensor(picture, view), i * numbers));
      const { data, dims } = await network.run(pixels, [pictures.length, 3, view.size, view.size]);
      return pictures.map((_, i) => normalise(data.slice(i * dims[1], (i + 1) * dims[1])));
    },
  };
}
