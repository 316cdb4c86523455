"""Comparisons of the network and the disk: downloads, bulk files, the cache.

Reads   pictures and bulk files of workbench.py
Writes  below the folder it is given
"""
from __future__ import annotations

import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import peers
from benchmarks.comparison import CORES, Bench, Figure, best, seconds
from benchmarks.workbench import BULK, Run, run, start_mirror
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import check_picture
from mtg_image_db.embedding.models import OFFLINE_MODEL
from mtg_image_db.scryfall.faces import IMAGE_KEYS, picture_urls

LATENCY = 0.05  # seconds before every reply
WORKERS = 16
RAW_BYTES = 5320  # of a card object in Scryfall's bulk files


def downloads(bench: Bench) -> Iterator[Figure]:
    root, sizes = bench.pictures(), bench.sizes
    mirror, address = start_mirror(root, 1000 * LATENCY)

    def fetch(workers: int, limit: int) -> Run:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            return run(Path(folder), "download_images.py", "--api-url", address, "--workers", workers, "--limit", limit,
                       "--printings", "none")

    def rate(workers: int, limit: int) -> float:
        """Pictures/s once the download runs: the time of limit pictures, less the time of a tenth of them."""
        few = limit // 10
        return (limit - few) / (best(3, lambda: fetch(workers, limit)) - best(3, lambda: fetch(workers, few)))

    try:
        urls = [url.replace("https://cards.scryfall.io", address) for url in picture_urls(root / BULK)]
        many, single, bare = rate(WORKERS, sizes.pictures), rate(1, sizes.one_worker), _bare_rate(urls)
        yield Figure(f"download, {WORKERS} workers, against 1", f"{many:.0f}/s", f"{single:.1f}/s", many / single,
                     ">= 12")
        bound = WORKERS / LATENCY
        yield Figure(f"download, {WORKERS} workers, against the bound of {1000 * LATENCY:.0f} ms a reply",
                     f"{many:.0f}/s", f"{bound:.0f}/s", many / bound, ">= 0.95",
                     f"urllib3 alone, the bytes thrown away: {bare:.0f}/s")
        for threads, target in ((16, "<= 0.6"), (64, "<= 0.75")):
            if bench.peers is None:
                break
            ours = min(fetch(threads, sizes.pictures).seconds for _ in range(2))
            theirs = min(peers.img2dataset(bench.peers, bench.fresh("img2dataset"), urls, threads).seconds
                         for _ in range(2))
            yield Figure(f"whole download of {len(urls):,}, {threads} at once, against img2dataset", f"{ours:.1f} s",
                         f"{theirs:.1f} s", ours / theirs, target)
    finally:
        mirror.kill()


def _bare_rate(urls: list[str]) -> float:
    """Replies/s to WORKERS threads that ignore the bodies."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=WORKERS)
    with ThreadPoolExecutor(WORKERS) as threads:
        started = time.monotonic()
        for _ in threads.map(lambda url: pool.request("GET", url).data, urls):
            pass
        return len(urls) / (time.monotonic() - started)


def overlap(bench: Bench) -> Iterator[Figure]:
    """Build during the download. The latency makes the download take as long as the build."""
    root, folder = bench.pictures(), bench.fresh("separate")
    flags = ("--model", OFFLINE_MODEL, "--bulk-file", root / BULK)
    built = run(folder, "build_embeddings.py", *flags, "--cache", root / "cache").seconds
    mirror, address = start_mirror(root, 1000 * WORKERS * built / bench.sizes.pictures)
    try:
        fetched = run(folder, "download_images.py", "--api-url", address).seconds
        both = run(bench.fresh("overlap"), "build_mtg_faiss.py", "--api-url", address, "--model", OFFLINE_MODEL).seconds
    finally:
        mirror.kill()
    yield Figure(f"build_mtg_faiss.py, {bench.sizes.pictures:,} pictures, against download and then build",
                 f"{both:.1f} s", f"{fetched:.1f} + {built:.1f} s", both / (fetched + built), "<= 0.8")


def planning(bench: Bench) -> Iterator[Figure]:
    root, folder, sizes = bench.fresh("bulk"), bench.fresh("plan"), bench.sizes
    for kind, count in (("unique-artwork", sizes.cached), ("default-cards", sizes.bulk)):
        _write_bulk(root / f"{kind}.jsonl.gz", count)
    mirror, address = start_mirror(root, 0)
    try:
        dry = ("--kind", "default_cards", "--dry-run")
        for what, flags, count, seconds in (
                ("no-op download over {:,} cached pictures", (), sizes.cached, 4),
                ("--dry-run of {:,} objects of default_cards", dry, sizes.bulk, 10)):
            command = ("download_images.py", "--api-url", address, "--printings", "none", *flags)
            run(folder, *command[:3], "--dry-run", *flags)  # fetches the snapshot
            if not flags:
                for url in picture_urls(root / "unique-artwork.jsonl.gz"):
                    if "/normal/" in url:
                        (folder / "image_cache" / cache_name(url)).touch()
            done = run(folder, *command)
            yield Figure(what.format(count), f"{done.seconds:.1f} s", f"{seconds} s", done.seconds / seconds, "<= 1")
            if done.megabytes:
                yield Figure("  its peak memory", f"{done.megabytes:.0f} MB", "200 MB", done.megabytes / 200, "<= 1")
    finally:
        mirror.kill()


def _write_bulk(path: Path, count: int) -> None:
    """Write card objects with the size and roughly the fields of Scryfall's."""
    filler = {"legalities": {f"format_{n}": "not_legal" for n in range(22)},
              "related_uris": {f"site_{n}": f"https://example.com/{n}?page=search&utm_source=api" for n in range(6)}}
    with gzip.open(path, "wt", compresslevel=1) as file:
        for n in range(count):
            card_id = f"{n % 16:x}{n // 16 % 16:x}00{n:04x}"[:8] + f"-0000-4000-8000-{n:012x}"
            card = {"object": "card", "id": card_id, "oracle_id": card_id, "name": f"Card {n}", "lang": "en",
                    "layout": "normal", "set": "xxx", "collector_number": str(n), "image_status": "highres_scan",
                    "illustration_id": card_id, "artist": "Nobody", "colors": ["U"], "frame": "2015",
                    "scryfall_uri": f"https://scryfall.com/card/xxx/{n}", "released_at": "2026-01-01",
                    "image_uris": {key: f"https://cards.scryfall.io/{key}/front/{card_id[0]}/{card_id[1]}/{card_id}.jpg"
                                        "?1700000000" for key in IMAGE_KEYS}, **filler}
            line = json.dumps(card)
            text = " ".join(f"word{(n * 31 + k) % 997}" for k in range((RAW_BYTES - len(line)) // 8))
            file.write(f'{line[:-1]}, "oracle_text": "{text}"}}\n')


def validation(bench: Bench) -> Iterator[Figure]:
    cache = bench.pictures() / "cache"
    paths = sorted(cache.glob("*.jpg"))
    few = bench.fresh("few")
    for path in paths[:len(paths) // 10]:
        os.link(path, few / path.name)

    def validate(folder: Path) -> float:
        return best(3, lambda: run(bench.folder, "scripts/validate_cache.py", "--cache", folder))

    rate = (len(paths) - len(paths) // 10) / (validate(cache) - validate(few))

    def decode_some() -> None:
        for path in paths[:200]:
            check_picture(path, verify=True)

    decode = min(seconds(decode_some) / 200 for _ in range(3))
    yield Figure(f"validate_cache.py, against {CORES} cores and one decode after another", f"{rate:.0f}/s",
                 f"{CORES / decode:.0f}/s", rate * decode / CORES, ">= 0.9")
