// The rows that fit words and pictures best. It is what mtg_image_db/index/word_search.py does, which explains it.
//
//     const { total, standing } = bestRows([{ cosines, sign: 1 }], { k: 10, least: 4.1 });
//
// A cosine of words says little alone. What counts is how far a row stands out of all rows.

const MAD_SHARE = 0.6744897501960817; // the same as in word_search.py

/** @typedef {{cosines: Float32Array, sign: 1 | -1}} Part  a cosine of each row; sign -1: rows shall not fit it */
/** @typedef {{row: number, standsOut: number, cosines: number[]}} Standing  standsOut: in standard deviations */

/**
 * The k rows that stand out most, the best first, after the first `offset` of them, and the total of rows that stand out
 * by `least` or more.
 * @param {Part[]} parts
 * @param {{k: number, least: number, offset?: number}} options
 * @returns {{total: number, standing: Standing[]}}
 */
export function bestRows(parts, { k, least, offset = 0 }) {
  const sum = new Float32Array(parts[0].cosines.length);
  for (const { cosines, sign } of parts) {
    const middle = median(cosines);
    const spread = Math.max(median(cosines.map((cosine) => Math.abs(cosine - middle))) / MAD_SHARE, 1e-6);
    for (let row = 0; row < sum.length; row++) sum[row] += (sign * (cosines[row] - middle)) / spread;
  }
  const standsOut = sum.map((value) => value / Math.sqrt(parts.length));
  const rows = Array.from(standsOut.keys()).filter((row) => standsOut[row] >= least)
    .sort((one, other) => standsOut[other] - standsOut[one]);
  return { total: rows.length, standing: rows.slice(offset, offset + k).map((row) => ({
    row, standsOut: standsOut[row], cosines: parts.map(({ cosines }) => cosines[row]) })) };
}

function median(/** @type {Float32Array} */ numbers) {
  const sorted = numbers.slice().sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
