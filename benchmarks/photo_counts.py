"""Counts on photos whose cards are known: rates with their intervals, for each kind of photo.

    for name, answers in grouped(answered).items():
        print(name, rates(answers, {}))

Reads and writes  nothing
"""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mtg_image_db.recognition.cards import LIKELY, RECOGNISED, STATES, Card

ONE_CARD = ("single", "webcam_frame", "crop_of_photo")
SEVERAL = ("multi", "binder")
THRESHOLDS = tuple(percent / 100 for percent in range(16, 61, 2))  # of the confidence, in the curve
LOWEST = -1.0  # of all confidences
DRAWN = "drawn: "  # the kinds of drawn photos begin with it


@dataclass(frozen=True)
class Rate:
    """count of total, shown with the 95% interval of Wilson's score."""
    count: int
    total: int

    @property
    def interval(self) -> tuple[float, float]:
        z, share, total = 1.96, self.count / self.total, self.total
        middle = (share + z * z / (2 * total)) / (1 + z * z / total)
        half = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2) / (1 + z * z / total)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.count} of {self.total} = {self.count / self.total:.1%} ({100 * low:.0f}-{100 * high:.0f})"


@dataclass
class Seen:
    """The result for a known card of a photo. at_corners: the name it gets if the true corners are given. confidence is
    that of the first answer at its place. by_picture, accepted_by_picture: the same without reading. by_title: its
    title is among the lines that were read. These three are known only with the gains."""
    name: str
    found: bool
    first: bool
    among_3: bool
    accepted: bool
    at_corners: str
    confidence: float
    by_picture: bool = False
    accepted_by_picture: bool = False
    by_title: bool = False


@dataclass
class Answered:
    """A photo and its answer. present is the number of its cards, or None if the list is incomplete. By state, right
    counts cards at a known card's place with its name, and wrong counts cards whose name is not in the photo. unjudged
    counts other cards that are not unknown: a second copy of a card, or a photo whose list is incomplete. held_out
    counts the cards of each state if the photo's own are removed from the index. held_out_confidence is the highest one
    then."""
    kind: str
    file: str
    seconds: float
    model_seconds: float
    unknown: bool
    cards: list[Card]
    present: int | None = None
    seen: list[Seen] = field(default_factory=list)
    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    unjudged: int = 0
    with_gains: bool = False
    held_out: dict[str, int] | None = None
    held_out_confidence: float = LOWEST


def rates(answers: list[Answered], named_by_hash: dict[str, dict[str, list[str]]]) -> dict[str, Rate]:
    """The rates of some photos. named_by_hash holds, for each matcher and file, the names of the known cards."""
    seen = [card for result in answers for card in result.seen]
    unknown = [result for result in answers if result.unknown]
    held_out = [result.held_out for result in answers if result.held_out is not None]
    complete = [(len(result.cards), result.present) for result in answers if result.present is not None]
    rows = {"found, IoU >= 0.7": Rate(sum(card.found for card in seen), len(seen)),
            "named first": Rate(sum(card.first for card in seen), len(seen)),
            "named among 3": Rate(sum(card.among_3 for card in seen), len(seen)),
            "named first and recognised": Rate(sum(card.first and card.accepted for card in seen), len(seen)),
            "named, corners given": Rate(sum(card.at_corners == card.name for card in seen), len(seen)),
            "recognised cards that are right": _right(answers, RECOGNISED),
            "likely cards that are right": _right(answers, LIKELY),
            "cards listed, of those there": Rate(sum(min(pair) for pair in complete),
                                                 sum(there for _, there in complete)),
            "listed cards that are too many": Rate(sum(max(0, listed - there) for listed, there in complete),
                                                   sum(listed for listed, _ in complete)),
            "unknown, but recognised": Rate(sum(result.wrong[RECOGNISED] > 0 for result in unknown), len(unknown)),
            "removed, but recognised": Rate(sum(states[RECOGNISED] > 0 for states in held_out), len(held_out)),
            "removed, places called likely": Rate(sum(states[LIKELY] for states in held_out),
                                                  sum(sum(states.values()) for states in held_out))}
    gains = [card for result in answers if result.with_gains for card in result.seen]
    rows |= {"named by the picture alone": Rate(sum(card.by_picture for card in gains), len(gains)),
             "recognised by the picture alone": Rate(sum(card.accepted_by_picture for card in gains), len(gains)),
             "titles read": Rate(sum(card.by_title for card in gains), len(gains))}
    for matcher, names in named_by_hash.items():
        pairs = [(name, card.name) for result in answers
                 for name, card in zip(names.get(result.file, ()), result.seen, strict=True)]
        rows[matcher] = Rate(sum(mine == true for mine, true in pairs), len(pairs))
    return {name: rate for name, rate in rows.items() if rate.total}


def _right(answers: list[Answered], state: str) -> Rate:
    right = sum(result.right[state] for result in answers)
    return Rate(right, right + sum(result.wrong[state] for result in answers))


def states_of(cards: list[Card]) -> dict[str, int]:
    """How many cards have each of STATES."""
    return {state: sum(card.state == state for card in cards) for state in STATES}


def curve(answers: list[Answered]) -> dict[float, dict[str, Rate]]:
    """What the threshold of the confidence could be: for each value, how many known cards and how many photos of
    unknown or removed cards reach it. Cards that are seen in a mirror count only from the present threshold on."""
    known = [card.confidence for result in answers for card in result.seen if card.first]
    unknown = [highest_confidence(result.cards) for result in answers if result.unknown]
    held_out = [result.held_out_confidence for result in answers if result.held_out is not None]
    rows = {"named first": (known, sum(len(result.seen) for result in answers)),
            "unknown": (unknown, len(unknown)), "removed": (held_out, len(held_out))}
    return {threshold: {name: Rate(sum(confidence >= threshold for confidence in values), total)
                        for name, (values, total) in rows.items() if total} for threshold in THRESHOLDS}


def highest_confidence(cards: list[Card]) -> float:
    """LOWEST if there are no cards."""
    return max((card.confidence for card in cards), default=LOWEST)


def seconds_of(answers: list[Answered]) -> dict[str, float]:
    """The mean and the longest time of the photos, and the mean time outside the model."""
    seconds = [result.seconds for result in answers]
    return {"mean": float(np.mean(seconds)), "longest": max(seconds),
            "beyond_model": float(np.mean([result.seconds - result.model_seconds for result in answers]))}


def grouped(answers: list[Answered]) -> dict[str, list[Answered]]:
    """The answers by kind of photo, followed by groups of several kinds."""
    kinds = dict.fromkeys(result.kind for result in answers)
    groups = {kind: [result for result in answers if result.kind == kind] for kind in kinds}
    groups["one card (" + ", ".join(ONE_CARD) + ")"] = [result for result in answers if result.kind in ONE_CARD]
    groups["several cards (" + ", ".join(SEVERAL) + ")"] = [result for result in answers if result.kind in SEVERAL]
    groups["all"] = [result for result in answers if not result.kind.startswith(DRAWN)]
    return {name: answered for name, answered in groups.items() if answered}
