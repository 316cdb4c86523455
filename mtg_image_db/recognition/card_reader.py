"""Reads what is printed on the cards of a photo, where it can decide something: titles and collector lines.

    reader = CardReader(index)
    cards = reader.with_titles(cards, photo, question, places)
    cards = reader.with_printings(cards, photo)

Reads   the networks of text_reader.py, at the first text
Writes  nothing
"""
from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.cards import STATES, TITLE_ALONE, UNKNOWN, Card
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.decision import ACCEPTED_TITLED, BESIDE, Question
from mtg_image_db.recognition.finder import Quad, overlap
from mtg_image_db.recognition.letters import ALPHABET
from mtg_image_db.recognition.printed_lines import DECISION as LINE_RULES
from mtg_image_db.recognition.printed_lines import scored
from mtg_image_db.recognition.printing_choice import DECISION as PRINTING_RULES
from mtg_image_db.recognition.printing_choice import choose
from mtg_image_db.recognition.retrieval import Photo
from mtg_image_db.recognition.text_reader import open_reader
from mtg_image_db.recognition.titled_cards import DECISION as TITLED_RULES
from mtg_image_db.recognition.titled_cards import corners_of, is_known, titled_card, with_title
from mtg_image_db.recognition.titles import DECISION as TITLE_RULES
from mtg_image_db.recognition.titles import Titles, is_on, is_small_on, is_title_of

# The numbers were chosen on the development photos: docs/reading.md.
# Lines are looked for in a photo with this longer side: with 384 to 1,024 pixels, as many titles are found. Small cards
# need more: so many that the largest card of the photo is CARD_HEIGHT high.
LINES_SIDE, MAX_LINES_SIDE, CARD_HEIGHT = 512, 1536, 240
READ = AUTO, OFF = "auto", "off"  # printed text: where it decides something, or never
UNCOVERED = 0.7  # similarity of a complete card. Cards of fans on which the title of another one lies have up to 0.64
MOST_LINES = 120  # the largest: three for each card of the photo of 40. A line takes 25 ms
# The constants of reading, for other programs: an export writes them into meta.json.
READING = {"accepted_titled": ACCEPTED_TITLED, "lines_side": LINES_SIDE, "card_height": CARD_HEIGHT,
           "max_lines_side": MAX_LINES_SIDE, "uncovered": UNCOVERED, "most_lines": MOST_LINES,
           "alphabet": "".join(ALPHABET), "titles": TITLE_RULES, "titled": TITLED_RULES, "lines": LINE_RULES,
           "printings": PRINTING_RULES}


class CardReader:
    """Reads the cards of an index. Several threads may use it. titles are those of the index, if they are known. Raises
    SuiteError if the networks are not installed."""

    def __init__(self, index: CardIndex, titles: Titles | None = None) -> None:
        self._index, self._titles, self._lock = index, titles, threading.Lock()
        self._text = open_reader()

    @property
    def titles(self) -> Titles:
        """The names of the index, made at the first call."""
        with self._lock:
            self._titles = self._titles or Titles(self._index)
            return self._titles

    def with_titles(self, cards: Sequence[Card], photo: Photo, question: Question,
                    places: Sequence[Place]) -> list[Card]:
        """The cards, and those that a title names. A title makes a doubtful card sure, or the other way round. Text is
        looked for only if a card is not recognised, or if another place may be a card."""
        known = [card for card in cards if card.accepted]
        beside = any(place.confidence > 0 and all(overlap(place.quad, card.quad) < BESIDE for card in known)
                     for place in places)
        if len(known) == len(cards) and not beside:
            return list(cards)
        lines = [line for line in self._text.find(photo.colour.near(1)[0], _side(cards, photo))
                 if not _is_of_another_kind(line, cards)]
        lines = sorted(lines, key=lambda line: -float(np.linalg.norm(line[3] - line[0])))[:MOST_LINES]
        found = list(cards)
        for title in self.titles.among(self._text.lines(photo.colour, lines)):
            if not is_known(title, found) and (
                    titled := titled_card(title, self.titles.rows(title.name), found, photo, question)):
                found = with_title(found, title, titled)
        return sorted(found, key=lambda card: (STATES.index(card.state), -card.score))

    def with_printings(self, cards: Sequence[Card], photo: Photo) -> list[Card]:
        """The cards with their printings in the order in which they fit what stands at the bottom of the card. It is
        read only if there is a choice."""
        return [self._with_printings(card, photo) if len(card.printings) > 1 and card.by != TITLE_ALONE else card
                for card in cards]

    def _with_printings(self, card: Card, photo: Photo) -> Card:
        choice = choose(scored(card.printings, corners_of(card), photo.colour, self._text), listed=False)
        return replace(card, printings=choice.printings, printing_decided=choice.decided and card.accepted)


def _is_of_another_kind(line: Quad, cards: Sequence[Card]) -> bool:
    """True if a line of text cannot be a title: it is too small on its card, or below the title of a card that nothing
    covers. The place of an unknown card counts only if it is the only one: others may be wrong."""
    for card in cards:
        corners = corners_of(card)
        if (card.state != UNKNOWN or len(cards) == 1) and is_small_on(line, corners):
            return True
        if card.accepted and card.similarity >= UNCOVERED and is_on(line, corners) and not is_title_of(line, corners):
            return True
    return False


def _side(cards: Sequence[Card], photo: Photo) -> int:
    """The longer side of the photo in which lines are looked for, in pixels."""
    heights = [float(np.linalg.norm(np.subtract(card.quad[3], card.quad[0]))) for card in cards]
    highest = max([1.0, *heights])  # smaller ones are often no cards
    return round(min(MAX_LINES_SIDE, max(LINES_SIDE, max(photo.size) * CARD_HEIGHT / highest)))
