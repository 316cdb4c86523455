// Keeps the page and its cards on this device, so that they work without a network, and sees when there are new ones.
//
//     const registration = await navigator.serviceWorker.register("service_worker.js");   // web/page/offline.js does
//     registration.active.postMessage({ type: "look" });
//
// A page sends     { type: "look" }            keep what is missing, and see whether the server has anything new
//                  { type: "take" }            use the new files from now on
//                  { type: "failed" }          it did not start: use the new files from now on, if there are any
//                  { type: "words" }           a person searches by words: from now on, their files are kept, too
// and is sent      { type: "kept" }            everything is on this device now: said once
//                  { type: "update", cards }   something newer is on this device too, and waits. cards: also new cards
//                  { type: "taken" }           the new files are used: load the page again
//
// It reads the files of the page and of the export, and keeps them in the browser under their SHA-256. A set is what
// belongs together: { page: { path: SHA-256 }, cards: { path: SHA-256 }, words }. The set `now` is what pages get. A
// newer one waits as `next`, so an open page never gets files of two exports. What is in neither is deleted. Each opening
// of the page also looks for new files: a page that does not start sends nothing. The files of words (64 MB) are part of
// a set only if a page has asked for them once.

importScripts("page_files.js");
const FILES = /** @type {{ PAGE_FILES: string[] }} */ (/** @type {unknown} */ (self)).PAGE_FILES;
const META = "meta.json";
const PICTURES_KEPT = 500; // 18 MB: a picture of the size "normal" has 36 KB, the mean of 1,537

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const { scope } = worker.registration;
let looking = /** @type {Promise<void> | null} */ (null);
/** @typedef {{ page: Record<string, string>, cards: Record<string, string>, words: boolean }} FileSet */

const openKept = () => caches.open(`kept for ${scope}`);
const keyOf = (/** @type {string} */ path, /** @type {string} */ sha256) => new URL(`${path}?${sha256}`, scope).href;
const placeOf = (/** @type {"now" | "next"} */ name) => `${scope}?set=${name}`;
const WANTED = `${scope}?words`; // kept if words are wanted
const isSame = (/** @type {unknown} */ one, /** @type {unknown} */ other) =>
  JSON.stringify(one) === JSON.stringify(other);
const pages = () => worker.clients.matchAll({ type: "window", includeUncontrolled: true });

const tell = async (/** @type {object} */ message) => (await pages()).forEach((page) => page.postMessage(message));
/** @type {(name: "now" | "next") => Promise<FileSet | undefined>} */
const readSet = async (name) => (await (await openKept()).match(placeOf(name)))?.json();

async function writeSet(/** @type {"now" | "next"} */ name, /** @type {FileSet} */ set) {
  await (await openKept()).put(placeOf(name), Response.json(set));
  if (name === "now") await (await openKept()).delete(placeOf("next"));
}

// The SHA-256 of a file of the server, which is kept then. undefined: the server has no such file. known is the SHA-256
// of what is kept already: the server does not send that again. Throws if the server cannot answer.
async function keep(/** @type {string} */ path, /** @type {string | undefined} */ known = undefined) {
  const kept = await openKept();
  const before = known ? await kept.match(keyOf(path, known)) : undefined;
  const [tag, changed] = ["ETag", "Last-Modified"].map((name) => before?.headers.get(name));
  const response = await fetch(path, tag ? { headers: { "If-None-Match": tag } }
    : changed ? { headers: { "If-Modified-Since": changed } } : { cache: "no-cache" });
  if (response.status === 304) return known;
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  const body = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const headers = new Headers(response.headers);
  headers.delete("Content-Encoding"); // the body is unpacked
  headers.set("Content-Length", String(body.byteLength));
  await kept.put(keyOf(path, sha256), new Response(body, { headers }));
  return sha256;
}

// { path: SHA-256 } of the export's files, with or without those of words. Of several models, the page uses the first.
function filesOf(/** @type {any} */ meta, /** @type {boolean} */ words) {
  const files = /** @type {Record<string, string>} */ ({ "embeddings.i8bin": meta.vectors_sha256 });
  const visit = (/** @type {any} */ value) => {
    if (typeof value !== "object" || value === null) return;
    if (value.file && value.sha256) files[value.file] = value.sha256;
    for (const [key, inner] of Object.entries(value)) visit(key === "models" ? inner[0] : inner);
  };
  visit({ ...meta, records: null, columns: null, text: words && meta.text });
  return files;
}

// The files of the page that the server has now, kept: { path: SHA-256 }. old is an earlier answer.
async function keepPage(/** @type {Record<string, string>} */ old) {
  const page = /** @type {Record<string, string>} */ ({});
  for (const path of [META, ...FILES]) {
    const sha256 = await keep(path, old[path]);
    if (sha256) page[path] = sha256;
    if (path !== META || sha256) continue;
    await worker.registration.unregister(); // another program may be at this address now
    throw new Error("The server has no cards.");
  }
  return page;
}

// What the server has now, kept. old is an earlier set.
async function newestSet(/** @type {FileSet | undefined} */ old) {
  const kept = await openKept();
  const page = await keepPage(old?.page ?? {});
  // Files of two releases do not fit together. If some are new, all are asked for again: they have not changed since.
  if (!isSame(page, old?.page) && !isSame(page, await keepPage(page))) throw new Error("A release is under way.");
  const words = Boolean(await kept.match(WANTED));
  if (old && page[META] === old.page[META] && words === Boolean(old.words)) return { ...old, page };
  const meta = await (await kept.match(keyOf(META, page[META])))?.json();
  const cards = filesOf(meta, false);
  await keepFiles(cards);
  if (!words) return { page, cards, words };
  try {
    const all = filesOf(meta, true);
    await keepFiles(all);
    return { page, cards: all, words };
  } catch { // no room for them: they are kept no more, and the rest goes on
    await kept.delete(WANTED);
    return { page, cards, words: false };
  }
}

// Keeps files that are not kept yet. Throws if one has another SHA-256, or if there is no room.
async function keepFiles(/** @type {Record<string, string>} */ files) {
  for (const [path, sha256] of Object.entries(files)) {
    const isThere = await (await openKept()).match(keyOf(path, sha256));
    if (!isThere && await keep(path) !== sha256) throw new Error(`${path} is of another export.`);
  }
}

async function look() {
  const newest = await newestSet(await readSet("next") ?? await readSet("now"));
  const now = await readSet("now"); // a person may have taken a newer one meanwhile
  const isNow = !now || isSame(newest.page, now.page); // the cards are those of page[META], at most with words
  await writeSet(isNow ? "now" : "next", newest);
  const kept = await openKept();
  const used = new Set([placeOf("now"), placeOf("next"), WANTED]);
  for (const set of [newest, now ?? newest]) {
    for (const [path, sha256] of Object.entries({ ...set.page, ...set.cards })) used.add(keyOf(path, sha256));
  }
  for (const { url } of await kept.keys()) if (!used.has(url)) await kept.delete(url);
  if (!now) await tell({ type: "kept" });
  else if (!isNow) await tell({ type: "update", cards: newest.page[META] !== now.page[META] });
}

// One look at a time. Without a network, or without room for the files, nothing changes, and the next look tries again.
function lookOnce() {
  looking ??= look().catch(() => {}).finally(() => { looking = null; });
  return looking;
}

// Keeps the files of words from now on, and fetches them. A look that is under way may have begun without them.
async function want() {
  const kept = await openKept();
  if (await kept.match(WANTED)) return;
  await kept.put(WANTED, new Response());
  await lookOnce();
  await lookOnce();
}

// Resolves to true if there were new files.
async function take() {
  const next = await readSet("next");
  if (next) await writeSet("now", next);
  return Boolean(next);
}

// The kept file, or the server's answer. A page that is opened while no other is open gets the newest files.
async function answer(/** @type {Request} */ request, /** @type {string} */ path) {
  if (request.mode === "navigate" && !(await pages()).length) await take().catch(() => {}); // there may be no room
  const now = await readSet("now");
  const sha256 = now?.page[path] ?? now?.cards[path];
  return (sha256 && await (await openKept()).match(keyOf(path, sha256))) || fetch(request);
}

// A card's picture. It is kept if its server lets pages read it. Chromium counts any other as 8 to 10 MB.
async function picture(/** @type {Request} */ request) {
  const pictures = await caches.open(`pictures for ${scope}`);
  const before = await pictures.match(request.url);
  if (before) return before;
  const response = await fetch(request.url, { mode: "cors", credentials: "omit" }).catch(() => null);
  if (!response?.ok) return fetch(request);
  await pictures.put(request.url, response.clone()).catch(() => {}); // without room, it is only shown
  const [oldest, ...others] = await pictures.keys();
  if (others.length >= PICTURES_KEPT) await pictures.delete(oldest);
  return response;
}

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("message", (event) => {
  const { type } = event.data;
  const taken = () => tell({ type: "taken" });
  if (type === "look") event.waitUntil(lookOnce());
  if (type === "take") event.waitUntil(take().then(taken));
  if (type === "words") event.waitUntil(want());
  if (type === "failed") event.waitUntil(lookOnce().then(take).then((isNew) => (isNew ? taken() : undefined)));
});
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname, href } = new URL(request.url);
  if (request.method !== "GET") return;
  const path = href.startsWith(scope) ? pathname.slice(new URL(scope).pathname.length) || "./" : "";
  const isElsewhere = origin !== worker.location.origin;
  if (path === "picture" || (isElsewhere && request.destination === "image")) event.respondWith(picture(request));
  else if (path) event.respondWith(answer(request, path));
  if (path && request.mode === "navigate") event.waitUntil(lookOnce());
});
