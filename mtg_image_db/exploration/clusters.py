"""Vectors -> clusters of cards, each with words that say what is special about it.

    clusters = find_clusters(cards.vectors, automatic(len(cards)))
    labels = label_clusters(clusters, [cards.card(row) for row in range(len(cards))], cards.region)

FAISS's k-means finds them: FAISS is there for the index.
Reads and writes  nothing
"""
from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART
from mtg_image_db.exploration.cards import Card

SEED = 1
ITERATIONS = 25
FEWEST, MOST = 2, 60
WORDS = 3  # of a label
# A word is in a label if at least this share of the cluster's cards has it, and this many times the share of all cards.
COMMON, SPECIAL = 0.15, 1.5


@dataclass(frozen=True)
class Clusters:
    """The cluster of each row (int32 [N]): 0 is the largest. central has the row that is nearest to each centre."""
    of_row: NDArray[np.int32]
    central: list[int]


def automatic(count: int) -> int:
    """How many clusters a person can tell apart: 10 of 1,537 cards, 58 of 54,000."""
    return min(MOST, max(FEWEST, round(math.sqrt(count) / 4)), max(1, count))


def find_clusters(vectors: NDArray[np.float32], number: int) -> Clusters:
    """Put unit vectors (float32 [N, D]) into clusters by their cosines. There may be fewer than number: none is
    empty."""
    import faiss

    rows = np.ascontiguousarray(vectors, np.float32)
    kmeans = faiss.Kmeans(rows.shape[1], min(number, len(rows)), niter=ITERATIONS, spherical=True, seed=SEED,
                          min_points_per_centroid=1)
    kmeans.train(rows)
    cosines, nearest = kmeans.index.search(rows, 1)
    cosines, nearest = cosines[:, 0], nearest[:, 0]
    found, counts = np.unique(nearest, return_counts=True)
    order = found[np.argsort(-counts, kind="stable")]
    new = np.zeros(int(found.max()) + 1, np.int32)
    new[order] = np.arange(len(order))
    central = [int(np.flatnonzero(nearest == old)[np.argmax(cosines[nearest == old])]) for old in order]
    return Clusters(new[nearest], central)


def label_clusters(clusters: Clusters, cards: Iterable[Card], region: str) -> list[str]:
    """A label for each cluster: its number from 1 on, and the words that are much more frequent in it than in all. If
    there are none, the name of its most central card. By their ART, cards are told apart by their types and colours."""
    of_all: Counter[str] = Counter()
    of_cluster = [Counter[str]() for _ in clusters.central]
    sizes = np.bincount(clusters.of_row, minlength=len(of_cluster))
    names = dict.fromkeys(clusters.central, "")
    for cluster, card in zip(clusters.of_row.tolist(), cards, strict=True):
        words = _words(card, region)
        of_all.update(words)
        of_cluster[cluster].update(words)
        if card.row in names:
            names[card.row] = card.name
    labels = []
    for number, (counted, size) in enumerate(zip(of_cluster, sizes.tolist(), strict=True)):
        scored = []
        for word, count in counted.items():
            share, usual = count / size, of_all[word] / len(clusters.of_row)
            if share >= COMMON and share >= SPECIAL * usual:
                scored.append((-share * math.log(share / usual), word))
        chosen = [word for _, word in sorted(scored)[:WORDS]]
        labels.append(f"{number + 1}: {', '.join(chosen) or 'like ' + names[clusters.central[number]]}")
    return labels


def _words(card: Card, region: str) -> set[str]:
    """What may be special about a card: its colour and the words of its type, and as a complete card also its frame,
    its layout and its set."""
    of_art = {card.colour, *re.findall(r"[\w'-]+", card.type_line)}
    if region == ART:
        return of_art
    layout = {card.layout.replace("_", " ")} - {"normal"}
    return {*of_art, f"frame of {card.frame}", *layout,
            card.set_name or card.set.upper()} - {"frame of "}
