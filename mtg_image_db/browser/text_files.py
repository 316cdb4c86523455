"""The text side of the index's model as files of an export, so that a page finds cards by words.

    text = text_side(Path("index_out"), load_manifest(Path("index_out")), rows=54_000)
    files |= text.files                              # file name -> bytes
    head |= text.described

Reads   text.onnx and text_tokenizer.json of the index
Writes  nothing
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mtg_image_db.artefacts import BROWSER_TEXT_MODEL, TEXT_MODEL, TOKENIZER
from mtg_image_db.browser.int8_weights import int8_file
from mtg_image_db.browser.network_files import ExportPart, identity
from mtg_image_db.console import say
from mtg_image_db.embedding.embedder import AGREEMENT
from mtg_image_db.embedding.onnx_embedder import OUTPUT
from mtg_image_db.embedding.text_embedder import TextEmbedder
from mtg_image_db.embedding.text_tower import TOKENS
from mtg_image_db.index.word_search import chance, open_words

# The int8 weights are measured on these.
MEASURED = ("a dragon over a burning village", "angel", "a snowy mountain at night", "two knights fighting",
            "a text box", "a forest with a river, seen from above", "an old man with a book", "a castle")


def text_side(index_dir: Path, manifest: dict[str, Any], rows: int) -> ExportPart:
    """The text side with int8 weights, and its tokenizer. The weights stay float32 without the package onnx, or if int8
    changes the vectors. Raises SuiteError if the model has no words, or if a file is damaged."""
    full = open_words(index_dir, manifest)
    expected = full.embed(MEASURED)
    network, tokenizer = (index_dir / TEXT_MODEL).read_bytes(), (index_dir / TOKENIZER).read_bytes()
    name, cosine, small = TEXT_MODEL, 1.0, int8_file(network)
    if small is None:
        say(f"The words keep their float32 weights ({TEXT_MODEL}, {len(network) / 1e6:,.0f} MB): int8 needs the "
            "package onnx (pip install -r requirements.txt).")
    else:
        agreement = float((TextEmbedder(small, index_dir / TOKENIZER).embed(MEASURED) * expected).sum(axis=1).min())
        if agreement >= AGREEMENT:
            name, cosine, network = BROWSER_TEXT_MODEL, agreement, small
        else:
            say(f"int8 weights change the vectors of words (cosine {agreement:.4f}): {TEXT_MODEL} keeps float32.")
    return ExportPart({name: network, TOKENIZER: tokenizer}, {"text": {
        "model": identity(name, network) | {"cosine": round(cosine, 5)}, "tokenizer": identity(TOKENIZER, tokenizer),
        "input": TOKENS, "dtype": "int32", "context": json.loads(tokenizer)["truncation"]["max_length"],
        "output": OUTPUT, **recorded(manifest, rows)}})


def has_text(manifest: dict[str, Any]) -> bool:
    """True if the index finds cards by words."""
    return TEXT_MODEL in manifest["outputs"]


def recorded(manifest: dict[str, Any], rows: int) -> dict[str, Any]:
    """What meta.json says of the text side besides its files. least: how far a card must stand out, in standard
    deviations. build: the SHA-256 of the build's files."""
    return {"least": round(chance(rows), 4),
            "build": {name: manifest["outputs"].get(name, {}).get("sha256", "") for name in (TEXT_MODEL, TOKENIZER)}}
