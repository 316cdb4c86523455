"""Code that soak.py and bench.py share: generated pictures, a mirror that serves them, measured commands.

Reads and writes  the folders it is given
"""
from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mtg_image_db.artefacts import cache_name
from mtg_image_db.console import Progress, SuiteError, say

SIZES = {"small": (146, 204), "normal": (488, 680)}
GRAIN = {"small": 0, "normal": 12}  # noise's standard deviation. It gives a `normal` picture 100 KB, as on Scryfall
LAST_LINES = 10  # of a failed command's log
BULK = "unique-artwork.jsonl.gz"


@dataclass(frozen=True)
class Run:
    """A finished command. megabytes is its peak resident memory, None without /proc."""
    seconds: float
    megabytes: float | None


def write_pictures(root: Path, count: int, key: str, cache: Path | None = None) -> None:
    """Write a mirror's folder: a bulk file of count cards, each with a generated picture of the size of key.

    With cache, the pictures are written there too, as a download would leave them.
    """
    rng, progress = np.random.default_rng(0), Progress("Generating", count)
    width, height = SIZES[key]
    grain = rng.normal(0, GRAIN[key], (height, width, 3)).astype(np.int16)
    root.mkdir(parents=True, exist_ok=True)
    with gzip.open(root / BULK, "wt", compresslevel=1) as bulk:
        for n in range(count):
            card_id = f"{rng.integers(1 << 32):08x}-0000-4000-8000-{n:012x}"
            name = f"{key}/front/{card_id[0]}/{card_id[1]}/{card_id}.jpg"
            url = f"https://cards.scryfall.io/{name}?1700000000"
            path = root / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_picture(rng.integers(0, 256, (7, 5, 3), np.uint8), grain))
            if cache:
                cache.mkdir(parents=True, exist_ok=True)
                os.link(path, cache / cache_name(url))
            bulk.write(json.dumps({"object": "card", "id": card_id, "name": f"Card {n}", "set": "soak",
                                   "collector_number": str(n), "lang": "en", "layout": "normal",
                                   "image_status": "highres_scan", "image_uris": {key: url}}) + "\n")
            progress.update()
    progress.close()


def _picture(fields: np.ndarray, grain: np.ndarray) -> bytes:
    height, width = grain.shape[:2]
    smooth = np.asarray(Image.fromarray(fields).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    data = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=85)
    return data.getvalue()


def start_mirror(root: Path, latency_ms: float, faults: list[dict] | None = None) -> tuple[subprocess.Popen, str]:
    """Start a mirror in a separate process. Returns the process and the mirror's address."""
    command = [sys.executable, str(ROOT / "mirror" / "scryfall_mirror.py"), "--root", str(root), "--port", "0",
               "--latency-ms", str(latency_ms)]
    if faults:
        (root / "faults.json").write_text(json.dumps(faults))
        command += ["--faults", str(root / "faults.json")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address = re.search(r" at (http://\S+)", process.stderr.readline())
    if address is None:
        raise SuiteError("Build Error", "the mirror did not start", root, "Run mirror/scryfall_mirror.py by itself.")
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, address[1]


def run(folder: Path, *command: object) -> Run:
    """Run a script of this suite in folder until it ends. Its progress goes to this stderr."""
    return run_command(folder, [sys.executable, ROOT / str(command[0]), *command[1:]])


def run_command(folder: Path, command: Sequence[object], log: Path | None = None) -> Run:
    """Run any command until it ends. With log, its output goes there. Raises SuiteError if the command fails."""
    words = [str(word) for word in command]
    say(f"\n$ {' '.join(words)}")
    output = open(log, "wb") if log else None  # noqa: SIM115 - closed below
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(words, cwd=folder, stdout=output or subprocess.DEVNULL, stderr=output)
    try:
        while process.poll() is None:
            peak = max(peak, _peak_kilobytes(process.pid))
            time.sleep(0.02)
        seconds = time.monotonic() - started
    finally:
        process.kill()  # does nothing if it has ended
        if output:
            output.close()
    if process.returncode:
        say("\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:]) if log else "")
        raise SuiteError("Build Error", f"{Path(words[1]).name} ended with {process.returncode}", " ".join(words),
                         "The end of its output is above.")
    return Run(seconds, peak / 1024 if peak else None)


def _peak_kilobytes(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:  # no /proc on this system, or the process has ended
        found = None
    return int(found[1]) if found else 0
