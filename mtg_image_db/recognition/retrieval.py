"""Places in a photo -> the rows of the index that each may show, by the embedding and by the hash of the art.

    views = ranked_views(Photo.of(pixels), guesses(pixels), index, model)

A row is retrieved if its vector is among the nearest to the view's, or the hash of its art among the nearest to those
of the view. So a card is not lost in a large index because many pictures have nearer vectors. The mean of
the cosine, the similarity of the complete card and that of the art ranks the rows.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import Window
from mtg_image_db.embedding import picture_hash
from mtg_image_db.index.reader import CardIndex, Measured
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.finder import CARD_RATIO, Pyramid, rectangle, straighten
from mtg_image_db.recognition.fitting import SIZES, art_signs_of, grown, signs_of

# The numbers were chosen on the development photos with 1,537 to 54,000 faces: docs/naming.md.
RETRIEVED = 20  # at least this many rows nearest by cosine are ranked
RETRIEVED_BY_ART = 20  # rows nearest to each of the hashes of the view's art, one for each of SIZES
MIN_STRAIGHTENED = 244  # smallest width in pixels of a straightened card: a little more than the input of most models


class PictureModel(Protocol):
    """Makes vectors of pictures. The Embedder of the index's model is one."""

    @property
    def input_size(self) -> int: ...
    def prepare(self, picture: NDArray[np.uint8], window: Window | None = None) -> NDArray[np.uint8]: ...
    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]: ...
    def embed_photos(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]: ...


class Photo(NamedTuple):
    """A photo in colour and in grey, each with its smaller sizes. size is (width, height) in pixels."""
    colour: Pyramid
    grey: Pyramid
    size: tuple[int, int]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Photo:
        """The photo of RGB pixels, uint8 [H, W, 3]."""
        import cv2

        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        return cls(Pyramid(pixels), Pyramid(grey), (pixels.shape[1], pixels.shape[0]))


class View(NamedTuple):
    """A place in one orientation and the rows retrieved for it, all [n]: the row numbers, how alike they are at the
    best of SIZES, and the position of that size in SIZES."""
    place: Place
    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]
    similarity: NDArray[np.float32]
    art_similarity: NDArray[np.float32]
    best_size: NDArray[np.int64]

    @property
    def quad(self) -> NDArray[np.float32]:
        return self.place.quad

    @property
    def scores(self) -> NDArray[np.float32]:
        """What the rows are ranked by, float32 [n]: Measured.score of each."""
        return (self.cosines + self.similarity + self.art_similarity) / np.float32(3)

    def measured(self) -> dict[int, Measured]:
        """How alike each row is."""
        numbers = zip(self.cosines.tolist(), self.similarity.tolist(), self.art_similarity.tolist(), strict=True)
        return {row: Measured(*three) for row, three in zip(self.rows.tolist(), numbers, strict=True)}


class Signs(NamedTuple):
    """The bits of the hashes of a place at each of SIZES: complete [len(SIZES), 256] and art [len(SIZES), 768],
    float32 of 1 and -1."""
    complete: NDArray[np.float32]
    art: NDArray[np.float32]


def ranked_views(photo: Photo, places: Sequence[Place], index: CardIndex, model: PictureModel,
                 k: int = 1, ef_search: int | None = None) -> list[View]:
    """Straighten and embed the places of a photo, and retrieve at least k rows for each. The best ranked comes
    first. Places to which the model gives no finite vector are left out. The complete picture is not resampled: so a
    scan of an indexed picture has a score of 1."""
    kept, vectors = embedded(photo, places, model)
    views = views_of(kept, vectors, [signs_at(place.quad, photo) for place in kept], index, k, ef_search)
    return sorted(views, key=lambda view: -view.scores.max())


def embedded(photo: Photo, places: Sequence[Place],
             model: PictureModel) -> tuple[list[Place], NDArray[np.float32]]:
    """Straighten and embed places. Returns those to which the model gives a finite vector, and these, [n, D]."""
    if not places:
        return [], np.zeros((0, 0), np.float32)
    width = max(MIN_STRAIGHTENED, model.input_size)
    vectors = model.embed_photos([
        photo.colour.near(1)[0] if is_frame(place.quad, photo.size)
        else straighten(photo.colour, place.quad, width, round(width / CARD_RATIO)) for place in places])
    finite = np.isfinite(vectors[:, 0])
    return [place for place, is_finite in zip(places, finite, strict=True) if is_finite], vectors[finite]


def view_of_rows(place: Place, vector: NDArray[np.float32], photo: Photo, rows: Sequence[int],
                 index: CardIndex) -> View:
    """The view of a place with these rows, which are nodes of the index. vector is that of the place, float32 [D]."""
    return _view(place, vector, signs_at(place.quad, photo), np.array(rows, np.int64), index)


def is_frame(quad: NDArray[np.float32], size: tuple[int, int]) -> bool:
    """True if the quad is the complete photo of this size, upright."""
    return np.array_equal(quad, rectangle(*size))


def signs_at(quad: NDArray[np.float32], photo: Photo) -> Signs:
    """The bits of the hashes of a place in a photo."""
    quads = [grown(quad, size) for size in SIZES]
    signs = Signs(signs_of(quads, photo.grey), art_signs_of(quads, photo.colour))
    if is_frame(quad, photo.size):  # as the index hashes its pictures, so that an indexed picture has the same bits
        at, picture = SIZES.index(0.0), photo.colour.near(1)[0]
        signs.complete[at] = picture_hash.unpack(picture_hash.picture_hash(picture))
        signs.art[at] = picture_hash.unpack(picture_hash.art_hash(picture))
    return signs


def views_of(places: Sequence[Place], vectors: NDArray[np.float32], signs: Sequence[Signs], index: CardIndex,
             k: int = 1, ef_search: int | None = None) -> list[View]:
    """Retrieve at least k rows for each place, of which the unit vectors [n, D] and the signs are given. Those of which
    the index has no row are left out."""
    if not places:
        return []
    _, by_cosine = index.nearest(vectors, max(k, RETRIEVED), ef_search)
    art = np.concatenate([of_place.art for of_place in signs])
    _, by_art = index.nearest_by_art(np.packbits(art > 0, axis=1), max(k, RETRIEVED_BY_ART))
    retrieved = np.hstack([by_cosine, by_art.reshape(len(places), -1)])
    return [_view(*view, index) for view in zip(places, vectors, signs, retrieved, strict=True)
            if (view[-1] >= 0).any()]


def _view(place: Place, vector: NDArray[np.float32], signs: Signs, retrieved: NDArray[np.int64],
          index: CardIndex) -> View:
    rows = np.unique(retrieved[retrieved >= 0])
    similarity = picture_hash.similarity(signs.complete, picture_hash.unpack(index.hashes[rows]))
    art = picture_hash.art_similarity(signs.art, picture_hash.unpack(index.art_hashes[rows])).max(axis=0)
    return View(place, rows, index.cosines(vector, rows), similarity.max(axis=0), art, similarity.argmax(axis=0))
