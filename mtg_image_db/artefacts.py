"""The files of index_out/ and of the cache: their names, and how a build replaces its files as one unit.

    for name in OUTPUTS: write(staged(out, name))
    commit(out, manifest)

A build writes its files beside the old ones. Then it renames all of them, the manifest last. The manifest has the size
and the SHA-256 of every other file, so a reader never mixes two builds. This module does not know the files' contents.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import re
import shlex
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtg_image_db.common import atomic_file, sync
from mtg_image_db.console import SuiteError, require_directory

if TYPE_CHECKING:
    import numpy as np

# Files of a build
EMBEDDINGS, META, INDEX = "mtg_embeddings.npy", "mtg_meta.jsonl", "mtg_cards.faiss"
ART_EMBEDDINGS = "mtg_art_embeddings.npy"  # only of a build with --with-art
KEPT, PICTURES, REJECTED = "kept_indices.npy", "mtg_pictures.npy", "rejected.jsonl"
MODEL = "model.onnx"  # missing if the model cannot be written as ONNX
TEXT_MODEL, TOKENIZER = "text.onnx", "text_tokenizer.json"  # missing if the model has no words
PRINTINGS = "mtg_printings.jsonl"  # missing if there is no bulk file of printings
OUTPUTS = (EMBEDDINGS, META, INDEX, KEPT, PICTURES, REJECTED, ART_EMBEDDINGS, MODEL, TEXT_MODEL, TOKENIZER, PRINTINGS)
OPTIONAL = {ART_EMBEDDINGS, MODEL, TEXT_MODEL, TOKENIZER, PRINTINGS}
BUILD_MANIFEST, DOWNLOAD_MANIFEST = "build_manifest.json", "download_manifest.json"
CHECKPOINT, CHECKPOINT_META, CHECKPOINT_ROWS = "checkpoint.npz", "checkpoint_meta.json", "checkpoint_rows.bin"
# Files of a download
DOWNLOAD_CHECKPOINT, DOWNLOAD_FAILURES = "download_checkpoint.json", "download_failures.jsonl"
# Files of an export
BROWSER_VECTORS, BROWSER_META, BROWSER_HASHES = "embeddings.i8bin", "meta.json", "hashes.bin"
BROWSER_SMALL_MODEL = "model.int8.onnx"  # beside MODEL
BROWSER_TEXT_MODEL = "text.int8.onnx"  # instead of TEXT_MODEL
BROWSER_TEXT = BROWSER_TEXT_MODEL, TEXT_MODEL, TOKENIZER
BROWSER_NETWORKS = "card_corners.onnx", "corner_refiner.onnx", "text_lines.onnx", "text_letters.onnx", "text_turns.onnx"
BROWSER_PRINTINGS, BROWSER_ART = "printings.bin", "art.i8bin"

MANIFEST_VERSION = "1.1.0"  # of build_manifest.json and download_manifest.json
# The versions of the other files. The program's version is mtg_image_db.__version__.
FORMAT_VERSIONS = {"checkpoint": "1.2.0", "cache report": "1.1.0", "meta.json records": "1.0",
                   "meta.json columns": "2.0"}
ART_FORMAT_VERSIONS = {"1.0": "1.1", "2.0": "2.1"}  # of meta.json, if the vectors are of the art: a page must know that

STAGED_SUFFIX = ".next"
PARAMETERS = {"model", "pretrained", "fit", "target_size", "precision", "device"}  # those that a query needs
READ_BYTES = 1 << 22
_CACHE_NAME = re.compile(r"[0-9a-f]{40}\.(?:jpg|png|webp)")


def cache_name(image_url: str) -> str:
    """A picture's file name in the cache: the SHA-1 of its complete URL. The URL's query is the epoch of the scan."""
    path = image_url.partition("?")[0].lower()
    suffix = ".png" if path.endswith(".png") else ".webp" if path.endswith(".webp") else ".jpg"
    return hashlib.sha1(image_url.encode(), usedforsecurity=False).hexdigest() + suffix


def is_cache_name(name: str) -> bool:
    """True if cache_name can give this name. Any other file in the cache belongs to the user."""
    return _CACHE_NAME.fullmatch(name) is not None


def artwork_key(illustration_id: str | None, name: str) -> str:
    """An artwork's key in PRINTINGS. Scryfall gives no id to some artworks: then the face's name stands for it."""
    return illustration_id or f"name:{name}"


# A build's files as one unit

def staged(out: Path, name: str) -> Path:
    """The path at which a build writes a file before all its files are put in place."""
    return out / (name + STAGED_SUFFIX)


def commit(out: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Put every staged file in place, the manifest last. Returns the manifest with its `outputs`.

    Once the staged manifest is on disk, the new files are the valid ones, and finish_commit completes the commit after
    a crash. A crash before that leaves the old files unchanged.
    """
    names = [name for name in OUTPUTS if name not in OPTIONAL or staged(out, name).exists()]
    for name in names:
        _sync(staged(out, name))
    with ThreadPoolExecutor() as pool:
        identities = list(pool.map(lambda name: _identity(staged(out, name)), names))
    complete = manifest | {"outputs": dict(zip(names, identities, strict=True))}
    before = (read_manifest(out) or {"outputs": {}})["outputs"]
    write_json(staged(out, BUILD_MANIFEST), complete)
    for name, identity in zip(names, identities, strict=True):
        if identity == before.get(name) and _matches(out / name, identity):
            staged(out, name).unlink()  # nothing new: the file stays as it is
    finish_commit(out)
    for name in OPTIONAL.difference(names):
        (out / name).unlink(missing_ok=True)  # of an earlier build
    return complete


def finish_commit(out: Path) -> None:
    """Complete an interrupted commit. Does nothing if there is none."""
    if not staged(out, BUILD_MANIFEST).exists():
        return
    for names in (OUTPUTS, (BUILD_MANIFEST,)):
        for name in names:
            if staged(out, name).exists():
                staged(out, name).replace(out / name)
        _sync_directory(out)


def remove_staged(out: Path) -> None:
    """Remove what a build that was cut off has staged. The next one may stage fewer files, and would commit these too.
    A staged file may also be a second name of a file in place, which writing to it would change."""
    for name in OUTPUTS:
        staged(out, name).unlink(missing_ok=True)


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest in out. None if there is no manifest, or if it lacks a key that readers need."""
    manifest = read_json(out / BUILD_MANIFEST)
    if manifest is None or not isinstance(manifest.get("model_fingerprint"), str):
        return None
    outputs, parameters = manifest.get("outputs"), manifest.get("parameters")
    if not isinstance(outputs, dict) or not all(isinstance(value, dict) for value in outputs.values()):
        return None
    return manifest if isinstance(parameters, dict) and parameters.keys() >= PARAMETERS else None


def load_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a finished build. Raises SuiteError if there is none."""
    require_directory(out, "index", "Run python build_embeddings.py first, or name the directory it wrote to.")
    manifest = read_manifest(out)
    if manifest is None:
        again = "again as before" if (damaged := (out / BUILD_MANIFEST).exists()) else "to its end"
        raise SuiteError("Configuration Error", "the build manifest is damaged" if damaged
                         else "the index directory holds no finished build", out / BUILD_MANIFEST,
                         f"Run the build {again} (--out {shlex.quote(str(out))}).")
    return manifest


def verify(out: Path, manifest: dict[str, Any], names: Iterable[str]) -> None:
    """Check the named files against the manifest's sizes and hashes. Raises SuiteError for the first that differs."""
    def check(name: str) -> None:
        if not _matches(out / name, manifest["outputs"].get(name, {})):
            raise wrong_artefact(out, manifest, name)

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, names))


def wrong_artefact(out: Path, manifest: dict[str, Any], name: str) -> SuiteError:
    """The error for a file that is not the one of the manifest."""
    path = out / name
    return SuiteError("Validation Error", "an artefact does not match the build manifest",
                      f"{path}: {'missing' if not path.exists() else 'damaged or from another build'}",
                      "Run the build again as before "
                      f"({shlex.join(['--out', str(out), '--model', manifest['parameters']['model']])}): "
                      "it reuses what is undamaged.")


def matches_manifest(out: Path, manifest: dict[str, Any], name: str) -> bool:
    """True if the manifest names this file, and it is complete and unchanged."""
    return name in manifest["outputs"] and _matches(out / name, manifest["outputs"][name])


def write_json(path: Path, value: object) -> None:
    with atomic_file(path) as handle:
        # surrogateescape: a path that is not UTF-8 keeps its bytes
        handle.write(json.dumps(value, indent=2, ensure_ascii=False).encode(errors="surrogateescape") + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file. None if there is no such file or if it holds no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hex. Reads one block at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _identity(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _matches(path: Path, expected: dict[str, Any]) -> bool:
    """True if the file has this size and SHA-256. Reads it only if the size is right."""
    return path.exists() and path.stat().st_size == expected.get("bytes") and _identity(path) == expected


def _sync_directory(path: Path) -> None:
    """Sync a directory, so that its renames survive a power cut. Many network file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        sync(file)


def release_pages(array: np.ndarray) -> None:
    """Release the pages of a mapped array that were read so far. They count as memory of this process: 1 GB for 500,000
    vectors of 512 numbers."""
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)
