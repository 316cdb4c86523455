"""The parts of an exploration, one after the other, and what each says when it is done.

    for line in explore(read_cards(Path("index_out")), Path("explore_out")):
        print(line)

Reads   nothing
Writes  near_duplicates.csv, near_duplicates.html, points.csv and map.html in the folder
"""
from __future__ import annotations

from collections.abc import Collection, Iterator, Sized
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, CARD
from mtg_image_db.exploration import clusters, duplicates_report, map_page, near_duplicates, projection
from mtg_image_db.exploration.cards import Cards
from mtg_image_db.leftovers import remove_leftovers

DUPLICATES, CLUSTERS, MAP = PARTS = "near-duplicates", "clusters", "map"
DUPLICATES_CSV, DUPLICATES_PAGE = "near_duplicates.csv", "near_duplicates.html"
WHAT = {CARD: "complete pictures", ART: "art"}
POINTS_CSV, MAP_PAGE = "points.csv", "map.html"


def explore(cards: Cards, out: Path, parts: Collection[str] = PARTS, least: float | None = None,
            number: int | None = None) -> Iterator[str]:
    """Write the files of these PARTS. The map has the clusters too. Yields lines for the person at the terminal.

    least: from which cosine on two cards are near-duplicates (None: LEAST of the cards' region). number: of clusters
    (None: by the number of cards). Raises SuiteError if there are too many near-duplicates, or if UMAP cannot be used.
    """
    remove_leftovers(out)
    if MAP in parts or CLUSTERS in parts:
        yield from _clusters_and_map(cards, out, number, MAP in parts)
    if DUPLICATES in parts:  # last: there may be too many of them
        yield from _near_duplicates(cards, out, near_duplicates.LEAST[cards.region] if least is None else least)


def described(cards: Cards) -> str:
    """The cards and the model, for a page's second line."""
    return f"{len(cards):,} cards by their {WHAT[cards.region]}, {cards.manifest['parameters']['model']}"


def _counted(things: Sized, noun: str) -> str:
    return f"{len(things):,} {noun}{'s' * (len(things) != 1)}"


def _near_duplicates(cards: Cards, out: Path, least: float) -> Iterator[str]:
    pairs = near_duplicates.find_pairs(cards.vectors, least, cards.column("illustration_id"))
    groups = duplicates_report.groups_of(pairs, cards)
    duplicates_report.write_csv(out / DUPLICATES_CSV, groups, cards)
    subtitle = (f"{described(cards)}. Pairs with a cosine of {least:g} or more, and cards with the same artwork. "
                f"{_counted(pairs.first, 'pair')} in {_counted(groups, 'group')}.")
    duplicates_report.write_page(out / DUPLICATES_PAGE, groups, cards, subtitle)
    kinds = f": {duplicates_report.summary(groups)}" if groups else ""
    yield (f"{_counted(pairs.first, 'pair')} of near-duplicates (--least {least:g}) in {_counted(groups, 'group')}"
           f"{kinds}.")
    yield f"To the card that is most like it, a card has a median cosine of {np.median(pairs.nearest):.3f}."
    yield f"Listed in {out / DUPLICATES_CSV}, shown in {out / DUPLICATES_PAGE}."


def _clusters_and_map(cards: Cards, out: Path, number: int | None, with_map: bool) -> Iterator[str]:
    described_cards = [cards.card(row) for row in range(len(cards))]
    found = clusters.find_clusters(cards.vectors, number or clusters.automatic(len(cards)))
    labels = clusters.label_clusters(found, described_cards, cards.region)
    names = [labels[cluster] for cluster in found.of_row.tolist()]
    yield f"{len(labels)} clusters, the largest: {labels[0]} ({names.count(labels[0]):,} cards)."
    places: NDArray[np.float32] | None = None
    if with_map:
        yield f"UMAP lays out {len(cards):,} cards. With 54,000 cards, that takes a minute or two."
        places = projection.project(cards.vectors)
        map_page.write_map(out / MAP_PAGE, described_cards, places, names, described(cards))
    map_page.write_points(out / POINTS_CSV, described_cards, places, names)
    yield f"Listed in {out / POINTS_CSV}" + (f", shown in {out / MAP_PAGE}." if with_map else ".")
