"""The index as one Parquet file, for data tools and vector databases: the metadata, and a vector for each row.

    result = write_parquet(Path("index_out"), Path("cards.parquet"), "float32")

pyarrow (Apache-2.0, 160 MB) writes it: the format's own library, an extra of this package.
Reads   build_manifest.json, mtg_embeddings.npy, mtg_art_embeddings.npy if it is there, and mtg_meta.jsonl
Writes  the Parquet file
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtg_image_db.art_windows import ART
from mtg_image_db.artefacts import ART_EMBEDDINGS, META, load_manifest, release_pages, verify
from mtg_image_db.common import atomic_file
from mtg_image_db.console import SuiteError, disk_space
from mtg_image_db.index.vectors import open_vectors, region_of, require_same_rows
from mtg_image_db.leftovers import remove_leftovers
from mtg_image_db.version import __version__

if TYPE_CHECKING:
    import pyarrow

PRECISIONS = "float32", "float16"
ROW, VECTOR, ART_VECTOR, WINDOW = "row", "vector", "art_vector", "art_window"
GROUP_ROWS = 8192  # rows that are written, and later read, at a time: 17 MB of 512 float32 numbers


@dataclass(frozen=True)
class ParquetResult:
    """What was written. columns are those of the metadata. vectors says whether those of the art are there too."""
    rows: int
    vectors: str
    dimension: int
    columns: int
    bytes: int


def write_parquet(index_dir: Path, target: Path, precision: str = "float32") -> ParquetResult:
    """Write the file. Its columns: `row` (int32), the keys of mtg_meta.jsonl, and `vector`, a list of fixed size. Also
    `art_vector`, if the index has vectors of cards and of their art. precision is one of PRECISIONS: float16 halves the
    file.

    The file's own metadata has the model, so that nobody compares vectors of two models. Raises SuiteError if pyarrow
    is missing, or if the index is not complete.
    """
    parquet = _parquet()
    import pyarrow as pa

    manifest = load_manifest(index_dir)
    verify(index_dir, manifest, (META,))
    vectors = open_vectors(index_dir, manifest, region_of(manifest))
    columns = {VECTOR: vectors}
    if ART_EMBEDDINGS in manifest["outputs"]:
        columns[ART_VECTOR] = open_vectors(index_dir, manifest, ART)
    described = _metadata(index_dir / META)
    rows, dimension = vectors.shape
    require_same_rows(rows, described.num_rows)
    numbers = pa.float16() if precision == "float16" else pa.float32()
    schema = pa.schema([pa.field(ROW, pa.int32()), *described.schema,
                        *(pa.field(name, pa.list_(numbers, dimension)) for name in columns)], _origin(manifest))
    remove_leftovers(target.parent)
    with disk_space(lambda: float(len(columns) * vectors.nbytes + described.nbytes)), atomic_file(target) as file, \
            parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for start in range(0, rows, GROUP_ROWS):
            part = described.slice(start, GROUP_ROWS)
            lists = []
            for stored in columns.values():
                flat = np.asarray(stored[start:start + GROUP_ROWS], np.dtype(precision)).ravel()
                lists.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, numbers), dimension))
                release_pages(stored)
            table = [pa.array(np.arange(start, start + part.num_rows, dtype=np.int32)), *part.columns, *lists]
            writer.write_table(pa.table(table, schema=schema), GROUP_ROWS)
    return ParquetResult(rows, "a vector" if len(columns) == 1 else "vectors of the card and of the art",
                         dimension, described.num_columns, target.stat().st_size)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise SuiteError("Configuration Error", "Parquet files need the package pyarrow", error,
                         "pip install pyarrow") from error
    return pyarrow.parquet


def _metadata(path: Path) -> pyarrow.Table:
    """The lines as columns."""
    import pyarrow as pa
    from pyarrow import json as reader

    # All at a time: the types of the first block would hold for the next ones.
    block = reader.ReadOptions(block_size=max(1, path.stat().st_size))
    schema = pa.schema(map(_known_type, reader.read_json(path, block).schema))
    return reader.read_json(path, block, reader.ParseOptions(explicit_schema=schema))


def _known_type(field: pyarrow.Field) -> pyarrow.Field:
    """The field as text, if it has no value in any line, or if pyarrow takes its texts for times. The window of the art
    is a list of numbers, also where no card has one."""
    import pyarrow as pa

    if field.name == WINDOW:
        return field.with_type(pa.list_(pa.float64()))
    if pa.types.is_null(field.type):
        return field.with_type(pa.string())
    if pa.types.is_list(field.type) and pa.types.is_null(field.type.value_type):
        return field.with_type(pa.list_(pa.string()))
    return field.with_type(pa.string()) if pa.types.is_timestamp(field.type) else field


def _origin(manifest: dict[str, Any]) -> dict[str, str]:
    """What the file says of itself."""
    built = manifest["parameters"]
    return {"mtg-image-db": json.dumps({
        "version": __version__, "model": built["model"], "pretrained": built["pretrained"], "fit": built["fit"],
        "size": built["target_size"], "region": region_of(manifest), "model_fingerprint": manifest["model_fingerprint"],
        "metric": "cosine: the vectors have norm 1"})}
