"""Words and pictures -> the cards that fit them best: "a dragon over a burning village", less "a text box".

    found = best_rows(vectors, [Part(dragon), Part(text_box, sign=-1)], k=10)

Each part is compared with every card. Cosines of words and of pictures have different scales, so a cosine alone says
little. What counts is how far a card stands out from the others: (cosine - median of all cards) / their spread, in
standard deviations. The parts' values are added, those of unwanted parts are subtracted, and the sum is divided by the
root of their number: so chance reaches the same values with one part as with many.
Reads   the text side of the index's model
Writes  nothing
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.artefacts import TEXT_MODEL, TOKENIZER, verify
from mtg_image_db.console import SuiteError, command
from mtg_image_db.embedding.models import OFFLINE_MODEL, recorded_spec
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL
from mtg_image_db.embedding.text_embedder import TextEmbedder
from mtg_image_db.index.reader import Face

BLOCK_ROWS = 65_536  # rows that are compared at a time: 130 MB of 512 numbers
# The median of |x - median| of a normal distribution is this share of its standard deviation. Unlike the standard
# deviation, it does not grow with the cards that fit.
MAD_SHARE = NormalDist().inv_cdf(0.75)


class WordModel(Protocol):
    """Makes unit vectors of texts: the text side of the index's model."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Part:
    """A part of a question: the unit vector of words or of a picture (float32 [D]). sign is 1 if cards shall fit it, -1
    if they shall not."""
    vector: NDArray[np.float32]
    sign: int = 1


@dataclass(frozen=True)
class Found(Face):
    """A face that was found by words. stands_out is in standard deviations. cosines has one number for each part of the
    question: texts, then pictures, then what cards shall not fit."""
    rank: int
    stands_out: float
    cosines: list[float]


@dataclass(frozen=True)
class Standing:
    """A row that was found. stands_out is in standard deviations. cosines has one number for each part."""
    row: int
    stands_out: float
    cosines: tuple[float, ...]


def chance(rows: int) -> float:
    """How far the best of so many cards stands out by chance, in standard deviations: one card of all is above it, if
    none fits. 3.2 for 1,500 cards, and 4.1 for 54,000."""
    return NormalDist().inv_cdf(1 - 1 / max(rows, 3))


def best_rows(vectors: NDArray[np.float32], parts: Sequence[Part], k: int,
              least: float | None = None) -> list[Standing]:
    """The rows that stand out most, at most k. vectors are the unit vectors of all rows, float32 [N, D]. Rows that
    stand out by less than `least` are left out: by default, by less than chance() gives."""
    least = chance(len(vectors)) if least is None else least
    asked = np.stack([part.vector for part in parts])
    cosines = np.concatenate([vectors[start:start + BLOCK_ROWS] @ asked.T
                              for start in range(0, len(vectors), BLOCK_ROWS)])
    signs = np.array([part.sign for part in parts], np.float32)
    standing = (_deviations(cosines) * signs).sum(axis=1) / math.sqrt(len(parts))
    best = np.argsort(-standing, kind="stable")[:k]
    return [Standing(int(row), float(standing[row]), tuple(cosines[row].tolist())) for row in best
            if standing[row] >= least]


def _deviations(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each cosine is from the median of its column, in standard deviations: float32 [N, parts]."""
    apart = cosines - np.median(cosines, axis=0)
    spread = np.median(np.abs(apart), axis=0) / np.float32(MAD_SHARE)
    return apart / np.maximum(spread, np.float32(1e-6))


def open_words(index_dir: Path, manifest: dict[str, Any]) -> WordModel:
    """The text side of the index's model. Raises SuiteError if the index has none, or if it is damaged."""
    if TEXT_MODEL not in manifest["outputs"]:
        model = recorded_spec(manifest).model
        why = f"no {TEXT_MODEL}"
        what = f"Run the build again as before: it keeps the vectors. {DEFAULT_MODEL} has words."
        if model == OFFLINE_MODEL:
            another = command("build_embeddings.py", "--model", DEFAULT_MODEL, "--out", "index_clip")
            why, what = f"{model} knows pictures only", f"Build an index of a CLIP model: {another}"
        raise SuiteError("Configuration Error", "this index finds no cards by words", f"{index_dir}: {why}", what)
    verify(index_dir, manifest, (TEXT_MODEL, TOKENIZER))
    return TextEmbedder(index_dir / TEXT_MODEL, index_dir / TOKENIZER)
