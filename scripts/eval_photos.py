"""Measure how well photos are named: count found, named and accepted cards in photos whose cards are known.

    python scripts/eval_photos.py my_photos

Reads   <dir>/photos.jsonl, negatives.jsonl and photo_printings.jsonl with their pictures: docs/naming.md, "Count it on
        your own photos".
        Without --index-dir also the cards of <dir> (unique-artwork.jsonl.gz, images/), to build an index of them first
Writes  counts to stdout, the index to eval_out/, and with --save-failures pictures of cards that were not named
"""
from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import hash_matchers
from benchmarks.photo_answers import SAME_PLACE_IOU, TimedModel, add_gains, answer
from benchmarks.photo_counts import DRAWN, Answered, Rate, curve, grouped, rates, seconds_of
from benchmarks.photo_list import OPTIONAL, read_lists
from benchmarks.photo_printings import ReadPrinting, count_printings, printing_rates, read_truths
from benchmarks.workbench import BULK
from mirror import scene_kinds
from mirror.scryfall_mirror import Mirror
from mtg_image_db.arguments import ArgumentParser, number, one_of
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import InvalidContent, open_picture, open_pixels
from mtg_image_db.console import EXIT_OK, Progress, SuiteError, entry_point, require_directory, say
from mtg_image_db.embedding.models import OFFLINE_MODEL
from mtg_image_db.index.reader import CardIndex, ModelOptions, open_model, read_index
from mtg_image_db.recognition import annotate
from mtg_image_db.recognition.card_reader import AUTO, READ, CardReader
from mtg_image_db.recognition.decision import ACCEPTED, Question
from mtg_image_db.recognition.finder import Pyramid, intersection_over_union
from mtg_image_db.recognition.places import guesses

OUT = Path("eval_out")
Groups = dict[str, list[Answered]]


def built_index(folder: Path) -> Path:
    """Build an index of the folder's cards with the offline model, in OUT. It is rebuilt only if something changed."""
    if not (folder / BULK).is_file():
        raise SuiteError("Configuration Error", "there is no index to search, and the folder has no cards to build one",
                         folder / BULK, "Name an index with --index-dir.")
    out = OUT / folder.resolve().name
    with Mirror(folder) as mirror:
        command = [sys.executable, str(ROOT / "build_mtg_faiss.py"), "--model", OFFLINE_MODEL, "--api-url", mirror.url,
                   "--cache", str(out / "image_cache"), "--out", str(out / "index_out")]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SuiteError("Build Error", "the index of the folder's cards was not built", f"exit code {done.returncode}",
                         "See the lines above.")
    return out / "index_out"


def picture_of(face: dict, cache: Path) -> Image.Image:
    try:
        return open_picture(cache / cache_name(face["image_url"]))
    except (OSError, InvalidContent) as error:
        raise SuiteError("Validation Error", "an indexed picture is not in the cache", f"{face['name']} in {cache}",
                         "Name the cache of the index with --cache.") from error


def drawn_photos(index: CardIndex, cache: Path, count: int) -> Iterator[tuple[NDArray[np.uint8], dict]]:
    """Yield count photos of each kind of scene_kinds.py with their lines, drawn of random indexed cards."""
    random = np.random.default_rng(1)
    if count and len(index.metadata) < scene_kinds.CROWD:
        raise SuiteError("Invalid Arguments", "the index has too few cards to draw", len(index.metadata),
                         f"--drawn needs {scene_kinds.CROWD}.")
    for kind in scene_kinds.KINDS:
        for seed in range(count):
            rows = random.choice(len(index.metadata), scene_kinds.CROWD, replace=False)
            faces = [index.face(row) for row in rows.tolist()]
            cards = [picture_of(face, cache) for face in faces]
            photo, quads = scene_kinds.photo_of(kind, cards, seed)
            shown = faces[:max(len(quads), 2)]  # "covered" may lay the second card on top
            instances = [{"name": face["name"], "quad": quad.tolist()}
                         for face, quad in zip(faces, quads, strict=False)]
            yield np.asarray(photo), OPTIONAL | {"file": f"{kind} {seed}", "kind": f"{DRAWN}{kind}",
                                                 "cards": [face["name"] for face in shown], "instances": instances}


def name_by_hash(matchers: dict[str, hash_matchers.HashMatcher], photo: NDArray[np.uint8], entry: dict) -> None:
    """Name the photo's known cards by hash, at the places that places.py finds."""
    found = guesses(photo)
    places = [(corners, [quad for quad, *_ in found if intersection_over_union(quad, corners) >= SAME_PLACE_IOU])
              for corners in (np.float32(instance["quad"]) for instance in entry["instances"])]
    pyramid = Pyramid(photo)
    for matcher in matchers.values():
        matcher.name(entry["file"], pyramid, places)


def save_failures(folder: Path, photo: NDArray[np.uint8], result: Answered, entry: dict) -> None:
    """Write the photo with its answer if something in it went wrong. The true corners of its known cards are yellow."""
    if not (any(result.wrong.values()) or any(not card.first or not card.accepted for card in result.seen)):
        return
    picture = annotate.drawn(photo, result.cards)
    draw = ImageDraw.Draw(picture)
    for instance in entry["instances"]:
        corners = [tuple(corner) for corner in instance["quad"]]
        draw.line([*corners, corners[0]], "yellow", max(1, max(picture.size) // 500))
        draw.text(corners[0], instance["name"], "yellow")
    folder.mkdir(parents=True, exist_ok=True)
    annotate.write(folder / f"{result.kind}-{Path(result.file).stem}.jpg", picture)


def some_of(entries: list[dict], limit: int | None) -> list[dict]:
    """So many of the entries, from all parts of the list. None means all."""
    if limit and limit < len(entries):
        return [entries[at] for at in np.linspace(0, len(entries) - 1, limit).round().astype(int)]
    return entries


def rows_by_name(index: CardIndex) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row in range(len(index.metadata)):
        rows.setdefault(index.face(row)["name"], []).append(row)
    return rows


def print_counts(groups: Groups, rows: dict[str, dict[str, Rate]], printings: dict[str, Rate],
                 with_curve: bool) -> None:
    for name, answered in groups.items():
        print(f"\n{name}: {len(answered)} pictures")
        for row, rate in rows[name].items():
            print(f"  {row:<34}{rate}")
        print("  {:<34}{mean:.2f}, of which {beyond_model:.2f} beyond the model; longest {longest:.2f}".format(
            "seconds a picture", **seconds_of(answered)))
    if printings:
        print("\nprintings, of eight or more to choose from:")
    for row, rate in printings.items():
        print(f"  {row:<56}{rate}")
    if with_curve:
        print(f"\nIf a card were recognised from another confidence on (now {ACCEPTED}):")
        for threshold, counted in curve(groups["all"]).items():
            print(f"  {threshold:.2f}  " + ", ".join(f"{name} {rate.count} of {rate.total}"
                                                     for name, rate in counted.items()))


def as_json(answers: list[Answered], groups: Groups, rows: dict[str, dict[str, Rate]], with_curve: bool) -> str:
    """The counts and every answer, as one JSON object."""
    def rates_of(counted: dict[str, Rate]) -> dict[str, dict]:
        return {row: asdict(rate) | {"interval": rate.interval} for row, rate in counted.items()}

    thresholds = curve(groups["all"]) if with_curve else {}
    return json.dumps({"rates": {name: rates_of(counted) for name, counted in rows.items()},
                       "seconds": {name: seconds_of(answered) for name, answered in groups.items()},
                       "photos": [asdict(result) for result in answers],
                       "curve": {f"{threshold:.2f}": rates_of(counted) for threshold, counted in thresholds.items()}},
                      ensure_ascii=False)


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__, " DIR")
    parser.add_argument("folder", type=Path, metavar="DIR", help="photos.jsonl, negatives.jsonl and their pictures")
    parser.add_argument("--index-dir", type=Path, metavar="DIR",
                        help=f"the index to search (default: an index of DIR's cards, built in {OUT})")
    parser.add_argument("--read", type=one_of(*READ), default=AUTO, metavar="HOW",
                        help="auto: read titles, as query_index.py does; off: never (default: auto)")
    parser.add_argument("--limit", type=number(int, 1), metavar="N", help="N of the photos, from all parts of the list")
    parser.add_argument("--hold-out", action="store_true",
                        help="also name each photo with its own cards removed from the index: none should be accepted")
    parser.add_argument("--drawn", type=number(int, 1), metavar="N",
                        help="also N drawn photos of each kind in which cards are easily missed, of indexed cards")
    parser.add_argument("--gains", action="store_true",
                        help="also count what the picture alone gives, and what the titles alone give")
    parser.add_argument("--hashes", action="store_true",
                        help="also count what perceptual hashes name over the same candidates (package imagehash)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="the index's pictures, for --hashes and --drawn (default: image_cache beside the index)")
    parser.add_argument("--curve", action="store_true",
                        help="also the counts for every threshold of the confidence: for choosing it again")
    parser.add_argument("--json", action="store_true", help="one JSON object: counts, and every photo's answer")
    parser.add_argument("--save-failures", type=Path, metavar="DIR", help="write the photos that were not named")
    args = parser.parse(argv)
    require_directory(args.folder, "photo", "Name a folder with photos.jsonl.")
    folder = args.index_dir or built_index(args.folder)
    index = read_index(folder)
    rows_of = rows_by_name(index)
    lines = some_of(read_lists(args.folder, rows_of), args.limit)
    model = TimedModel(open_model(folder, index.manifest, ModelOptions(photos=len(lines))))
    say(f"{len(lines)} photos to name, against {len(index.metadata):,} faces with {model.model.spec.model}.")
    question, reader = Question(index, model), CardReader(index) if args.read == AUTO else None
    matchers, cache = {}, args.cache or folder.parent / "image_cache"
    if args.hashes:
        matchers = hash_matchers.open_matchers(index, cache)
    drawn = args.drawn or 0
    progress, answers = Progress("Naming", len(lines) + drawn * len(scene_kinds.KINDS), "photos"), []
    truths, read = read_truths(args.folder), list[ReadPrinting]()
    given = ((open_pixels(args.folder / entry["file"]), entry) for entry in lines)
    for photo, entry in itertools.chain(given, drawn_photos(index, cache, drawn)):
        result = answer(photo, entry, question, reader, rows_of if args.hold_out else None)
        if matchers and entry["instances"]:
            name_by_hash(matchers, photo, entry)
        if args.gains and reader:
            add_gains(photo, entry, result, question, reader)
        read += count_printings(photo, result.cards, truths.get(entry["file"], ()), index) if reader else []
        answers.append(result)
        if args.save_failures:
            save_failures(args.save_failures, photo, result, entry)
        progress.update()
    progress.close()
    groups, named_by_hash = grouped(answers), {title: matcher.named for title, matcher in matchers.items()}
    rows = {name: rates(answered, named_by_hash) for name, answered in groups.items()}
    printings = printing_rates(read)
    if args.json:
        print(as_json(answers, groups, {**rows, "printings": printings}, args.curve))
    else:
        print_counts(groups, rows, printings, args.curve)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
