"""The interface for other programs: an open index with its model. Several threads may use it at a time.

    index = mtg_image_db.open_index("index_out")
    for card in index.name("photo.jpg", k=3): ...

Reads   the index, and its model when the first picture is named
Writes  nothing
"""
from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, CARD, COMPLETE, REGIONS
from mtg_image_db.artefacts import release_pages
from mtg_image_db.common import InvalidContent, open_photo
from mtg_image_db.console import SuiteError
from mtg_image_db.index.name_search import NameSearch
from mtg_image_db.index.reader import Face, Match, ModelOptions, open_model, read_index
from mtg_image_db.index.vectors import has_art, names_cards, open_vectors, region_of, require_cards
from mtg_image_db.index.word_search import Found, Part, WordModel, best_rows, open_words
from mtg_image_db.picture_formats import READABLE
from mtg_image_db.recognition.card_reader import AUTO, READ, CardReader
from mtg_image_db.recognition.cards import Card
from mtg_image_db.recognition.decision import Question
from mtg_image_db.recognition.namer import in_file_pixels, name_photo
from mtg_image_db.recognition.retrieval import PictureModel

Picture = str | Path | bytes | NDArray[np.uint8]  # a path, a file's bytes, or RGB pixels [H, W, 3]
Vector = NDArray[np.float32]
SEARCHES_KEPT = 64  # results of searches by name. Their pages are asked for one after the other


class OpenIndex:
    """A finished index in index_out/. Opening raises SuiteError if the index is missing or damaged, or if read is none
    of READ."""

    def __init__(self, index_dir: Path, model: ModelOptions, read: str = AUTO) -> None:
        if read not in READ:
            raise SuiteError("Invalid Arguments", "there is no such way to read", read, f"Use {' or '.join(READ)}.")
        self._index_dir, self._options, self._lock = index_dir, model, threading.Lock()
        self._index = read_index(index_dir)
        self._reader = CardReader(self._index) if read == AUTO else None
        self._loaded: PictureModel | None = None
        self._names: NameSearch | None = None
        self._words: WordModel | None = None
        self._stored: dict[str, NDArray[np.float32]] = {}
        self._found = lru_cache(SEARCHES_KEPT)(self._rows_of)

    def __len__(self) -> int:
        """The number of indexed faces."""
        return len(self._index.metadata)

    @property
    def region(self) -> str:
        """What the vectors of the index are of: "card" or "art"."""
        return region_of(self._index.manifest)

    @property
    def has_art(self) -> bool:
        """True if the index has vectors of the art."""
        return has_art(self._index.manifest)

    def name(self, picture: Picture, k: int = 1) -> list[Card]:
        """Name the cards in a picture: a path, a file's bytes, or RGB pixels (uint8 [H, W, 3]).

        The cards are in reading order. Each has at most k matches. Raises SuiteError if the file cannot be read, if the
        picture is too long for a card, or if the index's pictures show the art alone.
        """
        _require(k, "k", 1)
        require_cards(self._index_dir, self._index.manifest)
        with _readable(picture):
            photo, scale = _opened(picture)
            return in_file_pixels(self._named(photo, k), scale)

    def _named(self, photo: NDArray[np.uint8], k: int) -> list[Card]:
        return name_photo(photo, Question(self._index, self.load_model(), k), reader=self._reader)

    def search(self, text: str, limit: int = 24, offset: int = 0) -> list[Face]:
        """The faces whose name, set and number have every word of the text, the best first: at most limit of them,
        after offset. "bolt lea" finds Lightning Bolt of the set lea. count() gives their number."""
        _require(limit, "limit", 1)
        _require(offset, "offset", 0)
        return [Face(**self._index.described(row)) for row in self._found(text)[offset:offset + limit]]

    def count(self, text: str) -> int:
        """How many faces search() finds."""
        return len(self._found(text))

    def search_text(self, texts: Sequence[str], pictures: Sequence[Picture | Vector] = (),
                    exclude: Sequence[str] = (), k: int = 10, least: float | None = None,
                    region: str | None = None) -> list[Found]:
        """The k faces whose pictures fit all texts and pictures best, and the texts of exclude least:
        ["a dragon over a burning village"].

        A picture may also be a unit vector, as art_of gives it. Faces that stand out less than `least` standard
        deviations are left out. None: with texts, as far as one of all faces stands out by chance; pictures alone leave
        out none. region "art" compares the art of the faces, and that of a card in a picture. None: for pictures alone,
        the art if the index has vectors of it, and else what its vectors are of. Raises SuiteError if the model has no
        words, or if the index has no vectors of the art.
        """
        _require(k, "k", 1)
        region = self._region(region) or self.compared(bool(texts or exclude))
        vectors = self._vectors(region)
        if not any(text.strip() for text in texts) and not len(pictures):
            raise SuiteError("Invalid Arguments", "there is nothing to search for", f"{len(exclude)} texts to avoid",
                             "Give a text or a picture that cards shall fit.")
        words = list(self._word_model().embed([*texts, *exclude])) if texts or exclude else []
        wanted = words[:len(texts)] + [self._vector_of(picture, region) for picture in pictures]
        parts = [Part(vector) for vector in wanted] + [Part(vector, -1) for vector in words[len(texts):]]
        best = best_rows(vectors, parts, k, -math.inf if least is None and not words else least)
        return [Found(**self._index.described(standing.row), rank=rank, stands_out=round(standing.stands_out, 2),
                      cosines=[round(cosine, 4) for cosine in standing.cosines])
                for rank, standing in enumerate(best, 1)]

    def similar(self, row: int, k: int = 10, region: str | None = None) -> list[Match]:
        """The k faces most similar to that of a row: Face.row, which is its line in mtg_meta.jsonl, counted from 0.
        region "art" compares the art alone, and "card" the complete pictures (None: the art, if the index has vectors
        of it). For the art, each artwork is listed once, without the row's own, and the score is the cosine. Raises
        IndexError if there is no such row."""
        _require(k, "k", 1)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        if (self._region(region) or (ART if self.has_art else CARD)) == ART:
            return self._similar_art(row, k)
        face_id, vector = self._index.face(row)["face_id"], self._vectors(CARD)[row]
        cosines, rows = (found[0] for found in self._index.nearest(vector[None], k + 1))
        matches = self._index.matches(self._index.measured(row, rows[rows >= 0], cosines[rows >= 0]), k + 1)
        others = [match for match in matches if match.face_id != face_id][:k]
        return [replace(match, rank=rank) for rank, match in enumerate(others, 1)]

    def _similar_art(self, row: int, k: int) -> list[Match]:
        vectors = self._vectors(ART)
        cosines = vectors @ vectors[row]
        release_pages(vectors)
        seen, others = {row, *self._index.rows_of_artwork(row)}, list[int]()
        for other in np.argsort(-cosines, kind="stable").tolist():
            if len(others) == k:
                break
            if other not in seen:
                others.append(other)
                seen.update(self._index.rows_of_artwork(other))
        rows = np.array(others, np.int64)
        measured = self._index.measured(row, rows, cosines[rows])
        return [self._index.match(other, rank, alike, alike.cosine)
                for rank, (other, alike) in enumerate(measured.items(), 1)]

    def compared(self, has_words: bool) -> str:
        """The region that search_text compares if none is given."""
        return ART if self.has_art and not has_words else self.region

    def art_of(self, picture: Picture) -> tuple[Face | None, Vector]:
        """(the card in a picture, the unit vector of its art, float32 [D]). If no card is recognised, or several, or if
        the index names no cards, it is None, and the complete picture is taken for the art."""
        cards = self.name(picture) if names_cards(self._index.manifest) else []
        known = [card.matches[0].row for card in cards if card.accepted]
        if len(known) != 1:
            return None, self._embedded(picture)
        return Face(**self._index.described(known[0])), self._vectors(ART)[known[0]]

    def load_model(self) -> PictureModel:
        """The model. Loads it at the first call: then the first picture is named as fast as the next ones."""
        with self._lock:
            self._loaded = self._loaded or open_model(self._index_dir, self._index.manifest, self._options)
            return self._loaded

    def _embedded(self, picture: Picture) -> NDArray[np.float32]:
        """The unit vector of a complete picture, float32 [D]."""
        with _readable(picture):
            model = self.load_model()
            return model.embed(model.prepare(_opened(picture)[0], COMPLETE)[None])[0]

    def _vector_of(self, picture: Any, region: str) -> Vector:
        if isinstance(picture, np.ndarray) and picture.dtype == np.float32:
            return picture
        return self.art_of(picture)[1] if region == ART else self._embedded(picture)

    def _word_model(self) -> WordModel:
        with self._lock:
            self._words = self._words or open_words(self._index_dir, self._index.manifest)
            return self._words

    def _vectors(self, region: str) -> NDArray[np.float32]:
        with self._lock:
            if region not in self._stored:
                self._stored[region] = open_vectors(self._index_dir, self._index.manifest, region)
            return self._stored[region]

    @staticmethod
    def _region(region: str | None) -> str | None:
        if region not in (None, *REGIONS):
            raise SuiteError("Invalid Arguments", "there is no such region", f"region={region}",
                             f"Use {' or '.join(REGIONS)}.")
        return region

    def _rows_of(self, text: str) -> list[int]:
        with self._lock:
            self._names = self._names or NameSearch(self._index.metadata)
        return self._names.rows(text)


def _opened(picture: Picture) -> tuple[NDArray[np.uint8], float]:
    """(RGB pixels, the length of a side divided by its length in the file)."""
    if not isinstance(picture, np.ndarray):
        return open_photo(picture if isinstance(picture, bytes) else Path(picture))
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,):
        raise InvalidContent(f"{picture.dtype} {list(picture.shape)} is no RGB picture: uint8 [H, W, 3]")
    return picture, 1.0


@contextlib.contextmanager
def _readable(picture: Picture) -> Iterator[None]:
    """Turn what is wrong with a picture into a SuiteError."""
    shown = "a picture" if isinstance(picture, (bytes, np.ndarray)) else str(picture)
    try:
        yield
    except (InvalidContent, OSError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise SuiteError("Validation Error", "a picture could not be read", f"{shown}: {reason}",
                         f"Give a complete {READABLE}.") from error


def _require(value: int, name: str, least: int) -> None:
    if value < least:
        raise SuiteError("Invalid Arguments", "a number is not valid", f"{name}={value}", f"Use {least} or more.")
