"""A title -> the card that has it, and what that says of the cards that are known already.

    cards = with_title(cards, title, titled_card(title, titles.rows(title.name), cards, photo, question))

Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtg_image_db.embedding import picture_hash
from mtg_image_db.recognition.cards import ART_AGREES, LIKELY, TITLE_ALONE, Card
from mtg_image_db.recognition.corner_refiner import Place, refine
from mtg_image_db.recognition.decision import Question, judged
from mtg_image_db.recognition.finder import Quad
from mtg_image_db.recognition.fitting import art_signs_of, best_art
from mtg_image_db.recognition.places import same_place
from mtg_image_db.recognition.retrieval import Photo, embedded, view_of_rows
from mtg_image_db.recognition.titles import Title, is_on, is_title_of

# The numbers were chosen on the development photos: docs/reading.md.
REFINED = 2  # times that the corners which a title gives are made better
MOST_ROWS = 20  # of one name, those with the most similar art: there are hundreds of Forests
# A card must be likely below a title that is known alone, by the refiner's confidence each time. In photos of fans, 217
# of 218 titles had 0.23 to 0.88. Six lines of rules text that were names had 0.09 at most, names on paper 0.2.
CARD_BELOW = 0.22
SURE = 0.5  # a card of this confidence stays recognised, whatever its title seems to be
DECISION = {"refined": REFINED, "most_rows": MOST_ROWS, "card_below": CARD_BELOW, "sure": SURE}


def titled_card(title: Title, rows: Sequence[int], cards: Sequence[Card], photo: Photo,
                question: Question) -> Card | None:
    """The card with this title. rows: the faces with this name. cards: those that are known so far, of which one may
    have the title. It is recognised if the art below the title agrees. Otherwise it is likely, if a card may be there:
    then its corners are those of the text. None if it is no title."""
    refined = [Place(title.card, 0.0)]
    for _ in range(REFINED):
        refined += refine(photo.colour, [refined[-1].quad])
    here = [Place(quad) for quad in map(corners_of, cards) if is_title_of(title.strip, quad)]
    places = [*refined, *here]
    hashes = question.index.art_hashes[list(rows)]
    similarity = picture_hash.art_similarity(art_signs_of([place.quad for place in places], photo.colour),
                                             picture_hash.unpack(hashes))
    most = np.argsort(-similarity.max(axis=0))[:MOST_ROWS]
    art = [best_art(place.quad, hashes[most[0]], photo.colour) for place in places]
    kept, vectors = embedded(photo, [places[int(np.argmax(art))]], question.model)
    if not kept:
        return None
    view = view_of_rows(kept[0], vectors[0], photo, [rows[at] for at in most], question.index)
    card = judged(view, photo, question, titled=True).card
    if card.by != TITLE_ALONE:
        return card
    below = min((place.confidence for place in refined[1:]), default=0.0)
    return replace(card, quad=np.round(title.strip, 1).tolist()) if below >= CARD_BELOW else None


def is_known(title: Title, cards: Sequence[Card]) -> bool:
    """True if a recognised card of this name lies where the title is."""
    return any(card.accepted and card.matches[0].name == title.name and is_on(title.strip, corners_of(card))
               for card in cards)


def with_title(cards: Sequence[Card], title: Title, titled: Card) -> list[Card]:
    """The cards of a photo, with what a title adds: another card, or a better answer for the card that has it. A card
    that is recognised by its art alone, but has the title of another one, is likely unless it is SURE."""
    at = next((at for at, card in enumerate(cards) if _has(card, title, titled)), None)
    if at is None:
        return [*cards, titled]
    holder = cards[at]
    if not holder.accepted or (titled.accepted and titled.confidence > holder.confidence):
        better = titled if titled.accepted else replace(titled, quad=holder.quad, rotation=holder.rotation)
    elif holder.confidence >= SURE or holder.by != ART_AGREES:
        return list(cards)
    else:
        better = replace(holder, state=LIKELY, accepted=False, printing_decided=False)
    return [*cards[:at], better, *cards[at + 1:]]


def corners_of(card: Card) -> Quad:
    """The corners of a card, float32 [4, 2]."""
    return np.array(card.quad, np.float32)


def _has(card: Card, title: Title, titled: Card) -> bool:
    """True if this is the card with the title. A recognised card has it only where its title is."""
    if card.by == TITLE_ALONE:
        return False
    return is_title_of(title.strip, corners_of(card)) or (
        titled.accepted and not card.accepted and same_place(card.quad, titled.quad))
