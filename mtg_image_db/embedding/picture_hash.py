"""A 256-bit perceptual hash of a picture: it verifies a card that the embedding proposed.

    similarity(unpack(picture_hash(photo)), unpack(picture_hash(card)))    # 1 equal, about 0 unrelated

A bit says whether one of the picture's 16 x 16 lowest frequencies is above their median (pHash at hash size 16). The
hash needs the card's exact corners; recognition/fitting.py finds them with it. In return it tells cards apart by the
same measure with every embedding model.
Reads and writes  nothing
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32
SIDE = 64  # pixels of the grey square that is transformed: four times the frequencies kept, as pHash has it
FREQUENCIES = 16


@lru_cache
def _cosines() -> NDArray[np.float32]:
    """float32 [FREQUENCIES, SIDE]: the lowest rows of the DCT-II matrix."""
    frequency, sample = np.arange(FREQUENCIES)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * frequency * (2 * sample + 1) / (2 * SIDE)).astype(np.float32)


def grey_square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W] grey or [H, W, 3] RGB -> uint8 [SIDE, SIDE], its shape not kept."""
    import cv2

    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def signs(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [n, SIDE, SIDE] -> float32 [n, 256] of 1 (a frequency above the median) and -1."""
    lowest = (_cosines() @ squares.astype(np.float32) @ _cosines().T).reshape(len(squares), -1)
    return np.where(lowest > np.median(lowest, axis=1, keepdims=True), np.float32(1), np.float32(-1))


def picture_hash(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W] or [H, W, 3] (RGB) -> uint8 [HASH_BYTES]."""
    return np.packbits(signs(grey_square(picture)[None])[0] > 0)


def unpack(hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [..., HASH_BYTES] -> float32 [..., 256] of 1 and -1, as signs() gives them."""
    return np.unpackbits(hashes, axis=-1).astype(np.float32) * 2 - 1


def similarity(first: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, 256] and [m, 256] of signs -> [n, m]: 1 - 2 x Hamming distance / 256; 1 equal, about 0 unrelated."""
    return first @ others.T / first.shape[-1]
