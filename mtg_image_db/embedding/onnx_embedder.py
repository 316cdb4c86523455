"""Pictures -> unit vectors on ONNX Runtime: no PyTorch, and a start of 0.1 s instead of 2.

    vectors = OnnxEmbedder(spec, Path("index_out/model.onnx")).embed_photos(photos)

It has the attributes and methods of embedder.Embedder that a query and a build use.
Reads   the network: float32 [B, 3, size, size], normalised -> float32 [B, D]. onnx_tower.py writes it
Writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import Window
from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.preparation import input_array, prepare, resize_with_pillow, unit_vectors
from mtg_image_db.onnx_session import open_session, session_threads

INPUT, OUTPUT = "pixels", "vectors"
BATCH = 8  # pictures in a pass. More are not faster on a CPU, and need more memory


class OnnxEmbedder:
    """A network on the CPU, in float32."""
    device, precision = "cpu", "fp32"
    runtime = "ONNX Runtime"

    def __init__(self, spec: ModelSpec, network: Path | bytes) -> None:
        """Load the network: a file, or its bytes. Raises SuiteError if ONNX Runtime cannot."""
        self.spec, self._threads = spec, session_threads()
        try:
            self._session = open_session(network)
        except Exception as error:  # ONNX Runtime raises a different exception for each error code
            raise self._failure(error) from error
        fixed = self._session.get_inputs()[0].shape[0]  # a number, if the network takes only this many pictures
        self._batch = fixed if isinstance(fixed, int) else BATCH

    @property
    def made_with(self) -> dict[str, str]:
        """What makes the vectors, for the manifest. NumPy knows the widest instructions of the CPU."""
        widest = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])[-1:]
        return {"runtime": self.runtime, "device": self.device, "precision": self.precision,
                "cpu_capability": "".join(widest) or "baseline"}

    @property
    def input_size(self) -> int:
        """Side of the model's input in pixels."""
        return self.spec.size

    def prepare(self, picture: NDArray[np.uint8], window: Window | None = None) -> NDArray[np.uint8]:
        """The function preparation.prepare, for this model."""
        return prepare(picture, self.spec, resize_with_pillow, window)

    def embed_photos(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepare and embed RGB pictures of any size (uint8 [H, W, 3]). Returns float32 [len(pictures), D], as embed.

        Raises InvalidContent if a picture is too long for a card.
        """
        with ThreadPoolExecutor(self._threads) as pool:  # Pillow lets other threads run
            return self.embed(np.stack(list(pool.map(self.prepare, pictures))))

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed pictures from prepare(), uint8 [B, size, size, 3]. Returns float32 [B, D], each row of norm 1. A row is
        NaN if the model gives a zero or non-finite vector. Raises SuiteError if ONNX Runtime fails."""
        passes = [pictures[start:start + self._batch] for start in range(0, len(pictures), self._batch)]
        return np.concatenate([unit_vectors(self._run(input_array(batch, self.spec))) for batch in passes])

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            features: Any = self._session.run([OUTPUT], {INPUT: pixels})[0]
        except Exception as error:
            raise self._failure(error) from error
        return np.asarray(features, np.float32)

    def _failure(self, error: Exception) -> SuiteError:
        return SuiteError("Build Error", "ONNX Runtime cannot run the model",
                          f"{self.spec.model}: {next(iter(str(error).splitlines()), '')[:200]}",
                          "Use --runtime torch, or build the index again.")
