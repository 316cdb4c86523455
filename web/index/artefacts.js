// Reads the files that export_for_browser.py wrote. Where one is damaged, it throws an Error that says so in words.
//
//     const meta = await readMeta("./");
//     const bytes = await readBytes("./embeddings.i8bin", new Uint8Array(size), digest, onProgress);

/** @typedef {Awaited<ReturnType<typeof readMeta>>} Meta */

const RENEW = "Run python export_for_browser.py again.";
const KIND = { dtype: "int8", scale_factor: 127 };

/**
 * {rows, dimension, scale, model, size, fit, region, record(row), value(row, field), dictionary(field), digest,
 * embedding, recognition, art, text} from <base>meta.json. embedding and recognition are there after an export
 * --with-model, art after one --with-art, and text after one --with-text. This reads both forms of the file: records
 * (version 1.0) and columns (2.0). Vectors of the art make it 1.1 and 2.1.
 * dictionary(field) is {values, places}: the different values, and for each row the place of its own among them. It is
 * undefined where the index has no such field.
 * @param {string} base
 */
export async function readMeta(base) {
  const url = new URL("meta.json", base);
  const response = await ask(url);
  let meta;
  try {
    meta = await response.json();
  } catch {
    throw new Error(`${name(url)} is damaged or too large: it is no JSON that this browser can read. ${RENEW}`);
  }
  const records = { "1.0": fromRecords, "1.1": fromRecords, "2.0": fromColumns, "2.1": fromColumns }[meta?.version];
  if (!records) throw new Error(`${name(url)} has version ${meta?.version}; this page reads 1.0 to 2.1. ${RENEW}`);
  const [rows, dimension] = Array.isArray(meta.shape) ? meta.shape : [];
  if (!(rows > 0 && dimension > 0)) throw new Error(`${name(url)} has no shape. ${RENEW}`);
  for (const [key, value] of Object.entries(KIND)) {
    if (meta.quantization?.[key] !== value) {
      throw new Error(`${name(url)}: ${key} is ${meta.quantization?.[key]}; this page reads ${value}. ${RENEW}`);
    }
  }
  const { length, record, value, dictionary } = records(meta);
  if (length !== rows) {
    throw new Error(`${name(url)} describes ${length} cards, but its shape says ${rows}. ${RENEW}`);
  }
  return {
    rows, dimension, scale: meta.quantization.scale_factor, model: meta.model, size: meta.size, fit: meta.fit,
    digest: meta.vectors_sha256, embedding: meta.embedding, recognition: meta.recognition, collection: meta.collection,
    art: meta.art, region: meta.region ?? "card", text: meta.text,
    record, value, dictionary,
  };
}

/**
 * Fills `into` with the file's bytes as they arrive. onProgress hears which part of them is there, from 0 to 1.
 * digest is the SHA-256 that the bytes must have, in hex. Browsers can check it on https and on localhost only.
 * @param {URL} url
 * @param {Uint8Array<ArrayBuffer>} into
 * @param {string} digest
 * @param {(part: number) => void} [onProgress]
 */
export async function readBytes(url, into, digest, onProgress = () => {}) {
  const reader = (await ask(url)).body.getReader();
  const next = () => reader.read().catch(() => {
    throw new Error(`${name(url)} did not arrive whole: the connection was lost.`);
  });
  let at = 0;
  for (let part = await next(); !part.done; part = await next()) {
    if (at + part.value.length <= into.length) into.set(part.value, at);
    at += part.value.length;
    onProgress(Math.min(1, at / into.length));
  }
  if (at !== into.length) {
    throw new Error(`${name(url)} has ${at} bytes, but meta.json says ${into.length}: they are of two exports. `
      + RENEW);
  }
  if (digest && globalThis.crypto?.subtle) {
    const found = new Uint8Array(await crypto.subtle.digest("SHA-256", into));
    if (Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("") !== digest) {
      throw new Error(`${name(url)} is damaged or of another export than meta.json. ${RENEW}`);
    }
  }
  return into;
}

async function ask(url) {
  let response;
  try {
    response = await fetch(url, { cache: "no-cache" });
  } catch {
    throw new Error(`${name(url)} could not be fetched: the server does not answer.`);
  }
  if (response.ok) return response;
  throw new Error(response.status === 404 ? `${name(url)} is not there. Run python export_for_browser.py first.`
    : `${name(url)} could not be fetched: HTTP ${response.status}.`);
}

function name(url) {
  return String(url).split("/").pop();
}

function fromRecords({ records }) {
  const isComplete = Array.isArray(records) && records.every((record) => typeof record?.name === "string");
  return {
    length: isComplete ? records.length : 0,
    record: (row) => records[row],
    value: (row, field) => records[row][field],
    dictionary: (field) => (field in records[0] ? different(records.length, (row) => records[row][field]) : undefined),
  };
}

/**
 * Reads the second form: {length, record(row), value(row, field)}. A record is put together when it is asked for:
 * 500,000 of them would take 1 GB.
 * @param {{columns: any}} meta
 */
export function fromColumns({ columns }) {
  const column = (field) => (typeof columns[field] === "string" ? columns[columns[field]] : columns[field]);
  const fields = Object.keys(columns ?? {}).map((field) => [field, column(field)]);
  const ids = columns?.scryfall_id?.values;
  const isComplete = Array.isArray(ids) && columns.name
    && fields.every(([, stored]) => stored?.values?.length === ids.length);
  const valueOf = ({ values, dictionary, prefix = "", with_id: withId }, row) => {
    const written = dictionary ? dictionary[values[row]] : values[row];
    if (typeof written !== "string") return written;
    return withId ? (prefix + written).replaceAll("{id}", ids[row]) : prefix + written;
  };
  return {
    length: isComplete ? ids.length : 0,
    record: (row) => Object.fromEntries(fields.map(([field, stored]) => [field, valueOf(stored, row)])),
    value: (row, field) => valueOf(column(field), row),
    dictionary(field) {
      const stored = column(field);
      if (stored?.dictionary && !stored.with_id) return { values: stored.dictionary, places: stored.values };
      return stored && different(ids.length, (row) => valueOf(stored, row));
    },
  };
}

function different(rows, valueAt) {
  const known = new Map();
  const values = [];
  const places = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    const value = valueAt(row);
    const key = Array.isArray(value) ? JSON.stringify(value) : value;
    let place = known.get(key);
    if (place === undefined) {
      place = values.push(value) - 1;
      known.set(key, place);
    }
    places[row] = place;
  }
  return { values, places };
}
