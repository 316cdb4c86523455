"""Whether the browser's files in a folder are an export of a build, and complete.

    if not is_current(Path("index_out"), load_manifest(Path("index_out"))): export(...)

Checksums decide, never times: a copy or an archive does not keep them.
Reads   meta.json and the files that it names
Writes  nothing
"""
from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import orjson

from mtg_image_db.artefacts import (
    ART_EMBEDDINGS,
    BROWSER_META,
    BROWSER_VECTORS,
    EMBEDDINGS,
    META,
    PRINTINGS,
    file_sha256,
)
from mtg_image_db.browser.network_files import FINDING, can_read, described, reading
from mtg_image_db.browser.text_files import recorded
from mtg_image_db.recognition.card_reader import READING
from mtg_image_db.recognition.decision import DECISION

HEAD_BYTES = 1 << 16  # of meta.json: more than what comes before its cards


def build_id(manifest: dict[str, Any]) -> dict[str, str]:
    """What an export depends on: the SHA-256 of the build's vectors, metadata and printings, by file name."""
    outputs = manifest["outputs"]
    names = EMBEDDINGS, META, PRINTINGS, *((ART_EMBEDDINGS,) if ART_EMBEDDINGS in outputs else ())
    return {name: outputs.get(name, {}).get("sha256", "") for name in names}


def is_current(folder: Path, manifest: dict[str, Any]) -> bool:
    """True if the export in the folder is of this build, has this version's decision, and its files are undamaged."""
    head = exported_head(folder)
    if head.get("build") != build_id(manifest):
        return False
    expected = {BROWSER_VECTORS: head["vectors_sha256"]}
    if "art" in head:
        expected[head["art"]["file"]] = head["art"]["sha256"]
    if "embedding" in head:
        recognition = head["recognition"]
        read = recognition.get("reading", {})
        reads = "networks" in read
        networks = {"networks": described(reading())} if reads and can_read() else {}
        if not (_has(recognition, {**DECISION, "networks": described(FINDING)}) and _has(read, READING | networks)):
            return False  # of another version of this program, or of what reads
        expected |= {file["file"]: file["sha256"] for file in [
            *head["embedding"]["models"], recognition["hashes"], *recognition["networks"].values(),
            *(read["networks"].values() if reads else ()),
            *([recognition["printings"]] if "printings" in recognition else ())]}
    if text := head.get("text"):
        if not _has(text, recorded(manifest, head["shape"][0])):
            return False
        expected |= {text[part]["file"]: text[part]["sha256"] for part in ("model", "tokenizer")}
    if not _is_whole(folder / BROWSER_META):
        return False
    return all((folder / name).exists() and file_sha256(folder / name) == sha256 for name, sha256 in expected.items())


def flags_of_export(head: dict[str, Any]) -> list[str]:
    """The flags that write an export with the same parts again."""
    has_reading = "networks" in head.get("recognition", {}).get("reading", {})
    parts = {"--with-model": "embedding" in head, "--with-reading": has_reading, "--with-art": "art" in head,
             "--with-text": bool(head.get("text"))}
    return [flag for flag, is_there in parts.items() if is_there]


def _has(said: dict[str, Any], constants: dict[str, Any]) -> bool:
    """True if all constants are said, as JSON has them."""
    return all(said.get(name) == value for name, value in orjson.loads(orjson.dumps(constants)).items())


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
        data = file.read(HEAD_BYTES)
    for key in re.finditer(rb',"(?:records|columns)":', data):
        with contextlib.suppress(orjson.JSONDecodeError):  # this one is within something else
            return orjson.loads(data[:key.start()] + b"}")
    return {}
