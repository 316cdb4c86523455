// Runs networks (ONNX) with onnxruntime-web.
//
//     const network = await openNetwork(bytes);
//     const { data, dims } = await network.run(planesOf(pictures), [pictures.length, 3, 384, 384]);
//
// Reads vendor/, where `make web` puts onnxruntime-web. It uses several threads where the server sends the two headers
// that browsers ask for (scripts/serve.py does), else one.

/**
 * @typedef {(numbers: Float32Array | Int32Array, shape: number[]) => Promise<{data: Float32Array, dims: number[]}>} Run
 */

const RUNTIME = new URL("../vendor/", import.meta.url);
const MAX_THREADS = 4; // more are not faster for networks of this size
// Widens int8 weights once, not again for each picture. For ViT-B/32 on one core, a picture takes 315 ms, not 365 ms.
// Not for a text: on one core it takes 255 ms, not 229 ms, but its network opens in 0.8 s, not 1.6 s, and takes 240 MB
// less memory.
const WIDENED = { session: { disable_quant_qdq: "1" } };

let loading = /** @type {Promise<typeof import("onnxruntime-web")> | null} */ (null);

/**
 * A network whose ONNX file has these bytes. run resolves to its first output. isWidened: as WIDENED says.
 * @param {Uint8Array} bytes
 * @returns {Promise<{run: Run}>}
 */
export async function openNetwork(bytes, { isWidened = true } = {}) {
  const runtime = await loadRuntime();
  const session = await runtime.InferenceSession.create(bytes, {
    executionProviders: ["wasm"], ...(isWidened ? { extra: WIDENED } : {}) });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return {
    async run(numbers, shape) {
      const given = numbers instanceof Int32Array ? new runtime.Tensor("int32", numbers, shape)
        : new runtime.Tensor("float32", numbers, shape);
      const answer = (await session.run({ [input]: given }))[output];
      const { data, dims } = answer;
      const copied = { data: Float32Array.from(/** @type {Float32Array} */ (data)), dims: [...dims] };
      answer.dispose();
      return copied;
    },
  };
}

/**
 * The pixels of RGB pictures of one size, {width, height, data: Uint8Array [H * W * 3]}, a plane for each colour:
 * Float32Array [n * 3 * H * W] of 0 to 255.
 * @param {{width: number, height: number, data: Uint8Array | Uint8ClampedArray}[]} pictures
 */
export function planesOf(pictures) {
  const [{ width, height }] = pictures;
  const size = width * height;
  const planes = new Float32Array(pictures.length * 3 * size);
  pictures.forEach(({ data }, number) => {
    const start = 3 * size * number;
    for (let at = 0, from = 0; at < size; at++) {
      planes[start + at] = data[from++];
      planes[start + size + at] = data[from++];
      planes[start + 2 * size + at] = data[from++];
    }
  });
  return planes;
}

async function loadRuntime() {
  loading ??= import(new URL("ort.wasm.min.mjs", RUNTIME).href).catch(() => {
    loading = null; // so that the next picture tries again
    throw new Error("The program that runs the model is not installed: make web");
  });
  const runtime = await loading;
  runtime.env.wasm.wasmPaths = RUNTIME.href;
  runtime.env.wasm.numThreads = globalThis.crossOriginIsolated
    ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
  return runtime;
}
