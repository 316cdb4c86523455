"""Comparisons of the page: a query's time in Chromium, and the size of the metadata it loads.

Reads   web/. The vectors and cards are generated
Writes  below the folder it is given
"""
from __future__ import annotations

import gzip
import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

from benchmarks.comparison import Bench, Figure
from mtg_image_db.artefacts import BROWSER_META, BROWSER_VECTORS
from mtg_image_db.browser import metadata
from mtg_image_db.browser.export import COLUMNS_FORMAT, GZIP_LEVEL, RECORDS_FORMAT, SCALE
from mtg_image_db.browser.server import application, bound, serving
from mtg_image_db.browser.site import Site
from mtg_image_db.console import say

WEB = Path(__file__).resolve().parents[1] / "web"
DIMENSION = 512  # of ViT-B/32
LIMITS = {54_000: 30, 500_000: 150}  # rows: limit of a query in milliseconds
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # sends no requests to the browser's maker
# the median of 20 queries, and the same products in plain JavaScript
QUERIES = """async () => {
  const { openIndex } = await import("./search.js");
  const began = performance.now();
  const index = await openIndex();
  const opened = performance.now() - began;
  const { dimension, cards } = index.about;
  const query = Float32Array.from({ length: dimension }, () => Math.random() - 0.5);
  const median = async (times, once) => {
    const took = [];
    for (let i = 0; i < times; i++) {
      const start = performance.now();
      await once();
      took.push(performance.now() - start);
    }
    return took.sort((one, other) => one - other)[times >> 1];
  };
  const ours = await median(20, () => index.nearest(query));
  const names = await median(20, () => index.search("of the"));
  index.close();
  const rows = new Int8Array(await (await fetch("embeddings.i8bin")).arrayBuffer());
  const scores = new Float32Array(cards);
  const plain = await median(3, () => {
    for (let row = 0, at = 0; row < cards; row++) {
      let sum = 0;
      for (let i = 0; i < dimension; i++) sum += rows[at++] * query[i];
      scores[row] = sum;
    }
  });
  return { opened, ours, names, plain };
}"""


def find_chromium() -> str | None:
    """The path of the browser's program. None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browser(bench: Bench) -> Iterator[Figure]:
    chromium = find_chromium()
    if chromium is None:
        say("No Chromium on this machine: the page is not measured.")
        return
    for rows in (bench.sizes.vectors, *([500_000] if bench.sizes.vectors in LIMITS else ())):
        folder, limit = bench.fresh("browser"), LIMITS.get(rows, LIMITS[54_000])
        yield _metadata(folder, rows)
        measured = _in_chromium(chromium, folder)
        yield Figure(f"query of {rows:,} x {DIMENSION} in Chromium, against {limit} ms", f"{measured['ours']:.1f} ms",
                     f"{limit} ms", measured["ours"] / limit, "<= 1",
                     f"names: {measured['names']:.1f} ms; opening: {measured['opened'] / 1000:.1f} s")
        yield Figure("  against the same in plain JavaScript", f"{measured['ours']:.1f} ms",
                     f"{measured['plain']:.0f} ms", measured["ours"] / measured["plain"], "<= 0.5")


def _metadata(folder: Path, rows: int) -> Figure:
    """Write the browser's files with the metadata in columns. Compares its size with that of records."""
    random = np.random.default_rng(0)
    vectors = random.integers(-20, 20, (rows, DIMENSION), np.int8)
    vectors.tofile(folder / BROWSER_VECTORS)
    head = {"quantization": {"dtype": "int8", "scale_factor": SCALE}, "shape": [rows, DIMENSION], "model": "made up",
            "vectors_sha256": hashlib.sha256(vectors.data).hexdigest()}
    lines = [orjson.dumps(_record(random.bytes(16), i)) for i in range(rows)]
    sizes = {}
    for form, version, body in (("records", RECORDS_FORMAT, metadata.rows(lines)),
                                ("columns", COLUMNS_FORMAT, metadata.columns(lines))):
        text = orjson.dumps({"version": version, **head})[:-1] + b',"%s":' % form.encode() + b"".join(body) + b"}"
        sizes[form] = len(text), len(gzip.compress(text, GZIP_LEVEL))
    (folder / BROWSER_META).write_bytes(text)
    shown = {form: f"{plain / 1e6:.1f} MB, gzip {packed / 1e6:.1f} MB" for form, (plain, packed) in sizes.items()}
    return Figure(f"meta.json of {rows:,} cards in columns, against records", shown["columns"], shown["records"],
                  sizes["columns"][0] / sizes["records"][0], "<= 0.35")


def _record(identity: bytes, number: int) -> dict:
    """A card with fields as long and ids as random as Scryfall's."""
    card, oracle, art = (str(uuid.UUID(bytes=bytes(byte ^ mask for byte in identity))) for mask in (0, 91, 173))
    name, code = f"Wanderer of the {oracle[:6].title()} Vale", f"s{number // 280 % 900:03d}"
    scanned = 1_562_000_000 + identity[0] * 77_777
    picture = f"https://cards.scryfall.io/normal/front/{card[0]}/{card[1]}/{card}.jpg?{scanned}"
    return {"name": name, "scryfall_id": card, "face_id": card, "set": code, "collector_number": str(number % 280 + 1),
            "frame": "2015", "layout": "normal", "lang": "en", "colors": ["WUBRG"[identity[1] % 5]],
            "image_url": picture, "card_url": picture,
            "scryfall_uri": f"https://scryfall.com/card/{code}/{number % 280 + 1}/{name.lower().replace(' ', '-')}"
                            "?utm_source=api",
            "oracle_id": oracle, "illustration_id": art, "artist": f"Painter {identity[2]} of {identity[3] % 8}",
            "released_at": f"{1993 + number // 280 % 33}-08-05", "image_status": "highres_scan", "same_image_as": None}


def _in_chromium(chromium: str, folder: Path) -> dict[str, float]:
    """Milliseconds, with the keys that QUERIES returns."""
    from playwright.sync_api import sync_playwright

    site = Site(WEB, folder, folder / "no cache", folder)
    with bound("127.0.0.1", 0) as listening, serving(application(site, None, []), listening), \
            sync_playwright() as playwright:
        port = listening.getsockname()[1]
        page = playwright.chromium.launch(executable_path=chromium, args=QUIET).new_page()
        page.goto(f"http://localhost:{port}/icon.svg")  # a page of the same origin that does not search
        measured = page.evaluate(QUERIES.replace('"./', f'"http://localhost:{port}/'))
    return measured
