"""The MTG image database: a search index of Scryfall's card pictures, and the names of the cards in a photo.

    import mtg_image_db

    index = mtg_image_db.open_index("index_out")
    for card in index.name("photo.jpg"):
        print(card.state, card.matches[0].name)
"""
from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if sys.platform == "win32":  # before anything is imported that Windows does not have
    raise SystemExit("ERROR: Configuration Error: these scripts do not run on Windows\n"
                     "  Details: they need the file locks, signals and limits of Linux or macOS\n"
                     "  Suggestion: Run them in WSL: type wsl --install, then open Ubuntu.")

from mtg_image_db.console import SuiteError
from mtg_image_db.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from mtg_image_db.recognition.open_index import OpenIndex

# Before any dependency is imported. ONNX Runtime would write a device id into the home folder and queue an event for
# its maker. The model hub's client would report its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

__all__ = ["SuiteError", "__version__", "open_index"]


def open_index(index_dir: str | Path, *, pretrained: str | None = None, runtime: str = "auto",
               device: str = "auto", precision: str = "auto", read: str = "auto") -> OpenIndex:
    """Open the index that a build wrote to index_dir.

    pretrained is a tag or the path of the weights, if they have moved. runtime is auto, onnx or torch. device is auto,
    cpu, cuda or mps. precision is auto, fp32, bf16 or fp16. read is auto, to read printed text where it decides
    something, or off.

    Raises SuiteError if the index is missing or damaged.
    """
    from pathlib import Path

    from mtg_image_db.embedding.runtimes import RunOptions
    from mtg_image_db.index.reader import ModelOptions
    from mtg_image_db.recognition.open_index import OpenIndex

    return OpenIndex(Path(index_dir), ModelOptions(pretrained, RunOptions(runtime, device, precision)), read)
