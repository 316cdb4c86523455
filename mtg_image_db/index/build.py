"""Image cache -> search index: the stages of a build.

    with alone_in(options.out):
        result = build(options)

Reads   the bulk snapshots and the pictures in <cache>, and the previous build in <out> for its vectors
Writes  <out>/mtg_embeddings.npy, mtg_meta.jsonl, mtg_cards.faiss, kept_indices.npy, mtg_pictures.npy, rejected.jsonl,
        mtg_art_embeddings.npy, mtg_printings.jsonl, model.onnx, text.onnx, text_tokenizer.json, and last
        build_manifest.json; a checkpoint while it runs
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtg_image_db.art_windows import ART, CARD, Window, window_in
from mtg_image_db.artefacts import (
    ART_EMBEDDINGS,
    INDEX,
    PICTURES,
    commit,
    finish_commit,
    read_manifest,
    remove_staged,
    staged,
    verify,
)
from mtg_image_db.console import EXIT_NOTHING, SuiteError, command, disk_space, say
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_ahead import AheadResult
from mtg_image_db.embedding.embed_pictures import Pictures, embed_pictures
from mtg_image_db.embedding.models import OFFLINE_MODEL, ModelSpec, describe_model
from mtg_image_db.embedding.open_clip_models import DEFAULT_MODEL
from mtg_image_db.embedding.vector_store import KnownVectors, VectorStore, previous_vectors
from mtg_image_db.index import hnsw
from mtg_image_db.index.art_vectors import ART_PREFIX, art_spec, embed_art, with_both_vectors, without_moved_art
from mtg_image_db.index.manifest import BuildOptions, Clock, Facts, count, manifest_of
from mtg_image_db.index.model_file import sample_pictures, stage_network, stage_words
from mtg_image_db.index.printings_file import stage_printings
from mtg_image_db.index.rows import FaceTable, Rows, read_face_table, stage_rows, stage_vectors
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.locks import IF_STALE, HeldElsewhere, hold
from mtg_image_db.scryfall.bulk import Snapshot, local_printings, local_snapshot
from mtg_image_db.scryfall.faces import ART_KEYS, flags_of

NORM_TOLERANCE = 1e-5  # of each row's L2 norm from 1. float32 rounding stays below 1e-6
LOCK_FILE = ".build.lock"


@dataclass(frozen=True)
class BuildResult:
    """The manifest of a finished build, and the folder it wrote to."""
    manifest: dict[str, Any]
    out: Path

    @property
    def failed(self) -> int:
        """The number of faces without a vector: their picture is not in the cache or not valid."""
        return self.manifest["statistics"]["failed_embeddings"]


@contextlib.contextmanager
def alone_in(out: Path, lock: bool = True) -> Iterator[None]:
    """Lock out for this build, and repair what a crash left there. Raises SuiteError if another build runs in it.
    lock=False (--no-lock) does not look for one."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        held = hold(out / LOCK_FILE, lock=lock)
    except HeldElsewhere as error:
        raise SuiteError("Build Error", "another build is writing to the same directory",
                         f"{error} holds {out / LOCK_FILE}",
                         f"Wait for it to end, or give this one another --out. {IF_STALE}") from error
    with held:
        remove_leftovers(out)
        finish_commit(out)
        remove_staged(out)
        yield


def spec_from_options(options: BuildOptions) -> ModelSpec:
    """The model to embed with. If the options name none, it is the model of the index in the folder, which is said.
    Another model than the index's is said too. Raises SuiteError if the weights are not available, or if the region
    does not fit the other options."""
    previous = read_manifest(options.out)
    built: dict[str, Any] = previous["parameters"] if previous else {}
    # The offline model has no other weights, so whoever names weights means another model.
    as_before = options.model is None and previous is not None and not (
        options.pretrained and built["model"] == OFFLINE_MODEL)
    model, pretrained = options.model or (built["model"] if as_before else DEFAULT_MODEL), options.pretrained
    if as_before:
        say(f"Keeping the model of the index in {options.out}: {model}. To change it, use --model.")
        pretrained = pretrained or built["pretrained"]
    fit = options.fit or (built["fit"] if as_before else "crop")
    size = options.size or (built["target_size"] if as_before else None)
    region = options.region or (built.get("region", CARD) if as_before else CARD)
    if region == ART and options.with_art:
        raise SuiteError("Invalid Arguments", "the vectors are of the art already", "--region art, --with-art",
                         "Leave out --with-art, or use --region card.")
    if region == CARD and options.source.image_size in ART_KEYS:
        raise SuiteError("Invalid Arguments", "pictures of the art alone need the region of the art",
                         f"--image-size {options.source.image_size}", "Add --region art, or use another --image-size.")
    spec = replace(describe_model(model, pretrained, fit, size), region=region)
    if previous and previous["model_fingerprint"] != spec.fingerprint:
        say(f"The index in {options.out} is of {built['model']} ({built['pretrained']}, fit {built['fit']}, "
            f"{built['target_size']} pixels, region {built.get('region', CARD)}): every picture is embedded anew with "
            f"{model}, region {region}.")
    return spec


def build(options: BuildOptions, spec: ModelSpec | None = None, ahead: AheadResult | None = None) -> BuildResult:
    """Run the build. The caller holds alone_in(options.out). spec is the model, if it is known already. ahead counts
    what was embedded during the download.

    Raises SuiteError. The next build reuses the vectors made until then.
    """
    clock, out, ahead = Clock(), options.out, ahead or AheadResult()
    previous = read_manifest(out)
    snapshot, printings = local_snapshot(options.source), local_printings(options.source, out)
    table = read_face_table(snapshot.path, options.source)
    clock.lap("read_faces")
    if not table.names:
        raise _nothing_to_embed(options, table, 0, "no face has a picture in the cache")
    spec = spec or spec_from_options(options)
    of_art = art_spec(options, previous, spec)
    known = KnownVectors() if options.rebuild else previous_vectors(out, previous, spec.fingerprint)
    windows = _windows(table) if of_art or spec.region == ART else None
    pictures = Pictures(options.source.cache, table.names, windows)
    if spec.region == ART:
        known = without_moved_art(known, out, previous, pictures)
    with contextlib.closing(Checkpoint(out, spec.fingerprint, options.resume or ahead.embedded > 0,
                                       options.lock)) as checkpoint, \
            contextlib.closing(Checkpoint(out, of_art.fingerprint if of_art else "", options.resume, options.lock,
                                          ART_PREFIX)) as art_checkpoint:
        store = _open_store(known, checkpoint, ahead)
        clock.lap("prepare")
        faces, dimension = len(table.names), known.vectors.shape[1]
        with disk_space(lambda: _bytes_to_write(faces, checkpoint.dimension or dimension, options.hnsw.m, printings,
                                                bool(of_art))):
            embedded = embed_pictures(pictures, store, spec, options.embed)
            clock.lap("embed")
            art = embed_art(pictures, of_art, art_checkpoint, previous, options) if of_art else None
            if art:
                embedded = with_both_vectors(embedded, art)
                clock.lap("embed_art")
            if not len(embedded.kept):
                raise _nothing_to_embed(options, table, len(embedded.reasons), "no cached picture is valid")
            rows = stage_rows(out, table, embedded, store)
            if art:
                stage_vectors(out, ART_EMBEDDINGS, art.store, art.embedded.refs[embedded.kept])
            clock.lap("write")
            counts, made_with = count(table, embedded, rows) | (art.counts if art else {}), embedded.made_with
            row_windows = [windows[i] for i in embedded.kept.tolist()] if windows and spec.region == ART else None
            seconds = embedded.seconds + ahead.seconds
            # Now on disk. The index needs their 1.1 GB (500,000 faces).
            del known, table, store, embedded, art, pictures, windows
            index = _grown_index(options, previous, rows) or hnsw.build_hnsw(rows.vectors, rows.nodes, options.hnsw)
            hnsw.save(index, staged(out, INDEX))
            clock.lap("index")
            quality = hnsw.measure(index, rows.vectors, rows.nodes)
            clock.lap("quality")
            sources = np.load(staged(out, PICTURES), allow_pickle=False)
            counts |= stage_network(out, spec, previous,
                                    lambda: sample_pictures(sources, options.source.cache, row_windows), rows.vectors)
            stage_words(out, spec, previous)
            clock.lap("model")
            printing_counts, listed = stage_printings(out, printings)
            clock.lap("printings")
            _check_norms(quality)
            rate = round(counts["new_embeddings"] / seconds, 2) if counts["new_embeddings"] else None
            stages = clock.seconds | {"checkpoints": round(checkpoint.seconds, 3)} | (
                {"embed_during_download": round(ahead.seconds, 3)} if ahead.embedded else {})
            counts |= printing_counts | {"images_per_second": rate, "seconds": stages}
            facts = Facts(snapshot, listed, spec, of_art, made_with, counts, quality)
            manifest = commit(out, manifest_of(options, facts, previous))
        checkpoint.discard()
        art_checkpoint.discard()
    return BuildResult(manifest, out)


def _windows(table: FaceTable) -> list[Window | None]:
    """Where the art of each picture lies."""
    return [window_in(table.metadata[i]) for i in range(len(table.names))]


def _open_store(known: KnownVectors, checkpoint: Checkpoint, ahead: AheadResult) -> VectorStore:
    """The vectors known before this build. Vectors embedded ahead count as made by this build."""
    interrupted = checkpoint.resumed - ahead.embedded
    if interrupted > 0:
        say(f"Continuing an interrupted build: {interrupted:,} pictures are embedded already.")
    return VectorStore(known, checkpoint, len(known.sources) + max(0, interrupted))


def _grown_index(options: BuildOptions, previous: dict[str, Any] | None, rows: Rows) -> Any | None:
    """The previous build's index with the new pictures added. None if it must be built anew: because of other
    parameters, another model, --rebuild, a picture that is gone, or a damaged file."""
    built = previous["parameters"] if previous else {}
    same = (built.get("hnsw_m"), built.get("hnsw_ef_construction")) == (options.hnsw.m, options.hnsw.ef_construction)
    if previous is None or not len(rows.new_row_of) or not same:
        return None
    try:
        verify(options.out, previous, (INDEX,))
        return hnsw.extend_hnsw(options.out / INDEX, rows.vectors, rows.new_row_of, rows.nodes, options.hnsw.ef_search)
    except SuiteError as error:
        say(f"The previous build's index is not used. Details: {error.details}")
        return None


def _check_norms(quality: hnsw.Quality) -> None:
    if max(1 - quality.min_norm, quality.max_norm - 1) > NORM_TOLERANCE:
        raise SuiteError("Build Error", "a vector is not of norm 1",
                         f"norms {quality.min_norm} to {quality.max_norm}", "Run the build with --rebuild.")


def _bytes_to_write(rows: int, dimension: int, m: int, printings: Snapshot | None, with_art: bool) -> int:
    """Estimate the bytes of a build: the vectors three times (checkpoint, npy, index), the links, the metadata. Those
    of the art are in no index. The printings are written twice, with 0.8 of the bytes of their packed bulk file."""
    listed = printings.path.stat().st_size if printings else 0
    return rows * ((5 if with_art else 3) * 4 * dimension + 10 * m + 1000) + 2 * listed


def _nothing_to_embed(options: BuildOptions, table: FaceTable, invalid: int, what: str) -> SuiteError:
    counts = table.counts.copy()
    counts["invalid"] += invalid
    shown = ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items()) if number)
    return SuiteError("Validation Error", what, f"{table.report.faces:,} faces in the bulk file: {shown or 'none'}",
                      f"Run {command('download_images.py', *flags_of(options.source, options.out))}", EXIT_NOTHING)
