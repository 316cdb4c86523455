"""A 256-bit perceptual hash of a picture: what verifies a card that the embedding proposed.

    similarity(unpack(picture_hash(photo)), unpack(picture_hash(card)))    # 1 equal, about 0 unrelated

The 16 x 16 lowest frequencies of the whole picture, each above their median or not (pHash at hash size 16). It
needs the card's exact corners, which card_namer.py finds with it; in return it knows one card from another by
the same measure with every embedding model.
Reads and writes  nothing
"""
from __future__ import annotations

from functools import lru_cache

import numpy as np

HASH_BYTES = 32
SIDE = 64  # pixels of the grey square that is transformed: four times the frequencies kept, as pHash has it
FREQUENCIES = 16


@lru_cache
def _cosines() -> np.ndarray:
    """float32 [FREQUENCIES, SIDE]: the lowest rows of the DCT-II matrix."""
    frequency, sample = np.arange(FREQUENCIES)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * frequency * (2 * sample + 1) / (2 * SIDE)).astype(np.float32)


def grey_square(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W] grey or [H, W, 3] RGB -> uint8 [SIDE, SIDE], its shape not kept."""
    import cv2

    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def signs(squares: np.ndarray) -> np.ndarray:
    """uint8 [n, SIDE, SIDE] -> float32 [n, 256] of 1 (a frequency above the median) and -1."""
    lowest = (_cosines() @ squares.astype(np.float32) @ _cosines().T).reshape(len(squares), -1)
    return np.where(lowest > np.median(lowest, axis=1, keepdims=True), np.float32(1), np.float32(-1))


def picture_hash(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3] (RGB) -> uint8 [HASH_BYTES]."""
    return np.packbits(signs(grey_square(picture)[None])[0] > 0)


def unpack(hashes: np.ndarray) -> np.ndarray:
    """uint8 [..., HASH_BYTES] -> float32 [..., 256] of 1 and -1, as signs() gives them."""
    return np.unpackbits(hashes, axis=-1).astype(np.float32) * 2 - 1


def similarity(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[n, 256] and [m, 256] of signs -> [n, m]: 1 - 2 x Hamming distance / 256; 1 equal, about 0 unrelated."""
    return some @ others.T / some.shape[-1]
