"""How fast cards are named: the first answer of the script, and the answers of the service.

    for figure in answers(bench): ...

Reads   nothing: the cards are drawn
Writes  the folder of the bench
"""
from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

import mtg_image_db
from benchmarks.comparison import Bench, Figure
from benchmarks.workbench import ROOT, run, run_command
from mirror.drawn_cards import write_mirror
from mirror.drawn_scenes import TABLES, scene
from mirror.scryfall_mirror import Mirror
from mtg_image_db.embedding.models import OFFLINE_MODEL

CARDS, PHOTOS = 600, 8
CLIENTS, SECONDS = 20, 30
RUNS = 5


def answers(bench: Bench) -> Iterator[Figure]:
    folder = bench.fresh("answers")
    write_mirror(folder / "mirror", CARDS)
    with Mirror(folder / "mirror") as mirror:
        run(folder, "build_mtg_faiss.py", "--model", OFFLINE_MODEL, "--api-url", mirror.url)
    photos = _photos(folder)
    measured, imports = [], []
    for _ in range(RUNS):
        measured.append(run(folder, "query_index.py", photos[0]))
        imports.append(run_command(folder, [sys.executable, "-c", "import torch"]).seconds)
    cold, torch = statistics.median(query.seconds for query in measured), statistics.median(imports)
    yield Figure(f"one card named, cold, {CARDS} faces, {OFFLINE_MODEL}, against import torch", f"{cold:.2f} s",
                 f"{torch:.2f} s", cold / torch, "<= 0.6")
    if memory := measured[0].megabytes:
        yield Figure("  its peak memory", f"{memory:.0f} MB", "500 MB", memory / 500, "<= 1")
    yield from _service(folder, photos, SECONDS if bench.sizes.cached > 10_000 else SECONDS // 6)


def _photos(folder: Path) -> list[Path]:
    """Drawn photos of a card each."""
    pictures = sorted((folder / "image_cache").glob("*.jpg"))
    (folder / "photos").mkdir()
    paths = [folder / "photos" / f"{number}.jpg" for number in range(PHOTOS)]
    for number, path in enumerate(paths):
        scene([Image.open(pictures[number])], TABLES[number % len(TABLES)], seed=number)[0].save(path, quality=88)
    return paths


def _service(folder: Path, photos: list[Path], seconds: int) -> Iterator[Figure]:
    """The service with CLIENTS at a time, against two threads that call the index in this process."""
    data = [path.read_bytes() for path in photos]
    index = mtg_image_db.open_index(folder / "index_out")
    direct = _rate(lambda at: bool(index.name(data[at % len(data)])), 2, seconds)[0]
    server = subprocess.Popen([sys.executable, str(ROOT / "scripts" / "serve.py"), "--port", "0"], cwd=folder,
                              stderr=subprocess.PIPE, text=True, env={"BROWSER": "true", "PATH": ""})
    try:
        address = next(filter(None, (re.search(r"http://localhost:\d+", line) for line in server.stderr or ())))[0]

        def ask(at: int) -> bool:
            request = urllib.request.Request(f"{address}/api/name", data[at % len(data)])
            try:
                return bool(json.load(urllib.request.urlopen(request, timeout=60))["cards"])
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                time.sleep(float(error.headers["Retry-After"]))
                return False

        _rate(ask, 2, 2)
        before = _resident(server.pid)
        rate, refused = _rate(ask, CLIENTS, seconds)
        after = _resident(server.pid)
    finally:
        server.terminate()
        server.wait()
    yield Figure(f"service, {CLIENTS} clients for {seconds} s, against two threads that call the index",
                 f"{rate:.1f}/s", f"{direct:.1f}/s", rate / direct, ">= 0.8", f"{refused} told to wait (503)")
    if before:
        yield Figure("  its memory after, against before", f"{after:.0f} MB", f"{before:.0f} MB", after / before,
                     "<= 1.3")


def _rate(ask: Callable[[int], bool], clients: int, seconds: float) -> tuple[float, int]:
    """(answers a second, refusals) of clients that ask one after the other."""
    ends, answered, refused, lock = time.monotonic() + seconds, 0, 0, threading.Lock()

    def client(number: int) -> None:
        nonlocal answered, refused
        at = number
        while time.monotonic() < ends:
            good = ask(at)
            with lock:
                answered, refused = answered + good, refused + (not good)
            at += 1

    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return answered / (time.monotonic() - started), refused


def _resident(pid: int) -> float:
    """Megabytes of resident memory. 0 without /proc."""
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        found = None
    return int(found[1]) / 1024 if found else 0.0
