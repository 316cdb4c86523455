"""Vectors -> the pairs of cards that look alike, and groups of them.

    pairs = find_pairs(vectors, LEAST[CARD])
    for group in group_pairs(pairs):
        print(group.first, group.others)

Every card is compared with every other one, block by block: exactly, and never in one matrix of N x N.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, CARD
from mtg_image_db.artefacts import release_pages
from mtg_image_db.console import Progress, SuiteError

# By what is compared. Of 150 second scans of cards in 1,537 real faces, 139 have at least this cosine to their own face
# by the complete card, and 146 by the art (efficientnet-lite0). Of the 1.18 million pairs of these faces, 2 and 4 have
# it: all are the same artwork.
LEAST = {CARD: 0.92, ART: 0.84}
BLOCK_ROWS = 2048  # rows that are compared with as many others at a time: 17 MB of cosines
MAX_PAIRS = 2_000_000  # 32 MB. More are no near-duplicates any more


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, each once: first < second (int64 [P]), and their cosine (float32 [P]). nearest is the cosine of
    every row to the row that is most like it (float32 [N])."""
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    nearest: NDArray[np.float32]

    def only(self, chosen: NDArray[np.bool_]) -> Pairs:
        """The chosen ones of the pairs (bool [P])."""
        return Pairs(self.first[chosen], self.second[chosen], self.cosine[chosen], self.nearest)


@dataclass(frozen=True)
class Group:
    """A row, and the rows that make a pair with it with their cosines, the most alike first."""
    first: int
    others: list[tuple[int, float]]


def find_pairs(vectors: NDArray[np.float32], least: float, artworks: Sequence[str | None] = ()) -> Pairs:
    """Every pair of rows whose cosine is at least `least`, and every pair that has the same artwork.

    vectors: float32 [N, D], every row of norm 1. artworks: the illustration_id of each row (None: unknown), or nothing.
    Raises SuiteError if there are more than MAX_PAIRS.
    """
    count = len(vectors)
    nearest = np.full(count, -1, np.float32)
    found = [_artwork_pairs(vectors, artworks)]
    total = 0  # of those by their cosine. Those of the same artwork have been counted
    progress = Progress("Comparing", count, "cards")
    for start in range(0, count, BLOCK_ROWS):
        rows = np.asarray(vectors[start:start + BLOCK_ROWS])
        for other in range(start, count, BLOCK_ROWS):
            cosines = rows @ np.asarray(vectors[other:other + BLOCK_ROWS]).T
            if other == start:
                np.fill_diagonal(cosines, -1)
            end = other + cosines.shape[1]
            nearest[start:start + len(rows)] = np.maximum(nearest[start:start + len(rows)], cosines.max(axis=1))
            nearest[other:end] = np.maximum(nearest[other:end], cosines.max(axis=0))
            first, second = np.nonzero(cosines >= least)
            once = first + start < second + other
            first, second = first[once], second[once]
            total += len(first)
            _refuse_many(total, least)
            found.append((first + start, second + other, cosines[first, second]))
        release_pages(vectors)
        progress.update(len(rows))
    progress.close()
    first, second, cosine = (np.concatenate(parts) for parts in zip(*found, strict=True))
    _, chosen = np.unique(first * count + second, return_index=True)  # those of an artwork may be there twice
    return Pairs(first[chosen], second[chosen], cosine[chosen], nearest)


def group_pairs(pairs: Pairs) -> list[Group]:
    """The pairs as groups. A group is a row and all rows that make a pair with it. Rows with the most pairs come first,
    and a row that is in a group starts none.

    So chains make no giant groups: every member is like the group's first row. A row between two groups is in both.
    """
    ends = np.concatenate([pairs.first, pairs.second])
    others, cosines = np.concatenate([pairs.second, pairs.first]), np.concatenate([pairs.cosine, pairs.cosine])
    order = np.lexsort((others, -cosines, ends))
    ends, others, cosines = ends[order], others[order], cosines[order]
    rows, starts, counts = np.unique(ends, return_index=True, return_counts=True)
    grouped: set[int] = set()
    groups = []
    for place in np.lexsort((rows, -counts)):
        row, span = int(rows[place]), slice(starts[place], starts[place] + counts[place])
        if row not in grouped:
            members = list(zip(others[span].tolist(), cosines[span].tolist(), strict=True))
            grouped.update(member for member, _ in members)
            groups.append(Group(row, members))
    return groups


def _artwork_pairs(vectors: NDArray[np.float32], artworks: Sequence[str | None]
                   ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    rows_of: dict[str, list[int]] = {}
    for row, artwork in enumerate(artworks):
        if artwork:
            rows_of.setdefault(artwork, []).append(row)
    several = [np.array(rows) for rows in rows_of.values() if len(rows) > 1]
    _refuse_many(sum(len(rows) * (len(rows) - 1) // 2 for rows in several), None)
    firsts, seconds, cosines = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for rows in several:
        first, second = np.triu_indices(len(rows), 1)
        near = np.asarray(vectors[rows])
        firsts.append(rows[first])
        seconds.append(rows[second])
        cosines.append((near @ near.T)[first, second])
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(cosines)


def _refuse_many(count: int, least: float | None) -> None:
    if count > MAX_PAIRS:
        cause = "of the same artwork" if least is None else f"--least {least}"
        raise SuiteError("Invalid Arguments", f"more than {MAX_PAIRS:,} pairs of cards are so much alike", cause,
                         "Give a number nearer to 1 with --least." if least is not None else
                         "Explore an index of --kind unique_artwork: it has each artwork once.")
