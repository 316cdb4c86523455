"""Counts how often the printing is right, in photos whose printings were read by eye.

    truths = read_truths(Path("my_photos"))
    for name, rate in printing_rates(counted).items():
        print(name, rate)

A line of photo_printings.jsonl: file, name, card_height in pixels, frame, set, collector_number, year. Of an older
card, set is not known. Each card is also read in the photo shrunk to each of HEIGHTS. Most artworks have one printing
or two: so printings of other cards are added until there are CHOICES.
Reads   <DIR>/photo_printings.jsonl, if it is there
Writes  nothing
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.photo_counts import Rate
from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.cards import TITLE_ALONE, UNKNOWN, Card
from mtg_image_db.recognition.finder import Pyramid
from mtg_image_db.recognition.printed_lines import MODERN_SINCE, scored
from mtg_image_db.recognition.printing_choice import Choice, Printing, choose, known_printings
from mtg_image_db.recognition.text_reader import open_reader
from mtg_image_db.recognition.titled_cards import corners_of

PRINTINGS = "photo_printings.jsonl"
HEIGHTS = (310, 280, 250)  # pixels of a card
SHARP_FROM = 310  # the lowest card in pixels that counts in the first rows
CHOICES = 8


@dataclass(frozen=True)
class ReadPrinting:
    """What was said of the printing of a card in a photo. height: of the card in pixels. shrunk: the photo was made
    smaller. listed: the index lists the true printing. first: it came first. decided: the first was decided."""
    file: str
    name: str
    frame: str
    height: int
    shrunk: bool
    listed: bool
    first: bool = False
    decided: bool = False


def read_truths(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of the list, by file. Empty without a list."""
    path, truths = folder / PRINTINGS, dict[str, list[dict[str, Any]]]()
    for line in path.read_text().splitlines() if path.is_file() else ():
        truth = json.loads(line)
        truths.setdefault(truth["file"], []).append(truth)
    return truths


def count_printings(photo: NDArray[np.uint8], cards: Sequence[Card], truths: Sequence[Mapping[str, Any]],
                    index: CardIndex) -> list[ReadPrinting]:
    """What the answer says of the printings that are known in a photo, in its size and in those of HEIGHTS."""
    found = []
    for truth in truths:
        card = next((card for card in cards if card.state != UNKNOWN and card.by != TITLE_ALONE
                     and card.matches[0].name == truth["name"]), None)
        sizes = [truth["card_height"], *(height for height in HEIGHTS if height < truth["card_height"])]
        for height in sizes:
            choice = _choice(photo, card, height / truth["card_height"], index) if card else None
            printings = choice.printings if choice else []
            right = [_is_it(printing, truth) for printing in printings]
            found.append(ReadPrinting(truth["file"], truth["name"], truth["frame"], height, height != sizes[0],
                                      card is None or any(right), right[:1] == [True],
                                      bool(choice and card and card.accepted and choice.decided)))
    return found


def _choice(photo: NDArray[np.uint8], card: Card, scale: float, index: CardIndex) -> Choice:
    import cv2

    if scale < 1:
        photo = np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    row = card.matches[0].row
    printings = [*known_printings(index, row, {row: 0.0})[0], *_others(index, row)]
    different = list({printing.face_id: printing for printing in printings}.values())
    quad = corners_of(card) * np.float32(scale)
    return choose(scored(different[:max(CHOICES, card.printings_known)], quad, Pyramid(photo), open_reader()), False)


def _others(index: CardIndex, row: int) -> list[Printing]:
    """Printings of other cards, with the two modern lines. The same ones for a row each time."""
    rows = np.random.default_rng(row).permutation(len(index.metadata))[:20 * CHOICES].tolist()
    found = (printing for other in rows if other != row for printing in known_printings(index, other, {other: 0.0})[0])
    return [printing for printing in found if (printing.released_at or "") >= MODERN_SINCE][:CHOICES]


def _is_it(printing: Printing, truth: Mapping[str, Any]) -> bool:
    if truth.get("set"):
        return (printing.set, printing.collector_number) == (truth["set"], truth["collector_number"])
    number = truth.get("collector_number")
    return (printing.released_at or "")[:4] == truth["year"] and number in (None, printing.collector_number)


def printing_rates(counted: Sequence[ReadPrinting]) -> dict[str, Rate]:
    """For each frame and size: how often the true printing came first, was decided, and another one was decided. Cards
    whose true printing is not listed do not count."""
    groups: dict[str, list[ReadPrinting]] = {}
    for read in (read for read in counted if read.listed):
        size = f"shrunk to {read.height} px" if read.shrunk else \
            f"{SHARP_FROM} px and more" if read.height >= SHARP_FROM else f"below {SHARP_FROM} px"
        groups.setdefault(f"frame {read.frame}, {size}", []).append(read)
        if read.shrunk:
            groups.setdefault(f"frame {read.frame}, all shrunk", []).append(read)
    rows = {}
    for name, reads in sorted(groups.items()):
        rows[f"{name}: first"] = Rate(sum(read.first for read in reads), len(reads))
        rows[f"{name}: decided and right"] = Rate(sum(read.first and read.decided for read in reads), len(reads))
        rows[f"{name}: decided, but wrong"] = Rate(sum(read.decided and not read.first for read in reads), len(reads))
    return rows
