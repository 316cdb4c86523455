"""The second vectors of an index: those of the art alone (--with-art). They make "similar art" independent of frames.

    spec = art_spec(options, previous, spec)    # None: the build makes none
    art = embed_art(pictures, spec, known, checkpoint, options.embed)

Reads   the pictures in the cache, and the previous build's mtg_art_embeddings.npy
Writes  through the vector store: a checkpoint in <out>
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mtg_image_db.art_windows import ART, window_in
from mtg_image_db.artefacts import ART_EMBEDDINGS, META, matches_manifest
from mtg_image_db.console import say
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.embed_pictures import Embedded, Pictures, embed_pictures
from mtg_image_db.embedding.models import ModelSpec
from mtg_image_db.embedding.vector_store import KnownVectors, VectorStore, previous_vectors
from mtg_image_db.index.manifest import BuildOptions

ART_PREFIX = "art_"  # of the checkpoint's files


@dataclass(frozen=True)
class ArtVectors:
    """The vectors of the art: which model made them, and where the store has those of each picture."""
    spec: ModelSpec
    embedded: Embedded
    store: VectorStore

    @property
    def counts(self) -> dict[str, int]:
        """For the manifest's statistics."""
        return {"new_art_embeddings": self.embedded.new, "reused_art_embeddings": self.embedded.reused}


def art_spec(options: BuildOptions, previous: dict[str, Any] | None, spec: ModelSpec) -> ModelSpec | None:
    """The model of the art, if the build shall have its vectors: as the options say, or else as the previous build."""
    had_art = previous is not None and ART_EMBEDDINGS in previous["outputs"]
    if spec.region == ART or not (had_art if options.with_art is None else options.with_art):
        return None
    if options.with_art is None:
        say("The index has vectors of the art, which are kept. To leave them out, use --no-with-art.")
    return replace(spec, region=ART)


def embed_art(pictures: Pictures, spec: ModelSpec, checkpoint: Checkpoint, previous: dict[str, Any] | None,
              options: BuildOptions) -> ArtVectors:
    """Embed the art of the pictures. previous is the manifest of the previous build, whose vectors are used again.
    Raises SuiteError if the model fails."""
    known = KnownVectors() if options.rebuild else previous_vectors(options.out, previous, spec.fingerprint,
                                                                    ART_EMBEDDINGS)
    known = without_moved_art(known, options.out, previous, pictures)
    if checkpoint.resumed:
        say(f"Continuing an interrupted build: the art of {checkpoint.resumed:,} pictures is embedded already.")
    store = VectorStore(known, checkpoint, len(known.sources) + checkpoint.resumed)
    return ArtVectors(spec, embed_pictures(pictures, store, spec, options.embed), store)


def without_moved_art(known: KnownVectors, out: Path, previous: dict[str, Any] | None,
                      pictures: Pictures) -> KnownVectors:
    """The vectors of the art in the previous build in out, without those that were cut out of another window: then
    Scryfall has corrected the card's data. Their rows stay, and no picture finds them."""
    if previous is None or not len(known.sources):
        return known
    if not matches_manifest(out, previous, META):
        say("The previous build's vectors of the art are not used: its metadata are damaged.")
        return KnownVectors()
    now = dict(zip(pictures.names, pictures.windows or (), strict=True))
    moved = []
    with open(out / META, "rb") as lines:  # line by line: all of them are 0.8 GB for 500,000 cards
        for row, (line, name) in enumerate(zip(lines, known.sources["name"].tolist(), strict=True)):
            window = window_in(orjson.loads(line))
            if now.get(name.decode(), window) != window:
                moved.append(row)
    if moved:
        say(f"The art of {len(moved):,} cards lies elsewhere by Scryfall's new data: it is embedded anew.")
    sources = known.sources.copy()
    sources["name"][moved] = sources["digest"][moved] = b""
    return replace(known, sources=sources)


def with_both_vectors(embedded: Embedded, art: ArtVectors) -> Embedded:
    """What was embedded, without the pictures whose art has no vector, or changed between the two: a row has both."""
    changed = embedded.sources["digest"] != art.embedded.sources["digest"]
    missing = (art.embedded.refs < 0) | changed
    reasons = dict.fromkeys(np.flatnonzero(missing).tolist(), "invalid: it changed during the build")
    return replace(embedded, refs=np.where(missing, -1, embedded.refs),
                   reasons={**reasons, **art.embedded.reasons, **embedded.reasons})
