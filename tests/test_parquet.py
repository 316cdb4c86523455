"""The index as a Parquet file: what DuckDB and pandas read in it is what the index has."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines

from mtg_image_db.index import parquet_file


def written(space: Workspace, *flags: object) -> None:
    done = space.run("scripts/export_vectors.py", "--index-dir", space.out, *flags)
    assert done.stdout == "" and "Wrote 53 rows" in done.stderr, done.stderr


@pytest.mark.parametrize("numbers, tolerance", [("float32", 0), ("float16", 1e-3)])
def test_pandas_reads_the_metadata_and_the_vectors(finished, tmp_path, numbers, tolerance):
    import pandas
    import pyarrow.parquet

    path = tmp_path / "cards.parquet"
    written(finished, "--parquet", path, "--numbers", numbers)
    frame = pandas.read_parquet(path)
    records = finished.lines("mtg_meta.jsonl")
    assert list(frame["row"]) == list(range(len(records)))
    for key in ("name", "face_id", "set", "collector_number", "released_at", "artist", "illustration_id"):
        assert [value if isinstance(value, str) else None for value in frame[key]] == \
            [record.get(key) for record in records], key
    assert [list(value) for value in frame["colors"]] == [record["colors"] for record in records]
    vectors = np.stack(list(frame["vector"]))
    assert vectors.dtype == numbers
    assert np.abs(vectors.astype(np.float32) - np.load(finished.out / "mtg_embeddings.npy")).max() <= tolerance
    schema = pyarrow.parquet.read_schema(path)
    assert schema.field("vector").type.list_size == vectors.shape[1]
    origin = json.loads(schema.metadata[b"mtg-image-db"])
    assert origin["model"] == "efficientnet-lite0" and origin["model_fingerprint"] == \
        finished.manifest()["model_fingerprint"]


def test_duckdb_finds_the_nearest_cards(finished, tmp_path):
    import duckdb

    path = tmp_path / "cards.parquet"
    written(finished, "--parquet", path)
    vectors, row = np.load(finished.out / "mtg_embeddings.npy"), 5
    dimension = vectors.shape[1]
    found = duckdb.execute(
        f"SELECT row, name, array_inner_product(vector::FLOAT[{dimension}], ?::FLOAT[{dimension}]) AS cosine "
        f"FROM '{path}' ORDER BY cosine DESC LIMIT 5", [vectors[row].tolist()]).fetchall()
    cosines = vectors @ vectors[row]
    assert [one[0] for one in found] == np.argsort(-cosines, kind="stable")[:5].tolist()
    assert found[0][1] == finished.lines("mtg_meta.jsonl")[row]["name"]
    assert np.allclose([one[2] for one in found], np.sort(cosines)[::-1][:5], atol=1e-5)


def test_groups_of_rows_make_one_file(finished, tmp_path, monkeypatch):
    import pandas

    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 10)
    parquet_file.write_parquet(finished.out, tmp_path / "small.parquet")
    frame = pandas.read_parquet(tmp_path / "small.parquet")
    assert list(frame["row"]) == list(range(53))
    assert np.array_equal(np.stack(list(frame["vector"])), np.load(finished.out / "mtg_embeddings.npy"))


def test_what_is_missing_is_said_and_no_file_is_torn(finished, tmp_path):
    space = Workspace(tmp_path / "work")
    shutil.copytree(finished.out, space.out)
    kept = space.path / "cards.parquet"
    kept.write_bytes(b"of before")
    (space.out / "mtg_meta.jsonl").write_text("{}\n")
    assert_three_lines(space.run("scripts/export_vectors.py", code=1).stderr, "Validation Error")
    assert kept.read_bytes() == b"of before"
    assert_three_lines(space.run("scripts/export_vectors.py", "--parquet", "none/x", "--numbers", "int8",
                                 code=1).stderr, "Invalid Arguments")
    code = "import sys; sys.modules['pyarrow'] = None; sys.argv = ['export_vectors.py']; " \
           "import runpy; runpy.run_path('" + str(ROOT / "scripts/export_vectors.py") + "', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=finished.path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (finished.path / "cards.parquet").exists()
    assert_three_lines(done.stderr, "Configuration Error")
    assert "pip install pyarrow" in done.stderr
