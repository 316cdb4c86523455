"""Compare the page's answers with Python's: name each photo of a folder in Chromium and in Python.

    python benchmarks/compare_page.py my_photos --index-dir index_out --kinds single,binder

One line goes to stdout for each kind of photo: how many have the same cards in the same states (an unknown card has no
name), for how many known cards the similarities are within CLOSE, and the mean seconds of a photo. Run it on a quiet
machine; `taskset -c 0` before it measures one core.
Reads   <dir>/photos.jsonl (docs/naming.md, "Count it on your own photos") and its pictures, the index and its export
Writes  the browser's files of the index, if they are missing or old
"""
from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.compare_browser import QUIET, WEB, find_chromium
from benchmarks.photo_list import read_lists
from mtg_image_db import open_index
from mtg_image_db.arguments import OUT, ArgumentParser, cache_beside
from mtg_image_db.artefacts import load_manifest
from mtg_image_db.browser.server import application, bound, serving
from mtg_image_db.browser.site import Site, export_for, needs_export
from mtg_image_db.console import EXIT_OK, SuiteError, entry_point, require_directory, say
from mtg_image_db.recognition.cards import Card

CLOSE = 0.02  # difference of similarities
ASKED = "asked-photo"  # the path under which the browser gets the photo
OPENED = "async () => { const { openIndex } = await import('./search.js'); window.opened = await openIndex(); }"
NAMED = f"""async () => {{
  const file = await (await fetch("{ASKED}")).blob();
  const began = performance.now();
  const {{ cards }} = await window.opened.name(file);
  return {{ cards, seconds: (performance.now() - began) / 1000 }};
}}"""
Counts = dict[str, Counter[str]]


def compared(folder: Path, entries: list[dict[str, Any]], index_dir: Path) -> Counts:
    """The counts of each kind. Says each photo whose cards differ."""
    from playwright.sync_api import sync_playwright

    site = Site(WEB, index_dir, cache_beside(index_dir), index_dir)
    manifest = load_manifest(index_dir)
    if needs_export(site, manifest):
        export_for(site, manifest)
    python = open_index(index_dir)
    counts: Counts = defaultdict(Counter)
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(bound("127.0.0.1", 0))
        opened.enter_context(serving(application(site, None, []), listening))
        browser = opened.enter_context(sync_playwright()).chromium.launch(executable_path=_chromium(), args=QUIET)
        page = browser.new_context(service_workers="block").new_page()
        page.goto(f"http://localhost:{listening.getsockname()[1]}/")
        page.evaluate(OPENED)
        for at, entry in enumerate(entries):
            photo = folder / entry["file"]
            body = photo.read_bytes()
            page.unroute(f"**/{ASKED}")
            page.route(f"**/{ASKED}", lambda route: route.fulfill(body=body))  # noqa: B023 - it is replaced each time
            if at == 0:
                page.evaluate(NAMED)  # loads the model
                python.name(photo)
            began = time.perf_counter()
            cards = python.name(photo)
            seconds = time.perf_counter() - began
            shown = page.evaluate(NAMED)
            _count(counts[entry["kind"]], photo, cards, shown["cards"])
            counts[entry["kind"]].update({"seconds of Python": seconds, "seconds of the page": shown["seconds"]})
    return counts


def _chromium() -> str:
    if chromium := find_chromium():
        return chromium
    raise SuiteError("Configuration Error", "there is no Chromium on this machine", "chromium", "Install it.")


def _count(counts: Counter[str], photo: Path, cards: list[Card], shown: list[dict[str, Any]]) -> None:
    ours = [(card.state, card.matches[0].name if card.state != "unknown" else "") for card in cards]
    theirs = [(card["state"], card["matches"][0]["name"] if card["state"] != "unknown" else "") for card in shown]
    counts.update({"photos": 1, "same": ours == theirs})
    if ours != theirs:
        say(f"{photo}: Python {ours}, the page {theirs}")
        return
    for card, other in zip(cards, shown, strict=True):
        if card.state != "unknown":
            counts.update({"known": 1, "close": abs(card.similarity - other["similarity"]) <= CLOSE})


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    parser.add_argument("dir", type=Path, metavar="DIR", help="a folder of photos with the list photos.jsonl")
    parser.add_argument("--index-dir", type=Path, default=OUT, metavar="DIR", help="the index (default: index_out)")
    parser.add_argument("--kinds", default="", metavar="KIND,...", help="only these kinds of photos (default: all)")
    args = parser.parse(argv)
    require_directory(args.index_dir, "index", "Run make demo, or make download and make embed, first.")
    kinds = args.kinds.split(",") if args.kinds else None
    entries = [entry for entry in read_lists(args.dir, ()) if kinds is None or entry["kind"] in kinds]
    for kind, count in compared(args.dir, entries, args.index_dir).items():
        photos = count["photos"]
        print(f"{kind}: {photos} photos, the same cards and states in {count['same']}; {count['known']} known cards, "
              f"similarity within {CLOSE} in {count['close']}; {count['seconds of Python'] / photos:.2f} s in Python, "
              f"{count['seconds of the page'] / photos:.2f} s in the page")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
