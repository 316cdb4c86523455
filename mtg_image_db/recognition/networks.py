"""Run the small networks that lie beside the code. OpenCV runs them, which the finder needs anyway.

    answers = run(WEIGHTS, pictures)

Reads   an ONNX file, once
Writes  nothing
"""
from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_lock = threading.Lock()  # a cv2.dnn network answers one question at a time


def run(weights: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network answers for RGB pictures, uint8 [n, H, W, 3]: float32 [n, ...]."""
    with _lock:
        network = _network(weights)
        network.setInput(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32))
        return np.asarray(network.forward(), np.float32)


@lru_cache
def _network(weights: Path) -> Any:
    import cv2

    return cv2.dnn.readNetFromONNX(str(weights))
