"""The small networks that the page runs, as files of an export.

    files |= contents(FINDING)                       # file name -> bytes
    head["recognition"]["networks"] = described(FINDING)

Reads   the networks' ONNX files
Writes  nothing
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtg_image_db.console import SuiteError
from mtg_image_db.recognition import corner_net, corner_refiner, text_reader

# Name in meta.json -> (file of the export, where it is from). BROWSER_NETWORKS in artefacts.py lists all files.
Networks = Mapping[str, tuple[str, Path]]
FINDING: Networks = {name: (path.name, path) for name, path in
                     {"corners": corner_net.WEIGHTS, "refiner": corner_refiner.WEIGHTS}.items()}


def reading() -> Networks:
    """The networks that read text. Raises SuiteError if they are not installed."""
    folder = text_reader.networks()
    return {"find": ("text_lines.onnx", folder / text_reader.FINDS),
            "read": ("text_letters.onnx", folder / text_reader.READS),
            "turn": ("text_turns.onnx", folder / text_reader.TURNS)}


def can_read() -> bool:
    """True if the networks that read text are installed."""
    try:
        return bool(reading())
    except SuiteError:
        return False


def contents(networks: Networks) -> dict[str, bytes]:
    """The bytes of each file, by the file's name."""
    return {file: path.read_bytes() for file, path in networks.values()}


def described(networks: Networks) -> dict[str, dict[str, Any]]:
    """What meta.json says of each network, by the network's name."""
    return {name: identity(file, path.read_bytes()) for name, (file, path) in networks.items()}


@dataclass(frozen=True)
class ExportPart:
    """A part of an export: its files by name, and its entries in meta.json."""
    files: dict[str, bytes] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)


def identity(name: str, data: bytes) -> dict[str, Any]:
    """What meta.json says of a file: what a page needs to fetch it, and to check it."""
    return {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
