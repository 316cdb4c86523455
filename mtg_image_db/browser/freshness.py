"""Whether the browser's files in a folder are an export of a build, and complete.

    if not is_current(Path("index_out"), load_manifest(Path("index_out"))): export(...)

Checksums decide, never times: a copy or an archive does not keep them.
Reads   meta.json and the files that it names
Writes  nothing
"""
from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import orjson

from mtg_image_db.artefacts import BROWSER_META, BROWSER_VECTORS, EMBEDDINGS, META, file_sha256
from mtg_image_db.recognition.card_reader import READING
from mtg_image_db.recognition.decision import DECISION

HEAD_BYTES = 1 << 16  # of meta.json: more than what comes before its cards


def build_id(manifest: dict[str, Any]) -> dict[str, str]:
    """What an export depends on: the SHA-256 of the build's vectors and metadata, by file name."""
    return {name: manifest["outputs"].get(name, {}).get("sha256", "") for name in (EMBEDDINGS, META)}


def is_current(folder: Path, manifest: dict[str, Any]) -> bool:
    """True if the export in the folder is of this build, has this version's decision, and its files are undamaged."""
    head = exported_head(folder)
    if head.get("build") != build_id(manifest):
        return False
    expected = {BROWSER_VECTORS: head["vectors_sha256"]}
    if "embedding" in head:
        recognition = head["recognition"]
        decision = orjson.loads(orjson.dumps({**DECISION, "reading": READING}))
        if any(recognition.get(name) != value for name, value in decision.items()):
            return False  # of another version of this program
        expected |= {file["file"]: file["sha256"] for file in [*head["embedding"]["models"], recognition["hashes"]]}
    if not _is_whole(folder / BROWSER_META):
        return False
    return all((folder / name).exists() and file_sha256(folder / name) == sha256 for name, sha256 in expected.items())


def _is_whole(meta: Path) -> bool:
    """True if meta.json ends as JSON does, and the packed copy beside it is as long."""
    packed = meta.with_name(f"{meta.name}.gz")
    try:
        with open(meta, "rb") as plain, open(packed, "rb") as copy:
            plain.seek(-1, os.SEEK_END)
            copy.seek(-4, os.SEEK_END)  # gzip ends with the length of what is packed
            return plain.read() == b"}" and int.from_bytes(copy.read(), "little") == meta.stat().st_size % (1 << 32)
    except OSError:
        return False


def exported_head(folder: Path) -> dict[str, Any]:
    """The part of meta.json before its cards, which may be 400 MB. Empty if there is no such file."""
    meta = folder / BROWSER_META
    if not meta.exists():
        return {}
    with open(meta, "rb") as file:
        before_cards = re.split(rb',"(?:records|columns)":', file.read(HEAD_BYTES))[0]
    try:
        return orjson.loads(before_cards + b"}")
    except orjson.JSONDecodeError:
        return {}
