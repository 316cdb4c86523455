"""Cards and their places on a map -> one self-contained HTML page that draws them, and a CSV file of them.

    write_map(Path("map.html"), cards, places, cluster_names, "1,537 cards")

map.html, map.css and the files map*.js beside this module are the page. Its numbers and texts go into it compressed.
The page asks for nothing but the pictures of cards: its own policy forbids the rest. Texts of cards never become HTML.
Reads   those files
Writes  the page; the CSV file
"""
from __future__ import annotations

import base64
import gzip
import hashlib
import html
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from mtg_image_db.common import atomic_file
from mtg_image_db.exploration.cards import Card
from mtg_image_db.recognition.collection import csv_text

HERE = Path(__file__).parent
SCRIPTS = "map_legend.js", "map_points.js", "map_gestures.js", "map.js"  # in the order in which they run
STEPS = 65_535  # places of the page, from 0 on, along the longer side of the map
ISLAND_ROOM = 0.15  # of the map's width and height: cards that lie farther outside than this are moved nearer
COLUMNS = ("row", "x", "y", "cluster", "name", "set", "collector_number", "colour", "artist", "released_at",
           "type_line", "illustration_id", "oracle_id", "scryfall_id", "face_id", "image_url", "scryfall_uri")


def write_map(path: Path, cards: Sequence[Card], places: NDArray[np.float32], clusters: Sequence[str],
              subtitle: str) -> None:
    """Write the page. places: float32 [N, 2]. clusters: the label of each card's cluster."""
    style, page = ((HERE / name).read_text(encoding="utf-8") for name in ("map.css", "map.html"))
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    text = string.Template(page).substitute(
        style=style, script=script, subtitle=html.escape(subtitle),
        policy=f"default-src 'none'; img-src https: http:; style-src {_hash(style)}; "
               f"script-src {_hash(script)}",
        data=base64.b64encode(gzip.compress(_columns(cards, places, clusters), 6, mtime=0)).decode())
    with atomic_file(path) as file:
        file.write(text.encode())


def write_points(path: Path, cards: Sequence[Card], places: NDArray[np.float32] | None, clusters: Sequence[str]
                 ) -> None:
    """Write a CSV line for each card. Without places, x and y are empty."""
    rows: list[Sequence[object]] = [COLUMNS]
    for number, (card, cluster) in enumerate(zip(cards, clusters, strict=True)):
        x, y = ("", "") if places is None else (f"{value:.4f}" for value in places[number].tolist())
        known = {"x": x, "y": y, "cluster": cluster}
        rows.append([known[name] if name in known else getattr(card, name) for name in COLUMNS])
    with atomic_file(path) as file:
        file.write(csv_text(rows).encode())


def _columns(cards: Sequence[Card], places: NDArray[np.float32], clusters: Sequence[str]) -> bytes:
    """The JSON that map.js reads: a list for each field."""
    places = _nearer_islands(places)
    low = places.min(axis=0)
    extent = float((places.max(axis=0) - low).max()) or 1.0
    x, y = np.rint((places - low) / extent * STEPS).astype(int).T
    texts = {name: [getattr(card, name) for card in cards]
             for name in ("name", "set", "set_name", "collector_number", "artist", "type_line", "colour",
                          "scryfall_uri")}
    return orjson.dumps({**texts, "year": [card.released_at[:4] for card in cards], "cluster": list(clusters),
                         "picture": [card.card_url or card.image_url for card in cards],
                         "x": x.tolist(), "y": y.tolist()})


def _nearer_islands(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """The places with the few cards outside of the middle 98% moved nearer. UMAP may put a few cards that are like no
    others so far away that all others take a corner of the map."""
    low, high = np.quantile(places, [0.01, 0.99], axis=0)
    room = np.maximum((high - low) * ISLAND_ROOM, 1e-6)
    inside = np.clip(places, low, high)
    beyond = places - inside
    return np.asarray(inside + np.sign(beyond) * room * np.log1p(np.abs(beyond) / room), np.float32)


def _hash(text: str) -> str:
    """The source expression of a Content Security Policy that allows this inline text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
