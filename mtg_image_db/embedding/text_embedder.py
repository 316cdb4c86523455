"""Words -> unit vectors, with the text tower of the index's own model on ONNX Runtime.

    vectors = TextEmbedder(Path("index_out/text.onnx"), Path("index_out/text_tokenizer.json")).embed(["a dragon"])

Reads   the network: int32 [B, context] -> float32 [B, D]; and the tokenizer. text_tower.py writes both
Writes  nothing
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.console import SuiteError
from mtg_image_db.embedding.onnx_embedder import OUTPUT
from mtg_image_db.embedding.preparation import unit_vectors
from mtg_image_db.embedding.text_tower import TOKENS
from mtg_image_db.onnx_session import open_session


class TextEmbedder:
    """A text tower on the CPU, in float32."""

    def __init__(self, network: Path | bytes, tokenizer: Path) -> None:
        """Load the network (a file, or its bytes) and the tokenizer. Raises SuiteError if one is damaged."""
        from tokenizers import Tokenizer

        try:
            self._session = open_session(network)
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # ONNX Runtime and tokenizers raise many kinds of errors
            raise self._failure(error) from error

    def tokens(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The tokens of texts, [len(texts), context]. A longer text is cut."""
        return np.array([encoded.ids for encoded in self._tokenizer.encode_batch(list(texts))], np.int32)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts. Returns float32 [len(texts), D], each row of norm 1. Raises SuiteError if ONNX Runtime fails."""
        try:
            features, = self._session.run([OUTPUT], {TOKENS: self.tokens(texts)})
        except Exception as error:
            raise self._failure(error) from error
        return unit_vectors(np.asarray(features, np.float32))

    @staticmethod
    def _failure(error: Exception) -> SuiteError:
        return SuiteError("Build Error", "the text side of the model cannot be run",
                          next(iter(str(error).splitlines()), "")[:200], "Build the index again.")
