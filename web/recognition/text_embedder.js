// Words -> unit vectors, by the text side of the index's model. It is what mtg_image_db/embedding/text_embedder.py does.
//
//     const words = await openTextEmbedder(networkBytes, tokenizerBytes, meta.text.context);
//     const [vector] = await words.embed(["a dragon over a burning village"]);       // Float32Array
//
// Reads vendor/, where `make web` puts the package that makes tokens, in the same way as Python's package tokenizers.

import { normalise } from "../index/scores.js";
import { openNetwork } from "./networks.js";

/** @typedef {Awaited<ReturnType<typeof openTextEmbedder>>} TextEmbedder */

const TOKENIZERS = new URL("../vendor/tokenizers.min.mjs", import.meta.url).href;

/**
 * The text side whose ONNX file and tokenizer.json have these bytes. context: the tokens of a text.
 * @param {Uint8Array} network
 * @param {Uint8Array} tokenizer
 * @param {number} context
 */
export async function openTextEmbedder(network, tokenizer, context) {
  const { Tokenizer } = /** @type {typeof import("@huggingface/tokenizers")} */ (await import(TOKENIZERS).catch(() => {
    throw new Error("The program that splits words into tokens is not installed: make web");
  }));
  const splitter = new Tokenizer(JSON.parse(new TextDecoder().decode(tokenizer)), {});
  const { run } = await openNetwork(network, { isWidened: false });

  /**
   * The tokens of texts, one after the other, padded with 0. A longer text is cut, and keeps its end token.
   * @param {string[]} texts
   */
  const tokensOf = (texts) => {
    const tokens = new Int32Array(texts.length * context);
    texts.forEach((text, number) => {
      const { ids } = splitter.encode(text);
      tokens.set(ids.length > context ? [...ids.slice(0, context - 1), ids[ids.length - 1]] : ids, number * context);
    });
    return tokens;
  };

  return {
    tokens: tokensOf,

    /**
     * A unit vector of each text.
     * @param {string[]} texts
     * @returns {Promise<Float32Array[]>}
     */
    async embed(texts) {
      const { data, dims } = await run(tokensOf(texts), [texts.length, context]);
      return texts.map((_, i) => normalise(data.slice(i * dims[1], (i + 1) * dims[1])));
    },
  };
}
