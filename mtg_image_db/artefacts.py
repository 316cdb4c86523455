"""The files of index_out/ as one unit: staged beside the old ones, put in place together, checked by every reader.

The manifest is written last and carries the size and sha256 of every other file, so a reader
never mixes two builds. Nothing here knows what is in the files.
"""
from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtg_image_db.common import (
    BUILD_MANIFEST,
    EMBEDDINGS,
    INDEX,
    KEPT,
    META,
    PICTURES,
    REJECTED,
    SuiteError,
    file_sha256,
    read_json,
    require_directory,
    write_json,
)

PARAMETERS = {"model", "pretrained", "fit", "target_size", "precision", "device"}  # what a query needs of them
OUTPUTS = (EMBEDDINGS, META, INDEX, KEPT, PICTURES, REJECTED)
STAGED_SUFFIX = ".next"


def staged(out: Path, name: str) -> Path:
    """Where a build writes an artefact before the whole set is put in place."""
    return out / (name + STAGED_SUFFIX)


def commit(out: Path, manifest: dict) -> None:
    """Put every staged artefact in place, the manifest (its `outputs` filled in here) last.

    Once the staged manifest is on disk the new set is the one that counts: a crash after that
    is mended by finish_commit, a crash before it leaves the old set untouched.
    """
    for name in OUTPUTS:
        _sync(staged(out, name))
    with ThreadPoolExecutor() as pool:
        manifest["outputs"] = dict(zip(OUTPUTS, pool.map(lambda name: _identity(staged(out, name)), OUTPUTS),
                                       strict=True))
    write_json(staged(out, BUILD_MANIFEST), manifest)
    finish_commit(out)


def finish_commit(out: Path) -> None:
    """Complete a commit that was cut off; does nothing where there is none."""
    if not staged(out, BUILD_MANIFEST).exists():
        return
    for names in (OUTPUTS, (BUILD_MANIFEST,)):
        for name in names:
            if staged(out, name).exists():
                os.replace(staged(out, name), out / name)
        _sync_directory(out)


def read_manifest(out: Path) -> dict | None:
    """The manifest in out, or None where there is none or it lacks what readers rely on."""
    manifest = read_json(out / BUILD_MANIFEST)
    if manifest is None or not isinstance(manifest.get("model_fingerprint"), str):
        return None
    outputs, parameters = manifest.get("outputs"), manifest.get("parameters")
    if not isinstance(outputs, dict) or not all(isinstance(value, dict) for value in outputs.values()):
        return None
    return manifest if isinstance(parameters, dict) and PARAMETERS <= parameters.keys() else None


def load_manifest(out: Path) -> dict:
    """The manifest of a finished build. Raises SuiteError where there is none."""
    require_directory(out, "index", "Run python build_embeddings.py first, or name the directory it wrote to.")
    manifest = read_manifest(out)
    if manifest is None:
        there = (out / BUILD_MANIFEST).exists()
        raise SuiteError("Configuration Error", "the build manifest is damaged" if there
                         else "the index directory holds no finished build", out / BUILD_MANIFEST,
                         f"Run the build {'again as before' if there else 'to its end'} (--out {out}).")
    return manifest


def verify(out: Path, manifest: dict, names: Iterable[str]) -> None:
    """Check the named artefacts against the manifest, byte for byte. Raises SuiteError on the first that differs."""
    def check(name: str) -> None:
        expected = manifest["outputs"].get(name, {})
        path = out / name
        found = _identity(path) if path.exists() and path.stat().st_size == expected.get("bytes") else None
        if found != expected:
            raise SuiteError("Validation Error", "an artefact does not match the build manifest",
                             f"{path}: {'missing' if not path.exists() else 'damaged or from another build'}",
                             f"Run the build again as before (--out {out} --model {manifest['parameters']['model']}): "
                             "it reuses what is whole.")

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, names))


def _identity(path: Path) -> dict:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _sync_directory(path: Path) -> None:
    """Make the renames in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
