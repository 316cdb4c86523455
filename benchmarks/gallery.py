"""Build indexes of many sizes from a few cards: real ones, and cards recombined from their parts.

    python benchmarks/gallery.py my_photos --out gallery_out --faces 1537 54000
    python scripts/eval_photos.py my_photos --index-dir gallery_out/54000

A recombined card has the frame of one card, a part of a second one's art, often mirrored, and the text box of a third
one. So each has art of its own. A card that is named in a photo gives no part: the index holds no near twin of it. Each
size adds to the one before.

Reads   <DIR>/unique-artwork.jsonl.gz, images/ and photos.jsonl
Writes  <OUT>/mirror and <OUT>/image_cache: the pictures; <OUT>/<N>: the index of N faces
"""
from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.workbench import BULK, run, start_mirror
from mirror.scene_kinds import TEXT, box_of
from mtg_image_db.arguments import ArgumentParser, number
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import atomic_file
from mtg_image_db.console import EXIT_OK, Progress, SuiteError, entry_point, require_directory, say
from mtg_image_db.embedding.models import OFFLINE_MODEL
from mtg_image_db.embedding.picture_hash import ART
from mtg_image_db.threads import map_ahead

KEY = "normal"
FRAMES = ("2003", "2015")
ART_SHARE = 0.5, 1.0  # of the art's width and height that a recombined card shows
JPEG_QUALITY = 85
CARDS_NEEDED = "Name a folder with photos.jsonl, unique-artwork.jsonl.gz and images/."
AHEAD = 64  # cards drawn ahead of the file


@dataclass(frozen=True)
class Parts:
    """The cards that give a recombined card its frame, its art and its text box, by their place in the list. window is
    the part of the art: left, top, right and bottom as shares of its size. mirrored: left and right, top and bottom."""
    frame: int
    art: int
    text: int
    window: tuple[float, float, float, float]
    mirrored: tuple[bool, bool]


def donors(cards: list[dict[str, Any]], photos: Path) -> list[dict[str, Any]]:
    """The one-sided cards with a usual frame that no photo shows."""
    shown = {name for line in photos.read_text().splitlines() for name in json.loads(line).get("cards", ())}
    return [card for card in cards if card["layout"] == "normal" and card["frame"] in FRAMES
            and "image_uris" in card and card["name"] not in shown]


def recombinations(count: int, sources: int, seed: int) -> Iterator[Parts]:
    """Count ways to combine three different cards. The first ones are the same for every count."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        frame, art, text = random.choice(sources, 3, replace=False).tolist()
        share = random.uniform(*ART_SHARE)
        left, top = random.uniform(0, 1 - share, 2).tolist()
        left_right, top_bottom = random.integers(2, size=2).tolist()
        yield Parts(frame, art, text, (left, top, left + share, top + share), (bool(left_right), bool(top_bottom)))


def recombined(parts: Parts, frame: Image.Image, art: Image.Image, text: Image.Image) -> bytes:
    """A JPEG of the frame with the other cards' parts."""
    card, picture = frame.copy(), art.crop(box_of(ART, art.size))
    for is_mirrored, way in zip(parts.mirrored, (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM),
                                strict=True):
        picture = picture.transpose(way) if is_mirrored else picture
    for place, source, part in ((ART, picture, parts.window), (TEXT, text, TEXT)):
        box = box_of(place, card.size)
        size = box[2] - box[0], box[3] - box[1]
        card.paste(source.resize(size, Image.Resampling.BILINEAR, box=box_of(part, source.size)), box)
    data = io.BytesIO()
    card.save(data, "JPEG", quality=JPEG_QUALITY)
    return data.getvalue()


def picture_path(folder: Path, url: str) -> Path:
    """Where a mirror's folder has the picture of an address."""
    return folder / "images" / urlsplit(url).path.lstrip("/")


def write_gallery(source: Path, out: Path, faces: int, seed: int) -> Path:
    """Write a mirror's folder with the source's cards and recombined ones, in all this many faces. The recombined ones
    of a smaller gallery are there already: they are not drawn again. Returns the folder."""
    with gzip.open(source / BULK, "rt") as bulk:
        cards = [json.loads(line) for line in bulk]
    real = sum(len(card.get("card_faces", ())) if "image_uris" not in card else 1 for card in cards)
    if faces < real:
        raise SuiteError("Invalid Arguments", f"the folder has {real:,} faces", f"--faces {faces}",
                         f"Ask for {real:,} or more.")
    usable, folder, cache = donors(cards, source / "photos.jsonl"), out / "mirror", out / "image_cache"
    if len(usable) < 3:
        raise SuiteError("Configuration Error", "too few cards can give their parts", f"{len(usable)} in {source}",
                         "Name a folder with more cards of a usual frame that no photo shows.")
    folder.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    for path in (source / "images").rglob("*.jpg"):
        copy = folder / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copyfile(path, copy)

    def opened(card: dict[str, Any]) -> Image.Image:
        return Image.open(picture_path(source, card["image_uris"][KEY])).convert("RGB")

    def drawn(numbered: tuple[int, Parts]) -> dict[str, Any]:
        at, parts = numbered
        frame = usable[parts.frame]
        card_id = f"{at:08x}-0000-4000-8000-{seed:012x}"
        url = f"https://cards.scryfall.io/{KEY}/front/{card_id[6]}/{card_id[7]}/{card_id}.jpg?1700000000"
        path = picture_path(folder, url)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                file.write(recombined(parts, *map(opened, (frame, usable[parts.art], usable[parts.text]))))
            os.link(path, cache / cache_name(url))
        return {key: frame[key] for key in ("object", "lang", "layout", "image_status", "frame")} | {
            "id": card_id, "name": f"Recombined {at}", "set": "rec", "collector_number": str(at),
            "image_uris": {KEY: url}}

    plan = list(enumerate(recombinations(faces - real, len(usable), seed)))
    progress = Progress("Drawing", len(plan), "cards")
    with gzip.open(folder / BULK, "wt", compresslevel=1) as bulk:
        bulk.writelines(json.dumps(card) + "\n" for card in cards)
        for card in map_ahead(drawn, plan, os.cpu_count() or 1, AHEAD):
            bulk.write(json.dumps(card) + "\n")
            progress.update()
    progress.close()
    return folder


def build(folder: Path, out: Path, faces: int, model: str) -> Path:
    """Build the index of a mirror's folder, as a user would, and keep a copy of it."""
    mirror, address = start_mirror(folder, latency_ms=0)
    try:
        run(out, "build_mtg_faiss.py", "--model", model, "--api-url", address, "--cache", "image_cache", "--out",
            "index_out")
    finally:
        mirror.kill()
    kept = out / str(faces)
    shutil.rmtree(kept, ignore_errors=True)
    return Path(shutil.copytree(out / "index_out", kept))


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__, " DIR")
    parser.add_argument("folder", type=Path, metavar="DIR",
                        help="photos.jsonl, and the cards as a mirror has them: see docs/naming.md")
    parser.add_argument("--out", type=Path, default=Path("gallery_out"), metavar="DIR",
                        help="the folder to write (default: gallery_out)")
    parser.add_argument("--faces", type=number(int, 1), nargs="+", default=[54000], metavar="N",
                        help="the sizes of the indexes (default: 54000)")
    parser.add_argument("--model", default=OFFLINE_MODEL, metavar="NAME",
                        help=f"the embedding model (default: {OFFLINE_MODEL})")
    parser.add_argument("--seed", type=number(int, 0), default=1, metavar="N",
                        help="another seed recombines other cards (default: 1)")
    args = parser.parse(argv)
    require_directory(args.folder, "photo", CARDS_NEEDED)
    for name in ("photos.jsonl", BULK):
        if not (args.folder / name).is_file():
            raise SuiteError("Configuration Error", "the folder lacks a file", args.folder / name, CARDS_NEEDED)
    args.out.mkdir(parents=True, exist_ok=True)
    for faces in sorted(args.faces):
        kept = build(write_gallery(args.folder, args.out, faces, args.seed), args.out, faces, args.model)
        say(f"The index of {faces:,} faces is in {kept}.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
