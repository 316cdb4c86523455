// A photo -> quadrilaterals that may be cards, by a small neural network that has learned where corners are. It is
// mtg_image_db/recognition/corner_net.py, which explains the numbers.
//
//     const net = await openCornerNet(bytes);                  // the bytes of card_corners.onnx
//     const candidates = await net.findCorners(photo.colour);  // [{quad, confidence}]; needs loadOpenCv()

import { openNetwork, planesOf } from "./networks.js";
import { resized } from "./pictures.js";
import { intersectionOverUnion, isClockwise, turned } from "./quads.js";

const SIDE = 384;
const BAR = 114;
const STRIDE = 8;
const TURNS = 4;
const UNIT = 64;
const MIN_CONFIDENCE = 0.15;
const COMPARED = 400;
const [SAME, AGREEING] = [0.6, 0.8];
const MAX_CANDIDATES = 40;

/** @param {Uint8Array} bytes */
export async function openCornerNet(bytes) {
  const network = await openNetwork(bytes);
  return {
    /**
     * At most MAX_CANDIDATES quadrilaterals in an RGB photo, as a pyramid, the most confident first. The first side of
     * each is a card's top or bottom.
     * @param {import("./pictures.js").Pyramid} photo
     * @returns {Promise<import("./finder.js").Candidate[]>}
     */
    async findCorners(photo) {
      const { picture, scale, left, top } = boxed(photo);
      const { data, dims } = await network.run(planesOf([picture]), [1, 3, SIDE, SIDE]);
      const answers = answersOf(data, dims[2], dims[3]).map(({ quad, confidence }) => ({
        quad: quad.map(([x, y]) => [(x - left) / scale, (y - top) / scale]), confidence }));
      return distinct(answers);
    },
  };
}

// The photo in the middle of a square, its scale, and where its top left is.
function boxed(photo) {
  const scale = SIDE / Math.max(photo.width, photo.height);
  const small = resized(photo, scale);
  const [left, top] = [(SIDE - small.cols) >> 1, (SIDE - small.rows) >> 1];
  const data = new Uint8Array(3 * SIDE * SIDE).fill(BAR);
  for (let y = 0; y < small.rows; y++) {
    data.set(small.data.subarray(3 * y * small.cols, 3 * (y + 1) * small.cols), 3 * ((top + y) * SIDE + left));
  }
  small.delete();
  return { picture: { width: SIDE, height: SIDE, data }, scale, left, top };
}

// The network's output, [9 * TURNS, rows, columns], as [{quad, confidence}] in pixels of the square, the most confident
// first.
function answersOf(output, rows, columns) {
  const cells = rows * columns;
  const sure = [...output.subarray(0, TURNS * cells).keys()].filter((at) => logistic(output[at]) >= MIN_CONFIDENCE)
    .sort((a, b) => output[b] - output[a]).slice(0, COMPARED);
  return sure.map((at) => {
    const [turn, cell] = [Math.floor(at / cells), at % cells];
    const centre = [(cell % columns) * STRIDE + STRIDE / 2, Math.floor(cell / columns) * STRIDE + STRIDE / 2];
    const moved = (corner, axis) => output[(TURNS + 8 * turn + 2 * corner + axis) * cells + cell];
    const quad = [0, 1, 2, 3].map((corner) => centre.map((place, axis) => place + UNIT * moved(corner, axis)));
    return { quad, confidence: logistic(output[at]) };
  });
}

// One candidate a card: the mean of the answers that agree, each weighted by the square of its confidence.
function distinct(answers) {
  const groups = [];
  for (const { quad, confidence } of answers) {
    if (!isClockwise(quad)) continue;
    let shared = 0;
    const group = groups.find(([first]) => (shared = intersectionOverUnion(quad, first.quad)) > SAME);
    if (!group && groups.length < MAX_CANDIDATES) groups.push([{ quad, confidence }]);
    if (group && shared > AGREEING) group.push({ quad: alike(quad, group[0].quad), confidence });
  }
  return groups.map((group) => {
    const total = group.reduce((sum, { confidence }) => sum + confidence ** 2, 0);
    const mean = (corner, axis) => group.reduce((sum, { quad, confidence }) =>
      sum + confidence ** 2 * quad[corner][axis], 0) / total;
    return { quad: [0, 1, 2, 3].map((corner) => [mean(corner, 0), mean(corner, 1)]), confidence: group[0].confidence };
  });
}

// The quadrilateral, or it turned by half a turn, whichever is nearer to the other.
function alike(quad, other) {
  const apart = (one) => one.flat().reduce((sum, place, i) => sum + Math.abs(place - other.flat()[i]), 0);
  const reverse = turned(quad, 2);
  return apart(quad) <= apart(reverse) ? quad : reverse;
}

function logistic(value) {
  return 1 / (1 + Math.exp(-value));
}
