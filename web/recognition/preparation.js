// Decodes pictures, and prepares them for the model in the same way as mtg_image_db/embedding/preparation.py.
//
//     const { picture, scale } = await decode(blob);       // of a Blob or ImageBitmap: {width, height, channels, data}
//     const pixels = tensor(picture, view);                // Float32Array [3 * size * size]
//
// A picture is {width, height, channels, data}: RGB, or RGBA as a canvas gives it.

/** @typedef {import("./pictures.js").Picture} Picture */
/** @typedef {{picture: Picture, scale: number, width: number, height: number}} Decoded */
/**
 * @typedef {{size: number, fit: string, mean: number[], std: number[], window?: number[] | null}} ModelView  what a
 *   model sees of a picture. window: the part with the art (left, top, right, bottom, from 0 to 1), or all of it.
 */

const MAX_PIXELS = 100e6; // as in the Python scripts
const PHOTO_PIXELS = 16e6; // as in common.py: a larger photo is decoded at 1/2 or 1/4 of its size
const MAX_RATIO = 100; // of the longer side to the shorter one, as in the Python scripts
const HEIC = /^ftyp(heic|heix|hevc|heim|heis|mif1|msf1)/; // bytes 4 to 12 of a file

/**
 * {picture, scale, width, height}: the pixels of a picture, turned upright (EXIF), transparent parts over white,
 * colours as they are stored. Pillow in the Python scripts reads pictures in the same way. scale: the length of a side
 * divided by its length in the file. width and height: those in the file.
 * @param {Blob | ImageBitmap | ImageData | Decoded} source
 * @returns {Promise<Decoded>}
 */
export async function decode(source) {
  if ("picture" in source) return source; // the page has decoded it, in a browser whose workers cannot
  if (source instanceof ImageData) return { picture: pictureOf(source), scale: 1, ...sizeOf(source) };
  const bitmap = source instanceof Blob ? await bitmapOf(source) : source;
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new Error("The picture has more than 100 million pixels.");
  }
  const shrink = [1, 2, 4].find((times) => width * height <= PHOTO_PIXELS * times ** 2) ?? 8;
  const [wide, high] = [width, height].map((side) => Math.ceil(side / shrink));
  const surface = globalThis.OffscreenCanvas ? new OffscreenCanvas(wide, high)
    : Object.assign(document.createElement("canvas"), { width: wide, height: high });
  const canvas = /** @type {OffscreenCanvasRenderingContext2D} */ (
    surface.getContext("2d", { alpha: false, willReadFrequently: true }));
  canvas.fillStyle = "white";
  canvas.fillRect(0, 0, wide, high);
  canvas.imageSmoothingQuality = "high";
  canvas.drawImage(bitmap, 0, 0, wide, high);
  bitmap.close();
  const scale = Math.max(wide, high) / Math.max(width, height);
  return { picture: pictureOf(canvas.getImageData(0, 0, wide, high)), scale, width, height };
}

const sizeOf = ({ width, height }) => ({ width, height });
const pictureOf = (image) => ({ ...sizeOf(image), channels: 4, data: image.data });

async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    const kind = new TextDecoder("latin1").decode(await blob.slice(4, 12).arrayBuffer());
    throw new Error(HEIC.test(kind) ? "This browser reads no HEIC pictures. Save the picture as JPEG."
      : "This is no picture that the browser can read.");
  }
}

/**
 * Float32Array [3 * size * size]: a plane each of red, green and blue, normalised. With the fit "crop" it shows the
 * square in the centre of the picture. "pad" shows all of the picture and adds black bars. "squash" changes its shape.
 * @param {Picture} whole
 * @param {ModelView} view
 */
export function tensor(whole, { size, fit, mean, std, window }) {
  const picture = window ? cut(whole, window) : whole;
  const sides = [picture.width, picture.height];
  if (Math.max(...sides) > MAX_RATIO * Math.min(...sides)) throw new Error("This is no card's shape.");
  const side = fit === "pad" ? Math.max(...sides) : Math.min(...sides);
  const [wide, high] = fit === "squash" ? [size, size]
    : sides.map((length) => Math.max(1, Math.floor((size * length) / side)));
  const [left, top] = [roundToEven((wide - size) / 2), roundToEven((high - size) / 2)];
  const [x, y] = [Math.max(left, 0), Math.max(top, 0)]; // the first pixel that is seen
  const [width, height] = [Math.min(left + size, wide) - x, Math.min(top + size, high) - y];
  const seen = resize(picture, weights(picture.width, wide, x, width), weights(picture.height, high, y, height));
  const pixels = new Float32Array(3 * size * size);
  for (let channel = 0; channel < 3; channel++) {
    const normal = Float32Array.from({ length: 256 }, (_, value) => (value / 255 - mean[channel]) / std[channel]);
    const plane = pixels.subarray(channel * size * size, (channel + 1) * size * size).fill(normal[0]);
    for (let row = 0, from = channel; row < height; row++) {
      const to = (row + y - top) * size + x - left;
      for (let column = 0; column < width; column++, from += 3) plane[to + column] = normal[seen[from]];
    }
  }
  return pixels;
}

/**
 * The part of a picture in a window, as art_windows.py cuts it.
 * @param {Picture} picture
 * @param {number[]} window
 */
function cut({ width, height, channels, data }, [left, top, right, bottom]) {
  const [x, y, end, below] = [left * width, top * height, right * width, bottom * height].map(roundToEven);
  const size = { width: Math.max(end - x, 1), height: Math.max(below - y, 1) };
  const part = new Uint8ClampedArray(size.width * size.height * channels);
  for (let row = 0; row < size.height; row++) {
    const from = ((y + row) * width + x) * channels;
    part.set(data.subarray(from, from + size.width * channels), row * size.width * channels);
  }
  return { ...size, channels, data: part };
}

// Resizes to RGB, bicubic with antialiasing, as PyTorch and Pillow do: first the width, then the height. Both steps
// round to whole numbers. across and down: the weights of each new column and row.
function resize({ width, channels, data }, across, down) {
  const [top, bottom] = [down[0].first, down.at(-1).first + down.at(-1).part.length];
  const wide = 3 * across.length;
  const narrow = new Uint8ClampedArray(wide * (bottom - top));
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = 0; x < across.length; x++, to += 3) {
      const { first, part } = across[x];
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let i = 0, at = channels * (y * width + first); i < part.length; i++, at += channels) {
        const weight = part[i];
        red += weight * data[at];
        green += weight * data[at + 1];
        blue += weight * data[at + 2];
      }
      narrow[to] = red;
      narrow[to + 1] = green;
      narrow[to + 2] = blue;
    }
  }
  const small = new Uint8ClampedArray(wide * down.length);
  const sums = new Float64Array(wide);
  for (let y = 0; y < down.length; y++) {
    const { first, part } = down[y];
    sums.fill(0);
    for (let i = 0, at = wide * (first - top); i < part.length; i++) {
      const weight = part[i];
      for (let x = 0; x < wide; x++, at++) sums[x] += weight * narrow[at];
    }
    small.set(sums, wide * y);
  }
  return small;
}

// What `count` of the `to` new pixels, from the one at `start` on, are made of: the first of the `from` old pixels, and
// the weight of each.
function weights(from, to, start, count) {
  const scale = from / to;
  const blur = Math.max(1, scale);
  return Array.from({ length: count }, (_, place) => {
    const centre = (start + place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * blur + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * blur + 0.5));
    const part = Float64Array.from({ length: end - first }, (_, i) => cubic((first + i - centre + 0.5) / blur));
    const sum = part.reduce((total, value) => total + value, 0);
    return { first, part: part.map((value) => value / sum) };
  });
}

function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

/**
 * Rounds as Python's round() does: a half goes to the even number.
 * @param {number} value
 */
export function roundToEven(value) {
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole & 1) : Math.round(value);
}
