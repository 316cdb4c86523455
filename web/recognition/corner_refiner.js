// Rough corners of a card -> better ones, and which of them is the card's top left, by a small neural network. It is
// mtg_image_db/recognition/corner_refiner.py, which explains the numbers.
//
//     const refiner = await openRefiner(bytes);                        // the bytes of corner_refiner.onnx
//     const places = await refiner.refine(photo.colour, quads);        // [{quad, confidence, sure}]

import { openNetwork, planesOf } from "./networks.js";
import { straighten } from "./pictures.js";
import { grown, inPhoto, isClockwise, rectangle, turned } from "./quads.js";

const [WIDE, HIGH] = [96, 128];
const MARGIN = 0.25;
const BATCH = 8; // places at a time: more are not faster

// A place where a card may lie. quad: clockwise from the card's top left. confidence: 0-1, that it is a card, and how
// near the corners are to its own. sure: 0-1, that quad[0] is the top left.
/** @typedef {{quad: import("./quads.js").Quad, confidence: number, sure: number}} Place */

/** @param {Uint8Array} bytes */
export async function openRefiner(bytes) {
  const network = await openNetwork(bytes);
  return {
    /**
     * The better places for rough ones in an RGB photo. Those whose corners do not run clockwise around a convex shape
     * afterwards are left out.
     * @param {import("./pictures.js").Pyramid} photo
     * @param {import("./quads.js").Quad[]} quads
     * @returns {Promise<Place[]>}
     */
    async refine(photo, quads) {
      const places = [];
      for (let start = 0; start < quads.length; start += BATCH) {
        const rough = quads.slice(start, start + BATCH);
        const pictures = rough.map((quad) => straighten(photo, grown(quad, MARGIN), WIDE, HIGH, { reflect: false }));
        const { data, dims } = await network.run(planesOf(pictures), [rough.length, 3, HIGH, WIDE]);
        rough.forEach((quad, i) => places.push(placeOf(quad, data.subarray(i * dims[1], (i + 1) * dims[1]))));
      }
      return places.filter(({ quad }) => isClockwise(quad));
    },
  };
}

// answer, 13 numbers: the moves of the corners as shares of the card's width and height, the logit of the confidence,
// and a logit for each corner that it is the top left.
function placeOf(quad, answer) {
  const moved = inPhoto(rectangle(1, 1).map(([x, y], i) => [x + answer[2 * i], y + answer[2 * i + 1]]), quad);
  const logits = answer.subarray(9);
  const first = logits.indexOf(Math.max(...logits));
  const sure = 1 / logits.reduce((sum, logit) => sum + Math.exp(logit - logits[first]), 0);
  return { quad: turned(moved, first), confidence: 1 / (1 + Math.exp(-answer[8])), sure };
}
