"""The interface for other programs: an open index with its model.

    index = mtg_image_db.open_index("index_out")
    for card in index.name("photo.jpg", k=3): ...

Reads   the index, and the model's weights when the first picture is named
Writes  nothing
"""
from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.artefacts import EMBEDDINGS, verify
from mtg_image_db.common import InvalidContent, open_photo
from mtg_image_db.console import SuiteError
from mtg_image_db.index.reader import Match, ModelOptions, open_model, read_index
from mtg_image_db.picture_formats import READABLE
from mtg_image_db.recognition.cards import Card
from mtg_image_db.recognition.namer import name_photo
from mtg_image_db.recognition.retrieval import PictureModel


class OpenIndex:
    """A finished index in index_out/. Opening raises SuiteError if the index is missing or damaged."""

    def __init__(self, index_dir: Path, model: ModelOptions) -> None:
        self._index_dir, self._model_options = index_dir, model
        self._index = read_index(index_dir)

    def __len__(self) -> int:
        """The number of indexed faces."""
        return len(self._index.metadata)

    def name(self, picture: str | Path | bytes | NDArray[np.uint8], k: int = 1) -> list[Card]:
        """Name the cards in a picture: a path, a file's bytes, or RGB pixels (uint8 [H, W, 3]).

        Each card has at most k matches. Recognised cards (accepted is True) come first. Raises SuiteError if
        the file cannot be read, or if the picture is too long for a card.
        """
        shown = "a picture" if isinstance(picture, (bytes, np.ndarray)) else str(picture)
        try:
            if isinstance(picture, np.ndarray):
                return name_photo(picture, self._index, self._model, k)
            photo, scale = open_photo(picture if isinstance(picture, bytes) else Path(picture))
            return name_photo(photo, self._index, self._model, k, scale=scale)
        except (InvalidContent, OSError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            raise SuiteError("Validation Error", "a picture could not be read", f"{shown}: {reason}",
                             f"Give a complete {READABLE}.") from error

    def similar(self, row: int, k: int = 10) -> list[Match]:
        """The k faces whose pictures are most similar to that of a row (its line in mtg_meta.jsonl, counted from 0)."""
        face_id, vector = self._index.face(row)["face_id"], self._vectors[row]
        cosines, rows = (found[0] for found in self._index.nearest(vector[None], k + 1))
        matches = self._index.matches(self._index.measured(row, rows[rows >= 0], cosines[rows >= 0]), k + 1)
        others = [match for match in matches if match.face_id != face_id][:k]
        return [replace(match, rank=rank) for rank, match in enumerate(others, 1)]

    @cached_property
    def _model(self) -> PictureModel:
        return open_model(self._index_dir, self._index.manifest, self._model_options)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        verify(self._index_dir, self._index.manifest, (EMBEDDINGS,))
        return np.load(self._index_dir / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
