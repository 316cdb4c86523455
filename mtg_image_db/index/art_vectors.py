"""The second vectors of an index: those of the art alone (--with-art). They make "similar art" independent of frames.

    spec = art_spec(options, previous, spec)    # None: the build makes none
    art = embed_art(pictures, spec, known, checkpoint, options.embed)

Reads   the pictures in the cache, and the previous build's mtg_art_embeddings.npy
Writes  through the vector store: a checkpoint in <out>
"""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtg_image_db.art_windows import ART
from mtg_image_db.artefacts import ART_EMBEDDINGS
from mtg_image_db.console import SuiteError, say
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
    """The model of the art, if the build shall have its vectors: as the options say, or else as the previous build.
    Raises SuiteError if the index's vectors are of the art already."""
    if options.with_art and spec.region == ART:
        raise SuiteError("Invalid Arguments", "the index's vectors are of the art already", "--region art --with-art",
                         "Leave out --with-art, or use --region card.")
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
    store = VectorStore(known, checkpoint, len(known.sources) + checkpoint.resumed)
    return ArtVectors(spec, embed_pictures(pictures, store, spec, options.embed), store)


def with_both(embedded: Embedded, art: ArtVectors) -> Embedded:
    """What was embedded, without the pictures whose art has no vector: a row has both."""
    refs = np.where(art.embedded.refs < 0, -1, embedded.refs)
    return replace(embedded, refs=refs, reasons={**art.embedded.reasons, **embedded.reasons})
