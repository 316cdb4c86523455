"""Name the cards in a picture: find them, embed each as the index was built, and print the nearest faces.

    python query_index.py photo.jpg --k 5 --html matches.html

Reads   the picture, and build_manifest.json, mtg_cards.faiss, mtg_meta.jsonl and mtg_pictures.npy
        (mtg_embeddings.npy for --exact) in <index-dir>
Writes  matches to stdout; with --html one self-contained page, with --annotate the picture with the cards outlined
"""
from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtg_image_db.artefacts import load_manifest
from mtg_image_db.common import (
    EXIT_NOTHING,
    EXIT_OK,
    InvalidContent,
    SuiteError,
    map_ahead,
    open_picture,
    per_second,
    printable,
    say,
)
from mtg_image_db.console import ArgumentParser, Progress, existing_file, number, one_of, script
from mtg_image_db.embedding.embedder import DEVICES, PRECISIONS, Embedder, prepare
from mtg_image_db.index import hnsw
from mtg_image_db.index.reader import CardIndex, Match, model_of, open_index, precision_of
from mtg_image_db.recognition import annotate, html_report, namer
from mtg_image_db.recognition.namer import Card
from mtg_image_db.scryfall.faces import cache_name

if TYPE_CHECKING:
    from PIL.Image import Image

QUERY_BATCH = 64
MOST_LIKE = ". Most like:"
NO_VECTOR = "the model gave no finite vector"
PHOTOS_AHEAD = 2  # decoded while another is named: 36 MB each at 12 megapixels
FEW_PICTURES = 16  # turning the model to a lower precision takes longer than they do


@dataclass
class Query:
    """A picture asked for: its matches, best first, or why there are none. cards are those found in it; matches are
    the first card's then."""
    path: Path
    matches: list[Match] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    error: str | None = None

    @property
    def recognised(self) -> list[Card]:
        return [card for card in self.cards if card.accepted]


def match_whole(queries: Sequence[Query], index: CardIndex, model: Embedder, k: int,
                ef_search: int | None = None) -> Iterator[Query]:
    """Match each whole picture; one that cannot be read gets an error instead. Yields each when it is done."""
    def read(query: Query) -> np.ndarray | None:
        return _read(query, lambda picture: prepare(picture, model.spec))

    pixels = zip(queries, map_ahead(read, queries, os.cpu_count(), QUERY_BATCH), strict=True)
    while batch := list(itertools.islice(pixels, QUERY_BATCH)):
        whole = [(query, picture) for query, picture in batch if picture is not None]
        vectors = model.embed(np.stack([picture for _, picture in whole])) if whole else ()
        for (query, _), vector in zip(whole, vectors, strict=True):
            if np.isfinite(vector[0]):
                scores, rows = index.nearest(vector[None], k, ef_search)
                query.matches = index.matches(scores[0], rows[0], k)
            else:
                query.error = NO_VECTOR
        yield from (query for query, _ in batch)


def match_cards(queries: Sequence[Query], index: CardIndex, model: Embedder, k: int,
                ef_search: int | None = None) -> Iterator[Query]:
    """Find and name the cards of each picture; one that cannot be read gets an error instead. Yields each when it is
    done."""
    photos = map_ahead(lambda query: _read(query, np.asarray), queries, PHOTOS_AHEAD, PHOTOS_AHEAD)
    for query, photo in zip(queries, photos, strict=True):
        try:
            if photo is not None:
                query.cards = namer.name_cards(photo, index, model, k, ef_search)
                query.error = None if query.cards else NO_VECTOR
        except InvalidContent as error:
            query.error = str(error)
        query.matches = query.cards[0].matches if query.cards else []
        yield query


def _read(query: Query, pixels_of: Callable[[Image], np.ndarray]) -> np.ndarray | None:
    try:
        return pixels_of(open_picture(query.path))
    except (InvalidContent, OSError) as error:
        query.error = str(error)
        return None


# Output

def text_lines(query: Query) -> Iterator[str]:
    """A line a match; a line before those of each card where there are several, or where none is recognised."""
    if not query.recognised:
        if query.cards:
            yield annotate.NOT_KNOWN + MOST_LIKE
        yield from map(_match_line, query.matches)
    for at, card in enumerate(query.recognised, 1):
        if len(query.recognised) > 1:
            yield f"Card {at} at " + " ".join(f"{x:.0f},{y:.0f}" for x, y in card.quad)
        yield from map(_match_line, card.matches)
        others = [face for face in card.printings if face.face_id != card.matches[0].face_id]
        if others and not card.printing_decided:
            yield "   or another printing: " + " ".join(f"[{face.set} {face.collector_number}]" for face in others)


def _match_line(match: Match) -> str:
    return (f"{match.rank}. {match.name} [{match.set} {match.collector_number}] "
            f"score={match.score:.3f} {match.scryfall_uri or match.image_url}")


def _print(query: Query, as_json: bool, with_name: bool) -> None:
    if as_json:
        error = {"error": query.error} if query.error else {}
        line = json.dumps({"query": str(query.path), "matches": [asdict(m) for m in query.matches],
                           "cards": [asdict(card) for card in query.cards], **error}, ensure_ascii=False)
        # names come from the network: what a terminal would obey stays escaped, as JSON allows
        lines = ["".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)]
    else:
        lines = [printable(line) for line in ((str(query.path),) if with_name else ()) + tuple(text_lines(query))]
    if lines:
        print("\n".join(lines), flush=True)
    if query.error:
        say(str(SuiteError("Validation Error", "a picture could not be read", f"{query.path}: {query.error}",
                           "Give a whole JPEG, PNG, WEBP, GIF, BMP or TIFF.")))


def write_sheet(path: Path, queries: Sequence[Query], index: CardIndex, cache: Path) -> None:
    """The contact sheet of the queries; reference pictures come from the cache where they are there."""
    def picture(source: Path) -> Image | None:
        try:
            return open_picture(source)
        except (InvalidContent, OSError):
            return None

    def shown(matches: Sequence[Match]) -> list[tuple[Match, Image | None]]:
        return [(match, picture(cache / cache_name(match.image_url))) for match in matches]

    def row(query: Query) -> html_report.Row:
        photo = picture(query.path)
        if photo and query.cards:
            photo = annotate.drawn(photo, query.cards)
        groups = [html_report.Group(
            annotate.caption(card, at) + (f", likeness {card.score:.2f}, margin {card.margin:.2f}"
                                           if card.accepted else MOST_LIKE),
            card.accepted, shown(card.matches)) for at, card in enumerate(annotate.shown(query.cards), 1)]
        return html_report.Row(query.path.name, photo, query.error,
                                 groups or [html_report.Group("", True, shown(query.matches))])

    built = index.manifest["parameters"]
    # one row at a time: a photo of 12 megapixels is 36 MB
    html_report.write(path, f"{len(index.metadata):,} faces, {built['model']}", map(row, queries))


# Command line

def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = ArgumentParser(__doc__)
    parser.add_argument("images", nargs="*", type=existing_file, metavar="IMAGE", help="pictures to name")
    parser.add_argument("--index-dir", type=Path, default=Path("index_out"), metavar="DIR",
                        help="where the build wrote (default: index_out)")
    parser.add_argument("--find", type=one_of("auto", "off"), default="auto", metavar="HOW",
                        help="auto: find the cards in the picture; off: the picture is the card (default: auto)")
    parser.add_argument("--k", type=number(int, 1), default=1, metavar="K",
                        help="matches printed of each card, at least 1 (default: 1)")
    parser.add_argument("--ef-search", type=number(int, 1, hnsw.MAX_EF), metavar="N",
                        help="effort of the search (default: what the index stores)")
    parser.add_argument("--exact", action="store_true", help="compare with every vector, without the graph")
    parser.add_argument("--json", action="store_true", help="one JSON object a picture, a line each")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of queries and matches")
    parser.add_argument("--annotate", type=Path, metavar="FILE",
                        help="write the picture with the cards outlined and named: .jpg, .png or .webp")
    parser.add_argument("--cache", type=Path, default=Path("image_cache"), metavar="DIR",
                        help="pictures for --html; those not there are linked (default: image_cache)")
    parser.add_argument("--pretrained", metavar="TAG|FILE", help="the index's weights, where they have moved")
    parser.add_argument("--device", type=one_of(*DEVICES), default="auto", metavar="DEVICE",
                        help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument("--precision", type=one_of(*PRECISIONS), default="auto", metavar="P",
                        help="auto, fp32, bf16 or fp16 (default: auto)")
    return parser.parse(argv, _check)


def _check(args: argparse.Namespace) -> Iterator[str]:
    if args.images == []:
        yield "IMAGE: name at least one picture"
    if args.annotate and len(args.images or ()) > 1:
        yield f"--annotate {args.annotate}: takes one IMAGE, not {len(args.images)}"
    if args.annotate and args.annotate.suffix.lower() not in annotate.FORMATS:
        yield f"--annotate {args.annotate}: must end in {', '.join(annotate.FORMATS)}"
    if args.annotate and args.find == "off":
        yield "--annotate: outlines the cards that --find auto finds"


def _precision(args: argparse.Namespace, manifest: dict) -> str:
    """auto is fp32 where few pictures go through the model, else the index's own."""
    if args.precision != "auto":
        return args.precision
    few = args.find == "off" and len(args.images) < FEW_PICTURES
    return "fp32" if few else precision_of(manifest, args.device)


@script
def main(argv: list[str] | None = None) -> int:
    args = _arguments(argv)
    load_manifest(args.index_dir)  # an error is said before the second begins that PyTorch takes to import
    threading.Thread(target=importlib.import_module, args=("torch",)).start()  # while the artefacts are checked
    index = open_index(args.index_dir, args.exact)
    spec = model_of(index.manifest, args.pretrained)
    say(f"Pictures to match: {len(args.images):,}, against {len(index.metadata):,} faces with {spec.model}.")
    model = Embedder(spec, args.device, _precision(args, index.manifest))
    started = time.monotonic()
    queries = [Query(path) for path in args.images]
    progress = Progress("Naming", len(queries)) if len(queries) > 1 and not sys.stdout.isatty() else None
    match = match_whole if args.find == "off" else match_cards
    for query in match(queries, index, model, args.k, args.ef_search):
        _print(query, args.json, len(queries) > 1)
        if progress:
            progress.update()
    if progress:
        progress.close()
    written = []
    if args.html:
        write_sheet(args.html, queries, index, args.cache)
        written.append(args.html)
    if args.annotate and queries[0].cards:
        annotate.write(args.annotate, annotate.drawn(open_picture(args.images[0]), queries[0].cards))
        written.append(args.annotate)
    _report_end(queries, args.find, written, time.monotonic() - started)
    return EXIT_OK if any(query.matches for query in queries) else EXIT_NOTHING


def _report_end(queries: Sequence[Query], find: str, written: Sequence[Path], seconds: float) -> None:
    if find == "off":
        done = sum(bool(query.matches) for query in queries)
        text = f"Matched {done:,} of {len(queries):,}"
    else:
        done = sum(bool(query.recognised) for query in queries)
        cards = sum(len(query.recognised) for query in queries)
        text = f"Recognised {cards:,} card{'s' * (cards != 1)} in {done:,} of {len(queries):,} pictures"
    shown = f", shown in {' and '.join(map(str, written))}." if written else "."
    say(f"{text} ({per_second(len(queries), seconds)}/s){shown}")


if __name__ == "__main__":
    sys.exit(main())
