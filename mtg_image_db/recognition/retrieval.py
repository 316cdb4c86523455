"""Places in a photo -> the rows of the index that each may show, by the embedding and by the hash of the art.

    views = ranked_views(Photo.of(pixels), quads, index, model)

A row is retrieved if its vector is among the nearest to the view's, or the hash of its art among the nearest to those
of the view. So a card is not lost in a large index because many pictures have nearer vectors. The similarity of the
complete card, the cosine and the similarity of the art together rank the rows.
Reads and writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.embedding import picture_hash
from mtg_image_db.index.reader import CardIndex
from mtg_image_db.recognition.finder import CARD_RATIO, Pyramid, rectangle, straighten
from mtg_image_db.recognition.fitting import SIZES, art_signs_of, grown, signs_of

# The numbers were chosen on the development photos with 1,537 to 54,000 faces: docs/naming.md.
RETRIEVED = 20  # at least this many rows nearest by cosine are ranked
RETRIEVED_BY_ART = 20  # rows nearest to each of the hashes of the view's art, one for each of SIZES
MIN_STRAIGHTENED = 244  # smallest width in pixels of a straightened card: a little more than the input of most models

Number = TypeVar("Number", float, NDArray[np.float32])


class PictureModel(Protocol):
    """Makes vectors of pictures. The Embedder of the index's model is one."""

    @property
    def input_size(self) -> int: ...
    def prepare(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
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
    """A candidate in one orientation and the rows retrieved for it, all [n]: the row numbers, their cosines, their
    similarity at the best of SIZES, the position of that size in SIZES, and what they are ranked by."""
    quad: NDArray[np.float32]
    rows: NDArray[np.int64]
    cosines: NDArray[np.float32]
    similarity: NDArray[np.float32]
    best_size: NDArray[np.int64]
    ranking: NDArray[np.float32]


def ranking(similarity: Number, cosine: Number, art: Number) -> Number:
    """What rows are ranked by. Three numbers, or three arrays of one shape."""
    return similarity + cosine + art


def ranked_views(photo: Photo, quads: Sequence[NDArray[np.float32]], index: CardIndex, model: PictureModel,
                 k: int = 1, ef_search: int | None = None) -> list[View]:
    """Straighten and embed the quads of a photo, and retrieve at least k rows for each. The best ranked comes
    first. Quads to which the model gives no finite vector are left out. The complete picture is not resampled: so a
    scan of an indexed picture has a cosine of 1."""
    if not len(quads):
        return []
    frame, width = rectangle(*photo.size), max(MIN_STRAIGHTENED, model.input_size)
    pictures = [photo.colour.near(1)[0] if np.array_equal(quad, frame)
                else straighten(photo.colour, quad, width, round(width / CARD_RATIO)) for quad in quads]
    vectors = model.embed_photos(pictures)
    finite = np.isfinite(vectors[:, 0])
    kept, vectors = [quad for quad, is_finite in zip(quads, finite, strict=True) if is_finite], vectors[finite]
    if not kept:
        return []
    sizes = [[grown(quad, size) for size in SIZES] for quad in kept]
    signs = np.stack([signs_of(at_sizes, photo.grey) for at_sizes in sizes])
    art = np.stack([art_signs_of(at_sizes, photo.colour) for at_sizes in sizes])
    _, by_cosine = index.nearest(vectors, max(k, RETRIEVED), ef_search)
    _, by_art = index.nearest_by_art(np.packbits(art.reshape(-1, art.shape[-1]) > 0, axis=1), RETRIEVED_BY_ART)
    retrieved = np.hstack([by_cosine, by_art.reshape(len(kept), -1)])
    views = [_view(*view, index) for view in zip(kept, vectors, signs, art, retrieved, strict=True)
             if (view[-1] >= 0).any()]
    return sorted(views, key=lambda view: -view.ranking.max())


def _view(quad: NDArray[np.float32], vector: NDArray[np.float32], signs: NDArray[np.float32], art: NDArray[np.float32],
          retrieved: NDArray[np.int64], index: CardIndex) -> View:
    rows = np.unique(retrieved[retrieved >= 0])
    similarity = picture_hash.similarity(signs, picture_hash.unpack(index.hashes[rows]))
    alike = picture_hash.art_similarity(art, picture_hash.unpack(index.art_hashes[rows])).max(axis=0)
    best, cosines = similarity.max(axis=0), index.cosines(vector, rows)
    return View(quad, rows, cosines, best, similarity.argmax(axis=0), ranking(best, cosines, alike))
