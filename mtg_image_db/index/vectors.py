"""The vectors of a finished index: of the complete cards, and of their art if the build made them.

    vectors = open_vectors(Path("index_out"), manifest, ART)
    vectors, lines = open_rows(Path("index_out"), manifest, CARD)

Reads   mtg_embeddings.npy or mtg_art_embeddings.npy, and mtg_meta.jsonl, in <index-dir>
Writes  nothing
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import ART, CARD
from mtg_image_db.artefacts import ART_EMBEDDINGS, EMBEDDINGS, META, verify
from mtg_image_db.console import SuiteError, command
from mtg_image_db.scryfall.faces import ART_KEYS


def region_of(manifest: dict[str, Any]) -> str:
    """What the vectors in mtg_embeddings.npy are of: CARD or ART."""
    return str(manifest["parameters"].get("region", CARD))


def has_art(manifest: dict[str, Any]) -> bool:
    """True if the index has vectors of the art."""
    return region_of(manifest) == ART or ART_EMBEDDINGS in manifest["outputs"]


def names_cards(manifest: dict[str, Any]) -> bool:
    """True if the index's pictures are of complete cards, so that cards in photos can be named."""
    return manifest["parameters"].get("image_size") not in ART_KEYS


def require_cards(index_dir: Path, manifest: dict[str, Any]) -> None:
    """Raise SuiteError if no cards can be named with the index."""
    if not names_cards(manifest):
        raise SuiteError("Configuration Error", "this index names no cards: its pictures show the art alone",
                         f"{index_dir}: --image-size {manifest['parameters']['image_size']}",
                         "Find similar art with --image FILE, or build an index of another --image-size.")


def open_rows(index_dir: Path, manifest: dict[str, Any], region: str) -> tuple[NDArray[np.float32], list[bytes]]:
    """The vectors as open_vectors gives them, and the line of mtg_meta.jsonl of each row. Raises SuiteError as
    open_vectors, and if the metadata are damaged or of another build."""
    verify(index_dir, manifest, (META,))
    vectors, lines = open_vectors(index_dir, manifest, region), (index_dir / META).read_bytes().splitlines()
    require_same_rows(len(vectors), len(lines))
    return vectors, lines


def require_same_rows(vectors: int, lines: int) -> None:
    """Raise SuiteError if there are not as many vectors as lines of metadata."""
    if vectors != lines:
        raise SuiteError("Validation Error", "vectors and metadata do not belong together",
                         f"{vectors} vectors, {lines} lines", "Run python build_embeddings.py again.")


def open_vectors(index_dir: Path, manifest: dict[str, Any], region: str) -> NDArray[np.float32]:
    """The unit vectors of all rows, float32 [N, D], mapped from the disk. region is CARD or ART. Raises SuiteError if
    the index has none of this region, or if the file is damaged."""
    file = EMBEDDINGS if region == region_of(manifest) else ART_EMBEDDINGS if region == ART else ""
    if file not in manifest["outputs"]:
        flags = ["--with-art"] if region == ART else ["--region", CARD]
        again = command("build_embeddings.py", *flags, "--out", index_dir)
        raise SuiteError("Configuration Error", f"this index has no vectors of the {region}", index_dir,
                         f"{again}, with the other flags as before.")
    verify(index_dir, manifest, (file,))
    vectors: NDArray[np.float32] = np.load(index_dir / file, mmap_mode="r", allow_pickle=False)
    return vectors
