"""The complete pipeline on drawn cards: serve them as Scryfall does, run the real scripts, name cards in photos.

    python scripts/demo.py

Reads   nothing: the cards are drawn by mirror/drawn_cards.py, the model is part of the package
Writes  demo_out/: mirror/, image_cache/, index_out/, photos/, matches.html and cards.csv
"""
from __future__ import annotations

import csv
import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mirror.drawn_cards import write_mirror
from mirror.drawn_scenes import TABLES, scene
from mirror.scryfall_mirror import Mirror
from mtg_image_db.arguments import ArgumentParser
from mtg_image_db.console import EXIT_ERROR, EXIT_OK, entry_point, say
from mtg_image_db.recognition.cards import RECOGNISED

OUT = Path("demo_out")
CARDS = 185
PHOTOS = 6


def run(*command: str, env: dict[str, str]) -> str:
    """Print and run a script as a user would. Returns its stdout. If the script fails, the demo ends."""
    say(f"\n$ python {shlex.join(command)}")
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        say(f"The demo stopped: exit code {done.returncode}.")
        sys.exit(done.returncode)
    return done.stdout


def take_photos(mirror: Path, folder: Path) -> dict[str, str]:
    """Draw photos of a few cards, each on a table at an angle. Returns file name -> the card's name."""
    with gzip.open(mirror / "unique-artwork.jsonl.gz", "rt", encoding="utf-8") as lines:
        cards = [card for card in map(json.loads, lines) if "image_uris" in card
                 and card["image_status"] not in ("missing", "placeholder")]
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number, card in enumerate(cards[20::25][:PHOTOS]):
        card_id = card["id"]
        picture = mirror / "images" / "normal" / "front" / card_id[0] / card_id[1] / f"{card_id}.jpg"
        name = f"photo-{number + 1}.jpg"
        photo, _ = scene([Image.open(picture)], TABLES[number % len(TABLES)], seed=number)
        photo.save(folder / name, quality=90)
        truth[name] = card["name"]
    return truth


@entry_point
def main(argv: list[str] | None = None) -> int:
    ArgumentParser(__doc__).parse(argv)
    started = time.monotonic()
    os.chdir(ROOT)
    shutil.rmtree(OUT, ignore_errors=True)
    say(f"Drawing {CARDS} cards and serving them on this machine as Scryfall serves its own.")
    write_mirror(OUT / "mirror", CARDS)
    folders = ("--cache", str(OUT / "image_cache"), "--out", str(OUT / "index_out"))
    index = str(OUT / "index_out")
    with Mirror(OUT / "mirror") as mirror:
        env = {**os.environ, "MTG_SCRYFALL_API": mirror.url}
        run("download_images.py", *folders, env=env)
    run("scripts/validate_cache.py", "--cache", str(OUT / "image_cache"), env=env)
    run("build_embeddings.py", "--model", "efficientnet-lite0", *folders, env=env)
    run("export_for_browser.py", "--input-dir", index, "--output-dir", index, env=env)
    truth = take_photos(OUT / "mirror", OUT / "photos")
    run("query_index.py", str(OUT / "photos"), "--index-dir", index, "--cache", str(OUT / "image_cache"), "--html",
        str(OUT / "matches.html"), "--csv", str(OUT / "cards.csv"), env=env)
    with open(OUT / "cards.csv", newline="") as file:
        named = {(Path(row["photo"]).name, row["name"]) for row in csv.DictReader(file) if row["state"] == RECOGNISED}
    right = len(named & truth.items())
    say(f"\n{right} of {len(truth)} photographed cards named rightly in {time.monotonic() - started:.0f} s. "
        f"Open {OUT / 'matches.html'} to see them. {OUT / 'cards.csv'} lists them.")
    say("\nNext, these cards in a browser: make serve")
    say('\nThen, with the real cards:\n  make download              # 54,000 pictures, 6 GB\n'
        "  make embed                 # fetches the CLIP weights once\n  make query IMG=photo.jpg")
    return EXIT_OK if right == len(truth) else EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
