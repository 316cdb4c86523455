"""A photo -> the cards in it, each with its state: recognised, likely or unknown.

    cards = name_photo(open_pixels(path), Question(index, model))

places.py proposes places, retrieval.py finds rows for each, and decision.py judges them. Where that leaves something
open, card_reader.py reads what is printed on the cards.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.recognition.card_reader import CardReader
from mtg_image_db.recognition.cards import STATES, UNKNOWN, Card, in_reading_order
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.decision import BESIDE, CARD_HERE, Found, Question, judged
from mtg_image_db.recognition.finder import overlap
from mtg_image_db.recognition.places import guesses, same_place
from mtg_image_db.recognition.retrieval import Photo, View, ranked_views

# The numbers were chosen on the development photos: docs/naming.md.
VIEWS_FITTED = 2  # at most this many views of one place: candidates overlap
MAX_PLACES_FITTED = 40
# Guesses that are tried in a mirror first: if none is recognised, the photo is none. Of 39 photos of a card, reversed,
# 37 are recognised with 8, and with all.
MIRROR_VIEWS = 12


def name_cards(photo: Photo, question: Question, places: Sequence[Place]) -> list[Card]:
    """Name the cards at these places of a photo. Recognised cards come first, then likely ones, each with the highest
    score first. Each has at most k matches. If no place looks like a card, the best guess is the only one. The list is
    empty only if the model gives no finite vector. Raises InvalidContent if the picture is too long for a card.
    """
    views = ranked_views(photo, places, question.index, question.model, question.k, question.ef_search)
    found: list[Found] = []
    for view in _by_place(views, VIEWS_FITTED)[:VIEWS_FITTED * MAX_PLACES_FITTED]:
        if not any(other.card.accepted and same_place(view.quad, other.quad) for other in found):
            found.append(judged(view, photo, question))
    found.sort(key=lambda item: (STATES.index(item.card.state), -item.card.score))
    return [item.card for item in _cards_of(found)]


def _cards_of(found: Sequence[Found]) -> list[Found]:
    """The best card of each place. An unknown card counts only where one surely lies, beside the others."""
    kept = _by_place((item for item in found if item.card.state != UNKNOWN), 1)
    unknown = [item for item in found if item.card.state == UNKNOWN and item.place >= CARD_HERE]
    for item in sorted(unknown, key=lambda item: -item.place):
        if all(overlap(item.quad, other.quad) < BESIDE for other in kept):
            kept.append(item)
    return kept or list(found[:1])


def name_photo(pixels: NDArray[np.uint8], question: Question, places: Sequence[Place] | None = None,
               reader: CardReader | None = None) -> list[Card]:
    """Find and name the cards in an upright RGB photo (uint8 [H, W, 3]), in reading order. places are what guesses()
    gives, if they are known. Printed text is read only with a reader.

    If no card is recognised, the photo is read as a mirror shows it: webcams mirror their picture.
    """
    places = guesses(pixels) if places is None else places
    photo = Photo.of(pixels)
    cards = name_cards(photo, question, places)
    if not any(card.accepted for card in cards):
        mirrored = _in_mirror(pixels, question, places, reader)
        if mirrored:
            return in_reading_order(mirrored)
    if reader:
        cards = reader.with_printings(reader.with_titles(cards, photo, question, places), photo)
    return in_reading_order(cards)


def _in_mirror(pixels: NDArray[np.uint8], question: Question, places: Sequence[Place],
               reader: CardReader | None) -> list[Card]:
    """The cards, if the photo shows some in a mirror."""
    width = pixels.shape[1]
    photo = Photo.of(np.ascontiguousarray(pixels[:, ::-1]))
    reversed_places = [place._replace(quad=_reversed(place.quad, width)) for place in places]
    cards = name_cards(photo, question, reversed_places[:MIRROR_VIEWS])
    if not any(card.accepted for card in cards):
        return []
    if len(places) > MIRROR_VIEWS:
        cards = name_cards(photo, question, reversed_places)
    if reader:
        cards = reader.with_printings(cards, photo)
    return [_as_seen(card, width) for card in cards]


def in_file_pixels(cards: Sequence[Card], scale: float) -> list[Card]:
    """The cards of a photo that was decoded at this scale, with their corners in pixels of the file."""
    return [replace(card, quad=[[round(x / scale, 1), round(y / scale, 1)] for x, y in card.quad]) for card in cards]


def _reversed(quad: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """A quad as it is in the reversed photo. In this order, its corners run clockwise there."""
    swapped = quad[[1, 0, 3, 2]]
    swapped[:, 0] = width - swapped[:, 0]
    return swapped


def _as_seen(card: Card, width: int) -> Card:
    """A card of the reversed photo, as it is in the photo of this width."""
    quad = [[round(width - x, 1), y] for x, y in card.quad]
    return replace(card, quad=quad, rotation=-card.rotation % 360, mirrored=True)


Placed = TypeVar("Placed", View, Found)


def _by_place(ranked: Iterable[Placed], each: int) -> list[Placed]:
    """Keep the first items of each place: at most `each`. See same_place()."""
    kept: list[Placed] = []
    for item in ranked:
        if sum(same_place(item.quad, other.quad) for other in kept) < each:
            kept.append(item)
    return kept
