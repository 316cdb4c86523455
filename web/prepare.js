// Prepares a picture for the model, in the same way as mtg_image_db/embedding/embedder.py.
//
//     const picture = await decode(blob);                  // of a Blob or ImageBitmap: {width, height, data: RGBA}
//     const pixels = tensor(picture, meta);                // Float32Array [3 * size * size]

const MAX_PIXELS = 100e6; // as in the Python scripts
const MAX_RATIO = 100; // of the longer side to the shorter one, as in the Python scripts
const MIN_FRAME = 16; // pixels: fewer show no card
const MAX_CANVAS = 16e6; // pixels: the canvas of some phones holds no more, so larger pictures are drawn smaller

// The pixels of a picture: turned upright (EXIF), transparent parts over white, colours as they are stored. Pillow in
// the Python scripts reads pictures in the same way.
export async function decode(picture) {
  let bitmap = picture;
  try {
    if (picture instanceof Blob) bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This is no picture that the browser can read.");
  }
  const pixels = bitmap.width * bitmap.height;
  if (pixels > MAX_PIXELS) {
    bitmap.close();
    throw new Error("The picture has more than 100 million pixels.");
  }
  const scale = Math.min(1, Math.sqrt(MAX_CANVAS / pixels));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const surface = globalThis.OffscreenCanvas ? new OffscreenCanvas(width, height)
    : Object.assign(document.createElement("canvas"), { width, height });
  const canvas = surface.getContext("2d", { alpha: false, willReadFrequently: true });
  canvas.fillStyle = "white";
  canvas.fillRect(0, 0, width, height);
  canvas.imageSmoothingQuality = "high";
  canvas.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.getImageData(0, 0, width, height);
}

// The part of a picture that is inside a frame {x, y, width, height}.
export function cut({ width, height, data }, frame) {
  const within = (place, length) => Math.min(Math.max(Math.round(place), 0), length);
  const [x, y] = [within(frame.x, width), within(frame.y, height)];
  const [wide, high] = [within(frame.x + frame.width, width) - x, within(frame.y + frame.height, height) - y];
  if (!(wide >= MIN_FRAME && high >= MIN_FRAME)) {
    throw new Error(`Of the frame, ${wide} x ${high} pixels lie in the picture: it is given in the picture's pixels.`);
  }
  const part = new Uint8ClampedArray(4 * wide * high);
  for (let row = 0; row < high; row++) {
    part.set(data.subarray(4 * ((y + row) * width + x), 4 * ((y + row) * width + x + wide)), 4 * row * wide);
  }
  return { width: wide, height: high, data: part };
}

// Float32Array [3 * size * size]: a plane each of red, green and blue, normalised. With the fit "crop" it shows the
// square in the centre of the picture. "pad" shows all of the picture and adds black bars. "squash" changes its shape.
export function tensor(picture, { size, fit, mean, std }) {
  const { width, height } = picture;
  if (Math.max(width, height) > MAX_RATIO * Math.min(width, height)) throw new Error("This is no card's shape.");
  const side = fit === "pad" ? Math.max(width, height) : Math.min(width, height);
  const [wide, high] = fit === "squash" ? [size, size]
    : [width, height].map((length) => Math.max(1, Math.floor((size * length) / side)));
  const resized = resize(picture, wide, high);
  const [left, top] = [roundToEven((wide - size) / 2), roundToEven((high - size) / 2)];
  const pixels = new Float32Array(3 * size * size);
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const [fromX, fromY] = [x + left, y + top];
        const inside = fromX >= 0 && fromX < wide && fromY >= 0 && fromY < high;
        const value = inside ? resized[3 * (fromY * wide + fromX) + channel] : 0;
        pixels[(channel * size + y) * size + x] = (value / 255 - mean[channel]) / std[channel];
      }
    }
  }
  return pixels;
}

// Resizes RGBA to RGB, bicubic with antialiasing, as PyTorch and Pillow do: first the width, then the height. Both
// steps round to whole numbers.
function resize({ width, height, data }, wide, high) {
  const across = weights(width, wide);
  const narrow = new Uint8ClampedArray(3 * wide * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, part } of across) {
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0, at = 4 * (y * width + first); i < part.length; i++, at += 4) {
        red += part[i] * data[at];
        green += part[i] * data[at + 1];
        blue += part[i] * data[at + 2];
      }
      narrow[to++] = red;
      narrow[to++] = green;
      narrow[to++] = blue;
    }
  }
  const small = new Uint8ClampedArray(3 * wide * high);
  weights(height, high).forEach(({ first, part }, y) => {
    for (let x = 0; x < 3 * wide; x++) {
      let sum = 0;
      for (let i = 0, at = 3 * wide * first + x; i < part.length; i++, at += 3 * wide) sum += part[i] * narrow[at];
      small[3 * wide * y + x] = sum;
    }
  });
  return small;
}

// For each of the `to` new pixels: the first of the `from` old pixels that it is made of, and the weight of each.
function weights(from, to) {
  const scale = from / to;
  const blur = Math.max(1, scale);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
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

// Rounds as Python's round() does: a half goes to the even number.
function roundToEven(value) {
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole & 1) : Math.round(value);
}
