"""Perceptual hashes of a card's picture: of the complete picture in grey, and of the art window in colour.

    similarity(unpack(picture_hash(photo)), unpack(picture_hash(card)))    # 1 equal, about 0 unrelated

256 bits stand for the 16 x 16 lowest frequencies of a picture. A bit says if a frequency is above the median (pHash at
hash size 16). The hash of the art has 256 bits for its brightness and for each of two differences of colours. A hash
needs the card's exact corners: recognition/fitting.py finds them. The similarities do not depend on the embedding
model. The hash of the complete picture fits the corners. The hash of the art finds rows and decides. Both rank.
Reads and writes  nothing
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

HASH_BYTES, ART_HASH_BYTES = 32, 96
MIN_CONTRAST = 1.0  # standard deviation of a channel, of 255. With less it tells nothing: its bits are 0
BRIGHTNESS_ALONE = 1.5  # channels that the brightness counts for, where there is no colour. See art_similarity
# Shares of a card's width and height: left, top, right, bottom. Measured on frames of 2003 and 2015, which agree. Cards
# of other layouts are hashed at the same place.
ART = 0.076, 0.112, 0.922, 0.556
# The brightness (ITU-R BT.601), red minus green, and blue minus yellow, of (red, green, blue).
CHANNELS = np.array([[0.299, 0.587, 0.114], [1, -1, 0], [-0.5, -0.5, 1]], np.float32)
SIDE = 64  # pixels of the grey square that is transformed: 4 times FREQUENCIES, as in pHash
FREQUENCIES = 16


@lru_cache
def _cosines() -> NDArray[np.float32]:
    """float32 [FREQUENCIES, SIDE]: the lowest rows of the DCT-II matrix."""
    frequency, sample = np.arange(FREQUENCIES)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * frequency * (2 * sample + 1) / (2 * SIDE)).astype(np.float32)


def grey_square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a picture (uint8 [H, W] grey or [H, W, 3] RGB) to a grey square, uint8 [SIDE, SIDE]. Ignores its shape."""
    import cv2

    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def signs(squares: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers [n, SIDE, SIDE] -> float32 [n, 256]: 1 for a frequency above the median, otherwise -1."""
    lowest = (_cosines() @ squares.astype(np.float32) @ _cosines().T).reshape(len(squares), -1)
    return np.where(lowest > np.median(lowest, axis=1, keepdims=True), np.float32(1), np.float32(-1))


def picture_hash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The hash of a picture: uint8 [H, W] or [H, W, 3] (RGB) -> uint8 [HASH_BYTES]."""
    return np.packbits(signs(grey_square(picture)[None])[0] > 0)


def art_signs(art: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The bits of an art window's picture (uint8 [H, W, 3], RGB): float32 [768] of 1 and -1."""
    import cv2

    square = cv2.resize(art, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    channels = np.moveaxis(square @ CHANNELS.T, 2, 0)
    # The same as std() >= MIN_CONTRAST. std() takes half of the time of this function.
    apart = (channels - channels.mean(axis=(1, 2), keepdims=True)).reshape(len(channels), -1)
    tells = np.einsum("cp,cp->c", apart, apart) >= MIN_CONTRAST ** 2 * SIDE ** 2
    return np.where(tells[:, None], signs(channels), np.float32(-1)).ravel()


def art_hash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The hash of the art window of a card's picture: uint8 [H, W, 3] (RGB) -> uint8 [ART_HASH_BYTES]."""
    height, width = picture.shape[:2]
    left, top, right, bottom = (round(share * side) for share, side in zip(ART, (width, height) * 2, strict=True))
    return np.packbits(art_signs(picture[top:max(bottom, top + 1), left:max(right, left + 1)]) > 0)


def unpack(hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The bits of hashes: uint8 [..., bytes] -> float32 [..., 8 * bytes] of 1 and -1, like signs()."""
    return np.unpackbits(hashes, axis=-1).astype(np.float32) * 2 - 1


def similarity(first: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The similarity of signs [n, bits] and [m, bits]: float32 [n, m] of 1 - 2 x Hamming distance / bits.

    Equal pictures have 1. Unrelated pictures have about 0.
    """
    return first @ others.T / first.shape[-1]


def art_similarity(first: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """The similarity of art with these bits, float32 [n, 768] and [m, 768]: float32 [n, m], the mean of the channels
    that tell something in both pictures.

    Without colour, in a grey photo, the brightness alone is not enough: it is divided by BRIGHTNESS_ALONE. Unrelated
    art reached 0.33 in brightness, with 54,000 faces, and 0.22 after the division.
    """
    mine, theirs = (bits.reshape(len(bits), len(CHANNELS), -1).swapaxes(0, 1) for bits in (first, others))
    tells = (mine > 0).any(axis=2)[:, :, None] & (theirs > 0).any(axis=2)[:, None]
    alike = mine @ theirs.swapaxes(1, 2) / mine.shape[2]
    return np.asarray((alike * tells).sum(axis=0) / np.maximum(tells.sum(axis=0), BRIGHTNESS_ALONE), np.float32)
