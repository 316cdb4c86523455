"""What the tests of a build share: what is in its files."""

from __future__ import annotations

import faiss
import numpy as np
from conftest import Workspace, read_bulk

from mtg_image_db.artefacts import cache_name
from mtg_image_db.scryfall.faces import read_faces

ARTEFACTS = ("mtg_embeddings.npy", "mtg_meta.jsonl", "mtg_cards.faiss", "kept_indices.npy", "mtg_pictures.npy",
             "rejected.jsonl", "model.onnx", "mtg_printings.jsonl")


def faces_of(workspace: Workspace) -> list:
    return list(read_faces(workspace.cache / "bulk" / "unique_artwork.jsonl.gz"))


def vectors_of(workspace: Workspace) -> np.ndarray:
    return np.load(workspace.out / "mtg_embeddings.npy", allow_pickle=False)


def picture_of(workspace: Workspace, name: str):
    return next(workspace.cache / cache_name(face.image_url) for face in faces_of(workspace) if face.name == name)


def assert_nodes_are_rows(workspace: Workspace, nodes: int) -> None:
    """Every node of the index has the vector of the row its id names."""
    index = faiss.read_index(str(workspace.out / "mtg_cards.faiss"))
    graph, ids = faiss.downcast_index(index.index), faiss.vector_to_array(index.id_map)
    assert len(set(ids.tolist())) == len(ids) == nodes
    assert np.array_equal(graph.reconstruct_n(0, nodes), vectors_of(workspace)[ids])
    assert workspace.manifest()["quality"]["self_recall_at_1"] == 1.0


def read_bulk_of(workspace: Workspace) -> list[dict]:
    (workspace.cache / "bulk" / "unique-artwork.jsonl.gz").write_bytes(
        (workspace.cache / "bulk" / "unique_artwork.jsonl.gz").read_bytes())
    return read_bulk(workspace.cache / "bulk")
