"""The model of an index as ONNX, beside the index: so the folder is all that a query needs.

    statistics = stage_network(out, spec, previous, lambda: sample_pictures(sources, cache), vectors)
    stage_words(out, spec, previous)

Reads   the model's weights, or the networks of the previous build, and a few pictures of the cache
Writes  staged in <out>: model.onnx; text.onnx and text_tokenizer.json, if the model has words
"""
from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtg_image_db.art_windows import COMPLETE, USUAL, Window, cut
from mtg_image_db.artefacts import MODEL, TEXT_MODEL, TOKENIZER, matches_manifest, staged
from mtg_image_db.common import InvalidContent, open_pixels
from mtg_image_db.console import SuiteError, say
from mtg_image_db.embedding.checkpoint import content_digest
from mtg_image_db.embedding.models import OFFLINE_MODEL, OFFLINE_NETWORK, ModelSpec
from mtg_image_db.embedding.onnx_embedder import OnnxEmbedder
from mtg_image_db.embedding.runtimes import has_torch
from mtg_image_db.embedding.text_tower import export_text_tower, has_words, tokenizer_json

SAMPLE, TRIED = 32, 1000  # pictures on which the network is compared with the index's vectors; rows tried for them
Sample = tuple[Sequence[int], list[NDArray[np.uint8]]]  # rows, and their RGB pictures
SAME_VECTOR = 0.99  # the lowest cosine allowed: vectors made in bf16 reach 0.999, another network's 0.9


def stage_network(out: Path, spec: ModelSpec, previous: dict[str, Any] | None, sample: Callable[[], Sample],
                  vectors: NDArray[np.float32]) -> dict[str, float]:
    """Stage the model as ONNX. Returns {"onnx_cosine": the lowest one to the index's vectors}, for the statistics.

    sample gives pictures of rows as the model sees them. vectors (float32 [N, D]) are those of all rows. If the model
    cannot be written, or gives other vectors, nothing is staged, which is said. The network of the previous build is
    used again.
    """
    if previous and _kept(out, spec, previous, MODEL):
        return {key: value for key, value in previous.get("statistics", {}).items() if key == "onnx_cosine"}
    try:
        _write_network(staged(out, MODEL), spec)
        rows, pictures = sample()
        model = OnnxEmbedder(spec, staged(out, MODEL))
        found = embed_sample(model, pictures) if pictures else np.zeros((0, vectors.shape[1]), np.float32)
        cosine = float((found * vectors[rows]).sum(axis=1).min(initial=1.0))
        if cosine >= SAME_VECTOR:
            return {"onnx_cosine": round(cosine, 5)}
        reason = f"its vectors are not those of the index (cosine {cosine:.4f})"
    except SuiteError as error:
        reason = f"{error.args[0]} ({error.details})"
    staged(out, MODEL).unlink(missing_ok=True)
    say(f"The index has no {MODEL}: {reason}. Queries need PyTorch.")
    return {}


def stage_words(out: Path, spec: ModelSpec, previous: dict[str, Any] | None) -> None:
    """Stage the text side of the model as ONNX, and its tokenizer. If the model has none, or if PyTorch is not here,
    nothing is staged. If it cannot be written, that is said. The files of the previous build are used again."""
    if not (has_torch(spec) and has_words(spec)) or _kept(out, spec, previous, TEXT_MODEL, TOKENIZER):
        return
    say(f"Writing the text side of {spec.model} as ONNX, to find cards by words.")
    try:
        staged(out, TEXT_MODEL).write_bytes(export_text_tower(spec).SerializeToString())
        staged(out, TOKENIZER).write_text(tokenizer_json(spec), encoding="utf-8")
    except SuiteError as error:
        staged(out, TEXT_MODEL).unlink(missing_ok=True)
        say(f"The index finds no cards by words: {error.args[0]} ({error.details}).")


def _kept(out: Path, spec: ModelSpec, previous: dict[str, Any] | None, *names: str) -> bool:
    """Stage files of the previous build again. False if they are another model's, or damaged."""
    if not previous or previous["model_fingerprint"] != spec.fingerprint or not all(
            matches_manifest(out, previous, name) for name in names):
        return False
    for name in names:
        _link(out / name, staged(out, name))
    return True


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _write_network(path: Path, spec: ModelSpec) -> None:
    if spec.model == OFFLINE_MODEL and spec.size == spec.native_size:
        shutil.copyfile(OFFLINE_NETWORK, path)
        return
    from mtg_image_db.embedding.onnx_tower import export_tower

    say(f"Writing {spec.model} as ONNX, for queries without PyTorch.")
    path.write_bytes(export_tower(spec).SerializeToString())


def embed_sample(model: OnnxEmbedder, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The vectors, float32 [n, D], of pictures of a Sample: nothing more is cut from them."""
    return model.embed(np.stack([model.prepare(picture, COMPLETE) for picture in pictures]))


def sample_pictures(sources: NDArray[np.void], cache: Path, windows: Sequence[Window | None] | None = None) -> Sample:
    """At most SAMPLE rows whose cached picture has not changed, and these pictures. sources (SOURCE_DTYPE [N]) are
    those of all rows. With the windows of all rows, it is the art that they show."""
    rows, pictures = [], []
    for row in np.random.default_rng(0).permutation(len(sources))[:TRIED].tolist():
        path = cache / sources[row]["name"].decode()
        with contextlib.suppress(InvalidContent, OSError):  # changed since the build: another picture is used
            data = path.read_bytes()
            if content_digest(data) == sources[row]["digest"].decode():
                picture = open_pixels(data)
                pictures.append(cut(picture, windows[row] or USUAL) if windows else picture)
                rows.append(row)
        if len(rows) == SAMPLE:
            break
    return rows, pictures
