"""Comparisons of the model and the build: embedding, complete builds, rebuilds, queries.

Reads   pictures of workbench.py
Writes  below the folder it is given
"""
from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.comparison import CORES, FULL, Bench, Figure, best, seconds
from benchmarks.workbench import BULK, run, run_command, write_pictures
from mtg_image_db.common import open_pixels
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_pictures import EmbedOptions, Pictures, embed_stream, read_pictures
from mtg_image_db.embedding.embedder import Embedder, pick_precision
from mtg_image_db.embedding.models import OFFLINE_MODEL, ModelSpec, describe_model
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL
from mtg_image_db.embedding.preparation import prepare, resize_with_torch
from mtg_image_db.embedding.runtimes import RunOptions
from mtg_image_db.embedding.vector_store import KnownVectors, VectorStore
from mtg_image_db.scryfall.image_cache import cached_names

BATCH = 64


def model(bench: Bench) -> Iterator[Figure]:
    yield from _pipeline(bench, DEFAULT_MODEL, str(bench.weights()), ">= 0.85")
    yield from _pipeline(bench, OFFLINE_MODEL, None, "")


def _pipeline(bench: Bench, architecture: str, pretrained: str | None, target: str) -> Iterator[Figure]:
    """Pictures from disk to vectors, against the model alone. With a target, also the lower precision against fp32."""
    cache, spec = bench.pictures() / "cache", describe_model(architecture, pretrained)
    names = sorted(cached_names(cache))[:bench.sizes.embedded]

    def decoded(part: list[str]) -> np.ndarray:
        return np.stack([prepare(open_pixels(cache / name, verify=True), spec, resize_with_torch) for name in part])

    def through(embedder: Embedder) -> None:
        for start in range(0, len(pixels), BATCH):
            embedder.embed(pixels[start:start + BATCH])

    pixels, lower = decoded(names), Embedder(spec, "cpu", "auto")
    decode = min(seconds(lambda: decoded(names[:BATCH])) / BATCH for _ in range(3))
    lower.embed(pixels[:BATCH])
    alone, full_path = [], []
    for _ in range(3):
        alone.append(len(names) / seconds(lambda: through(lower)))
        full_path.append(len(names) / seconds(lambda: _embed(bench, cache, names, spec, lower)))
    yield Figure(f"pictures from disk to vectors, {architecture} {lower.precision}, against the model alone",
                 f"{max(full_path):.1f}/s", f"{max(alone):.1f}/s",
                 statistics.median(full / model for full, model in zip(full_path, alone, strict=True)), target,
                 f"at most {1 / (1 + decode * max(alone) / CORES):.2f}: decoding and resizing takes "
                 f"{1000 * decode:.1f} ms of a core, the model {1000 * CORES / max(alone):.1f} ms")
    if target and lower.precision != "fp32":
        exact, sample = Embedder(spec, "cpu", "fp32"), pixels[:BATCH]
        slow = len(sample) / min(seconds(lambda: exact.embed(sample)) for _ in range(3))
        cosine = float((exact.embed(sample) * lower.embed(sample)).sum(axis=1).min())
        units = _bf16_matrix_units()
        yield Figure(f"{architecture} at {lower.precision}, against fp32 (cosine to it {cosine:.4f})",
                     f"{max(alone):.1f}/s", f"{slow:.1f}/s", max(alone) / slow, ">= 4" if units else "",
                     "" if units else "this CPU has bf16 instructions but no bf16 matrix units")


def _embed(bench: Bench, cache: Path, names: list[str], spec: ModelSpec, embedder: Embedder) -> None:
    checkpoint = Checkpoint(bench.fresh("vectors"), spec.fingerprint)
    options = EmbedOptions(BATCH, RunOptions(device="cpu"))
    store = VectorStore(KnownVectors(), checkpoint)
    pictures = read_pictures(Pictures(cache, names), range(len(names)), store, spec, options)
    for _ in embed_stream(pictures, store, spec, options, embedder):
        pass
    checkpoint.discard()


def _bf16_matrix_units() -> bool:
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def clip_retrieval(bench: Bench) -> Iterator[Figure]:
    python = bench.peers
    if python is None:
        return
    root, folder = bench.pictures(), bench.fresh("clip")
    (folder / "pictures").mkdir()
    for name in sorted(cached_names(root / "cache"))[:bench.sizes.embedded]:
        os.link(root / "cache" / name, folder / "pictures" / name)
    ours = best(2, lambda: run(folder, "build_embeddings.py", "--cache", folder / "pictures", "--bulk-file",
                                root / BULK, "--pretrained", bench.weights(), "--rebuild", "--no-resume"))
    theirs = best(2, lambda: peers.clip_retrieval(python, folder, folder / "pictures", DEFAULT_MODEL,
                                                   bench.weights()))
    yield Figure(f"whole build of {bench.sizes.embedded}, {DEFAULT_MODEL}, against clip-retrieval inference",
                 f"{ours:.1f} s", f"{theirs:.1f} s", ours / theirs, "<= 0.3")


def rebuilds(bench: Bench) -> Iterator[Figure]:
    folder, count = bench.fresh("rebuild"), bench.sizes.rebuilt
    write_pictures(folder / "mirror", count + count // 100, "small", folder / "image_cache")
    flags = ("build_embeddings.py", "--bulk-file", folder / "mirror" / BULK, "--image-size", "small",
             "--model", OFFLINE_MODEL)
    full = run(folder, *flags, "--limit", count).seconds
    stages = json.loads((folder / "index_out" / "build_manifest.json").read_text())["statistics"]["seconds"]
    yield Figure(f"checkpoints every 500 of {count:,} pictures, against the time without",
                 f"{stages['checkpoints']:.2f} s", f"{stages['embed'] - stages['checkpoints']:.1f} s",
                 stages["checkpoints"] / (stages["embed"] - stages["checkpoints"]), "<= 0.02")
    nothing = best(2, lambda: run(folder, *flags, "--limit", count))
    yield Figure(f"rebuild of {count:,} with nothing new, against the full build", f"{nothing:.1f} s", f"{full:.1f} s",
                 nothing / full, "<= 0.03")
    more = run(folder, *flags).seconds
    small = "" if count == FULL.rebuilt else f"importing PyTorch weighs less in {FULL.rebuilt:,} pictures"
    yield Figure(f"rebuild with {count // 100} new, against the full build", f"{more:.1f} s", f"{full:.1f} s",
                 more / full, "" if small else "<= 0.05", small)


def queries(bench: Bench) -> Iterator[Figure]:
    root, folder, weights = bench.pictures(), bench.fresh("query"), bench.weights()
    run(folder, "build_embeddings.py", "--cache", root / "cache", "--bulk-file", root / BULK, "--pretrained", weights,
        "--limit", bench.sizes.embedded)
    paths = sorted((root / "cache").glob("*.jpg"))[:101]
    reference = [sys.executable, "-c", f"import torch; torch.load({str(weights)!r}, weights_only=True)"]
    cold, loaded = [], []
    for _ in range(5):
        cold.append(run(folder, "query_index.py", paths[0], "--find", "off").seconds)
        loaded.append(run_command(folder, reference).seconds)
    yield Figure(f"query of one picture, cold, {DEFAULT_MODEL}, against import torch and loading the weights",
                 f"{statistics.median(cold):.2f} s", f"{statistics.median(loaded):.2f} s",
                 statistics.median(cold) / statistics.median(loaded), "<= 1.3")
    spec = describe_model(DEFAULT_MODEL, str(weights))
    embedder = Embedder(spec, "cpu", pick_precision("auto", "cpu"))
    pixels = np.stack([prepare(open_pixels(path), spec, resize_with_torch) for path in itertools.islice(paths, BATCH)])
    embedder.embed(pixels)
    alone = BATCH / min(seconds(lambda: embedder.embed(pixels)) for _ in range(3))
    many = best(2, lambda: run(folder, "query_index.py", *paths, "--find", "off"))
    rate = (len(paths) - 1) / (many - min(cold))
    yield Figure(f"{len(paths) - 1} more pictures in one query, against the model alone", f"{rate:.1f}/s",
                 f"{alone:.1f}/s", rate / alone, ">= 0.8")
