"""The comparisons of bench.py: each runs both sides in one go and yields lines of the table.

Reads   pictures and bulk files of workbench.py
Writes  below the folder it is given
"""
from __future__ import annotations

import gzip
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peers
from workbench import BULK, Run, run, run_command, start_mirror, write_pictures

import search_index
from clip_models import DEFAULT_MODEL, import_open_clip
from common import cached_names, check_picture, open_picture, say
from embed_cache import EmbedOptions, embed_arrived
from embedder import Embedder, pick_precision, prepare
from models import ModelSpec, describe_model
from scryfall import IMAGE_KEYS, cache_name, picture_urls
from vector_store import VectorStore

LATENCY = 0.05  # seconds, of every reply
WORKERS = 16
OFFLINE = "efficientnet-lite0"
DIMENSION = 512  # of ViT-B/32
CENTRES, SPREAD, QUERIES = 200, 2.5, 1000
EFFORTS = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512]
EQUAL_RECALL = 0.99
RAW_BYTES = 5320  # of a card object in Scryfall's bulk files
BATCH = 64


@dataclass(frozen=True)
class Sizes:
    """How much each comparison does."""
    pictures: int  # fetched, validated
    one_worker: int  # of them, by one worker
    cached: int
    bulk: int  # objects in default_cards
    embedded: int
    rebuilt: int
    vectors: int


FULL = Sizes(1970, 200, 54_000, 116_568, 600, 20_000, 54_000)
QUICK = Sizes(480, 40, 5_400, 11_657, 64, 400, 6_000)


@dataclass(frozen=True)
class Figure:
    """A line of the table. target is what ratio is held against, as ">= 12"; empty where it means nothing here."""
    figure: str
    ours: str
    reference: str
    ratio: float
    target: str
    note: str = ""

    @property
    def met(self) -> bool | None:
        if not self.target:
            return None
        sign, value = self.target.split()[:2]
        return self.ratio >= float(value) if sign == ">=" else self.ratio <= float(value)


@dataclass
class Bench:
    """What the comparisons share. peers is the interpreter of the other tools' environment, None to leave them out."""
    folder: Path
    sizes: Sizes
    peers: Path | None

    def fresh(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def pictures(self) -> Path:
        """A mirror's folder with `normal` pictures; their cache is in cache/ below it."""
        root = self.folder / "pictures"
        if not root.exists():
            write_pictures(root, self.sizes.pictures, "normal", root / "cache")
        return root

    def weights(self) -> Path:
        """A weights file of the default model, with random numbers in it."""
        import torch

        path = self.folder / "random.pt"
        if not path.exists():
            torch.manual_seed(0)
            torch.save(import_open_clip().create_model(DEFAULT_MODEL, pretrained=None).state_dict(), path)
        return path


def comparisons() -> list[Callable[[Bench], Iterator[Figure]]]:
    return [downloads, overlap, planning, validation, model, clip_retrieval, queries, rebuilds, indexes]


def _best(times: int, once: Callable[[], Run]) -> float:
    return min(once().seconds for _ in range(times))


# Download

def downloads(bench: Bench) -> Iterator[Figure]:
    root, sizes = bench.pictures(), bench.sizes
    mirror, address = start_mirror(root, 1000 * LATENCY)

    def fetch(workers: int, limit: int) -> Run:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            return run(Path(folder), "download_images.py", "--api-url", address, "--workers", workers, "--limit", limit)

    def rate(workers: int, limit: int) -> float:
        """Pictures/s once it runs: the time of limit pictures less that of a tenth of them."""
        few = limit // 10
        return (limit - few) / (_best(3, lambda: fetch(workers, limit)) - _best(3, lambda: fetch(workers, few)))

    try:
        urls = [url.replace("https://cards.scryfall.io", address) for url in picture_urls(root / BULK)]
        many, one, bare = rate(WORKERS, sizes.pictures), rate(1, sizes.one_worker), _bare_rate(urls)
        yield Figure(f"download, {WORKERS} workers, against 1", f"{many:.0f}/s", f"{one:.1f}/s", many / one, ">= 12")
        bound = WORKERS / LATENCY
        yield Figure(f"download, {WORKERS} workers, against the bound of {1000 * LATENCY:.0f} ms a reply",
                     f"{many:.0f}/s", f"{bound:.0f}/s", many / bound, ">= 0.95",
                     f"urllib3 alone, the bytes thrown away: {bare:.0f}/s")
        for threads, target in ((16, "<= 0.6"), (64, "<= 0.75")) if bench.peers else ():
            ours = _best(2, lambda threads=threads: fetch(threads, sizes.pictures))
            theirs = _best(2, lambda threads=threads: peers.img2dataset(
                bench.peers, bench.fresh("img2dataset"), urls, threads))
            yield Figure(f"whole download of {len(urls):,}, {threads} at once, against img2dataset", f"{ours:.1f} s",
                         f"{theirs:.1f} s", ours / theirs, target)
    finally:
        mirror.kill()


def _bare_rate(urls: list[str]) -> float:
    """Replies/s to WORKERS threads that do nothing with them."""
    import urllib3

    pool = urllib3.PoolManager(maxsize=WORKERS)
    with ThreadPoolExecutor(WORKERS) as threads:
        started = time.monotonic()
        for _ in threads.map(lambda url: pool.request("GET", url).data, urls):
            pass
        return len(urls) / (time.monotonic() - started)


def overlap(bench: Bench) -> Iterator[Figure]:
    """At a latency that makes the download take as long as the build."""
    root, folder = bench.pictures(), bench.fresh("separate")
    flags = ("--model", OFFLINE, "--bulk-file", root / BULK)
    built = run(folder, "build_embeddings.py", *flags, "--cache", root / "cache").seconds
    mirror, address = start_mirror(root, 1000 * WORKERS * built / bench.sizes.pictures)
    try:
        fetched = run(folder, "download_images.py", "--api-url", address).seconds
        both = run(bench.fresh("overlap"), "build_mtg_faiss.py", "--api-url", address, "--model", OFFLINE).seconds
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
            command = ("download_images.py", "--api-url", address, *flags)
            run(folder, *command[:3], "--dry-run", *flags)  # fetches the snapshot
            if not flags:
                for url in picture_urls(root / "unique-artwork.jsonl.gz"):
                    if "/normal/" in url:
                        (folder / "image_cache" / cache_name(url)).touch()
            done = run(folder, *command)
            yield Figure(what.format(count), f"{done.seconds:.1f} s", f"{seconds} s", done.seconds / seconds, "<= 1")
            yield Figure("  its peak memory", f"{done.megabytes:.0f} MB", "200 MB", done.megabytes / 200, "<= 1")
    finally:
        mirror.kill()


def _write_bulk(path: Path, count: int) -> None:
    """Card objects of the size and about the shape of Scryfall's."""
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
        return _best(3, lambda: run(bench.folder, "scripts/validate_cache.py", "--cache", folder))

    rate = (len(paths) - len(paths) // 10) / (validate(cache) - validate(few))
    decode = min(_seconds(lambda: [check_picture(path, verify=True) for path in paths[:200]]) / 200 for _ in range(3))
    cores = os.cpu_count()
    yield Figure(f"validate_cache.py, against {cores} cores and one decode after another", f"{rate:.0f}/s",
                 f"{cores / decode:.0f}/s", rate * decode / cores, ">= 0.9")


def _seconds(what: Callable[[], object]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started


# Build

def model(bench: Bench) -> Iterator[Figure]:
    cache = bench.pictures() / "cache"
    names = sorted(cached_names(cache))[:bench.sizes.embedded]
    for name, pretrained in ((DEFAULT_MODEL, str(bench.weights())), (OFFLINE, None)):
        spec = describe_model(name, pretrained)
        pixels = np.stack([prepare(open_picture(cache / name), spec) for name in names])
        decode = min(_seconds(lambda spec=spec: [prepare(open_picture(cache / name, verify=True), spec)
                                                 for name in names[:BATCH]]) / BATCH for _ in range(3))
        lower = Embedder(spec, "cpu", "auto")
        alone, whole = [], []
        lower.embed(pixels[:BATCH])
        for _ in range(3):
            alone.append(len(pixels) / _seconds(lambda lower=lower, pixels=pixels: [
                lower.embed(pixels[start:start + BATCH]) for start in range(0, len(pixels), BATCH)]))
            whole.append(len(names) / _seconds(lambda spec=spec, lower=lower: _embed(bench, cache, names, spec, lower)))
        ratio = statistics.median(w / a for w, a in zip(whole, alone, strict=True))
        yield Figure(f"pictures from disk to vectors, {name} {lower.precision}, against the model alone",
                     f"{max(whole):.1f}/s", f"{max(alone):.1f}/s", ratio, ">= 0.85" if pretrained else "",
                     f"at most {1 / (1 + decode * max(alone) / os.cpu_count()):.2f}: decoding and resizing takes "
                     f"{1000 * decode:.1f} ms of a core, the model {1000 * os.cpu_count() / max(alone):.1f} ms")
        if lower.precision == "fp32" or pretrained is None:
            continue
        exact = Embedder(spec, "cpu", "fp32")
        sample = pixels[:BATCH]
        slow = len(sample) / min(_seconds(lambda exact=exact, sample=sample: exact.embed(sample)) for _ in range(3))
        cosine = float((exact.embed(sample) * lower.embed(sample)).sum(axis=1).min())
        units = _bf16_matrix_units()
        yield Figure(f"{name} at {lower.precision}, against fp32 (cosine to it {cosine:.4f})", f"{max(alone):.1f}/s",
                     f"{slow:.1f}/s", max(alone) / slow, ">= 4" if units else "",
                     "" if units else "this CPU has bf16 instructions but no bf16 matrix units")


def _embed(bench: Bench, cache: Path, names: list[str], spec: ModelSpec, embedder: Embedder) -> None:
    store = VectorStore(bench.fresh("vectors"), spec.fingerprint)
    embed_arrived(cache, names, store, spec, EmbedOptions(BATCH, "cpu", "auto", True, 500), embedder,
                  threading.Event(), lambda: None)
    store.discard_checkpoint()


def _bf16_matrix_units() -> bool:
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def clip_retrieval(bench: Bench) -> Iterator[Figure]:
    if not bench.peers:
        return
    root, folder = bench.pictures(), bench.fresh("clip")
    (folder / "pictures").mkdir()
    for name in sorted(cached_names(root / "cache"))[:bench.sizes.embedded]:
        os.link(root / "cache" / name, folder / "pictures" / name)
    ours = _best(2, lambda: run(folder, "build_embeddings.py", "--cache", folder / "pictures", "--bulk-file",
                                root / BULK, "--pretrained", bench.weights(), "--rebuild", "--no-resume"))
    theirs = _best(2, lambda: peers.clip_retrieval(bench.peers, folder, folder / "pictures", DEFAULT_MODEL,
                                                   bench.weights()))
    yield Figure(f"whole build of {bench.sizes.embedded}, {DEFAULT_MODEL}, against clip-retrieval inference",
                 f"{ours:.1f} s", f"{theirs:.1f} s", ours / theirs, "<= 0.3")


def rebuilds(bench: Bench) -> Iterator[Figure]:
    folder, count = bench.fresh("rebuild"), bench.sizes.rebuilt
    write_pictures(folder / "mirror", count + count // 100, "small", folder / "image_cache")
    flags = ("build_embeddings.py", "--bulk-file", folder / "mirror" / BULK, "--image-size", "small",
             "--model", OFFLINE)
    full = run(folder, *flags, "--limit", count).seconds
    stages = json.loads((folder / "index_out" / "build_manifest.json").read_text())["statistics"]["seconds"]
    yield Figure(f"checkpoints every 500 of {count:,} pictures, against the time without",
                 f"{stages['checkpoints']:.2f} s", f"{stages['embed'] - stages['checkpoints']:.1f} s",
                 stages["checkpoints"] / (stages["embed"] - stages["checkpoints"]), "<= 0.02")
    nothing = _best(2, lambda: run(folder, *flags, "--limit", count))
    yield Figure(f"rebuild of {count:,} with nothing new, against the full build", f"{nothing:.1f} s", f"{full:.1f} s",
                 nothing / full, "<= 0.03")
    more = run(folder, *flags).seconds
    small = "" if count == FULL.rebuilt else f"importing PyTorch weighs less in {FULL.rebuilt:,} pictures"
    yield Figure(f"rebuild with {count // 100} new, against the full build", f"{more:.1f} s", f"{full:.1f} s",
                 more / full, "" if small else "<= 0.05", small)


# Index

def clustered_vectors(rows: int) -> np.ndarray:
    """Unit float32 [rows, DIMENSION]: a centre each (seed 0), plus noise SPREAD times as long, as card embeddings
    cluster by frame and set."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, DIMENSION), np.float32)
    vectors = centres[random.integers(0, CENTRES, rows)]
    vectors += SPREAD * random.standard_normal(vectors.shape, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def indexes(bench: Bench) -> Iterator[Figure]:
    if not bench.peers:
        return
    folder, rows = bench.fresh("indexes"), bench.sizes.vectors
    vectors = clustered_vectors(rows + QUERIES)
    vectors, queries = vectors[:rows], vectors[rows:]
    _, true = search_index.search_exact(vectors, queries, search_index.NEIGHBOURS)
    for name, values in (("vectors", vectors), ("queries", queries), ("true", true)):
        np.save(folder / f"{name}.npy", values)
    parameters = search_index.HNSW_M, search_index.EF_CONSTRUCTION
    started = time.monotonic()
    index = search_index.build_hnsw(vectors, np.arange(rows), *parameters, search_index.EF_SEARCH)
    built = time.monotonic() - started
    ours = _at_equal_recall(_search(index, queries, true, effort) for effort in EFFORTS)
    for library in ("hnswlib", "usearch"):
        say(f"{library} over {rows:,} vectors.")
        theirs = peers.vector_index(bench.peers, folder, library, *parameters, EFFORTS)
        yield Figure(f"index of {rows:,} x {DIMENSION}, M {parameters[0]}, efConstruction {parameters[1]}, against "
                     f"{library}", f"{built:.1f} s", f"{theirs['build']:.1f} s", built / theirs["build"], "<= 1")
        other = _at_equal_recall(iter(theirs["search"]))
        yield Figure(f"  search at recall@10 >= {EQUAL_RECALL} (efSearch {ours[0]} and {other[0]})",
                     f"{1000 * ours[2] / QUERIES:.2f} ms", f"{1000 * other[2] / QUERIES:.2f} ms", ours[2] / other[2],
                     "<= 1.5")


def _search(index, queries: np.ndarray, true: np.ndarray, effort: int) -> tuple[int, float, float]:
    """(efSearch, recall@10, seconds for all queries)."""
    started = time.monotonic()
    _, found = search_index.search(index, queries, search_index.NEIGHBOURS, effort)
    seconds = time.monotonic() - started
    hits = [len(np.intersect1d(mine, exact)) for mine, exact in zip(found, true, strict=True)]
    return effort, float(np.mean(hits)) / search_index.NEIGHBOURS, seconds


def _at_equal_recall(searches: Iterator) -> tuple[int, float, float]:
    tried = list(searches)
    return tuple(next((one for one in tried if one[1] >= EQUAL_RECALL), tried[-1]))


# Query

def queries(bench: Bench) -> Iterator[Figure]:
    root, folder, weights = bench.pictures(), bench.fresh("query"), bench.weights()
    run(folder, "build_embeddings.py", "--cache", root / "cache", "--bulk-file", root / BULK, "--pretrained", weights,
        "--limit", bench.sizes.embedded)
    paths = sorted((root / "cache").glob("*.jpg"))[:101]
    reference = [sys.executable, "-c", f"import torch; torch.load({str(weights)!r}, weights_only=True)"]
    cold, loaded = [], []
    for _ in range(5):
        cold.append(run(folder, "query_index.py", paths[0]).seconds)
        loaded.append(run_command(folder, reference).seconds)
    yield Figure(f"query of one picture, cold, {DEFAULT_MODEL}, against import torch and loading the weights",
                 f"{statistics.median(cold):.2f} s", f"{statistics.median(loaded):.2f} s",
                 statistics.median(cold) / statistics.median(loaded), "<= 1.3")
    spec = describe_model(DEFAULT_MODEL, str(weights))
    embedder = Embedder(spec, "cpu", pick_precision("auto", "cpu"))
    pixels = np.stack([prepare(open_picture(path), spec) for path in itertools.islice(paths, BATCH)])
    embedder.embed(pixels)
    alone = BATCH / min(_seconds(lambda: embedder.embed(pixels)) for _ in range(3))
    many = _best(2, lambda: run(folder, "query_index.py", *paths))
    rate = (len(paths) - 1) / (many - min(cold))
    yield Figure(f"{len(paths) - 1} more pictures in one query, against the model alone", f"{rate:.1f}/s",
                 f"{alone:.1f}/s", rate / alone, ">= 0.8")
