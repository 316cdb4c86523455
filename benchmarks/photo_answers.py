"""Name a photo whose cards are known, and compare the answer with the list.

    result = answer(photo, entry, question, reader)

Reads and writes  nothing
"""
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.photo_counts import LOWEST, Answered, Seen, highest_confidence, states_of
from mtg_image_db.embedding.runtimes import AnyEmbedder
from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.card_reader import LINES_SIDE, CardReader
from mtg_image_db.recognition.cards import TITLE_ALONE, UNKNOWN, Card
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.decision import Question
from mtg_image_db.recognition.finder import Pyramid, Quad, intersection_over_union
from mtg_image_db.recognition.namer import name_cards, name_photo
from mtg_image_db.recognition.retrieval import Photo
from mtg_image_db.recognition.text_reader import open_reader
from mtg_image_db.recognition.titled_cards import corners_of
from mtg_image_db.recognition.titles import is_title_of

FOUND_IOU, SAME_PLACE_IOU = 0.7, 0.5  # lowest intersection over union with the true corners


class Without(CardIndex):
    """An index without some rows: hidden is int64 [n]."""
    hidden = np.zeros(0, np.int64)

    def nearest(self, vectors: np.ndarray, k: int, ef_search: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self._others(*super().nearest(vectors, k + len(self.hidden), ef_search), k)

    def nearest_by_art(self, hashes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._others(*super().nearest_by_art(hashes, k + len(self.hidden)), k)

    def _others(self, scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        hidden = np.isin(rows, self.hidden)
        order = np.argsort(hidden, axis=1, kind="stable")[:, :k]
        rows = np.where(hidden, -1, rows)
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


class TimedModel:
    """The index's model. It adds up the seconds it takes."""

    def __init__(self, model: AnyEmbedder) -> None:
        self.model, self.seconds = model, 0.0
        self.input_size, self.prepare, self.embed = model.input_size, model.prepare, model.embed

    def embed_photos(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        started = time.monotonic()
        try:
            return self.model.embed_photos(pictures)
        finally:
            self.seconds += time.monotonic() - started


def answer(photo: NDArray[np.uint8], entry: dict, question: Question, reader: CardReader | None,
           rows_of: dict[str, list[int]] | None = None) -> Answered:
    """Name the photo of a line of photos.jsonl or negatives.jsonl, and compare the result with the line. With rows_of,
    the index's rows by name, the photo is named again without the rows of its cards."""
    model: Any = question.model
    started, model.seconds = time.monotonic(), 0.0
    cards = name_photo(photo, replace(question, k=3), reader=reader)
    result = Answered(entry["kind"], entry["file"], time.monotonic() - started, model.seconds, entry["unknown"], cards,
                      len(entry["cards"]) if entry["cards"] and not entry["incomplete"] else None)
    seen = Photo.of(photo)
    for instance in entry["instances"]:
        corners = np.float32(instance["quad"])
        here = _at(cards, corners)
        names = [match.name for match in here[0].matches] if here else []
        at_corners = name_cards(seen, question, [Place(corners)])
        result.seen.append(Seen(instance["name"],
                                any(intersection_over_union(card.quad, corners) >= FOUND_IOU for card in cards),
                                names[:1] == [instance["name"]],
                                instance["name"] in names, bool(here) and here[0].accepted,
                                at_corners[0].matches[0].name if at_corners else "",
                                here[0].confidence if here else LOWEST))
    for card in (card for card in cards if card.state != UNKNOWN):
        name = card.matches[0].name
        if any(instance["name"] == name and nearness(card, np.float32(instance["quad"])) >= SAME_PLACE_IOU
               for instance in entry["instances"]):
            result.right[card.state] += 1
        elif {name, *name.split(" // ")} & set(entry["cards"]) or entry["incomplete"]:
            result.unjudged += 1
        else:
            result.wrong[card.state] += 1
    if rows_of is not None and result.seen:
        without = Without(**vars(question.index))
        without.hidden = np.concatenate([rows_of.get(name, []) for name in entry["cards"]]).astype(np.int64)
        others_reader = CardReader(without, reader.titles.without(entry["cards"])) if reader else None
        others = name_photo(photo, replace(question, index=without), reader=others_reader)
        result.held_out, result.held_out_confidence = states_of(others), highest_confidence(others)
    return result


def add_gains(photo: NDArray[np.uint8], entry: dict, result: Answered, question: Question, reader: CardReader) -> None:
    """Add to the result what the picture alone gives, and what the titles alone give."""
    cards = name_photo(photo, question)
    text = open_reader()
    read = {title.name for title in reader.titles.among(text.lines(Pyramid(photo), text.find(photo, LINES_SIDE)))}
    for seen, instance in zip(result.seen, entry["instances"], strict=True):
        here = _at(cards, np.array(instance["quad"], np.float32))
        seen.by_picture = bool(here) and here[0].matches[0].name == seen.name
        seen.accepted_by_picture = seen.by_picture and here[0].accepted
        seen.by_title = seen.name in read
    result.with_gains = True


def _at(cards: Sequence[Card], corners: Quad) -> list[Card]:
    """The cards of an answer at the place with these corners: known ones first, then the nearest."""
    return sorted((card for card in cards if nearness(card, corners) >= SAME_PLACE_IOU),
                  key=lambda card: (card.state == UNKNOWN, -nearness(card, corners)))


def nearness(card: Card, corners: Quad) -> float:
    """The intersection over union of a card of the answer and these corners. A card known by its title alone may have
    the corners of the text: 1 if these are where the title of a card with the given ones is."""
    if card.by == TITLE_ALONE and is_title_of(corners_of(card), corners):
        return 1.0
    return intersection_over_union(card.quad, corners)
