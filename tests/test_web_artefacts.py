"""The browser's files: what the export writes, what the page reads, and what it says of damaged ones."""
from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from conftest import Workspace, assert_three_lines
from web_site import alert, as_served

OPENS = "/alone"


def meta_with(**changes: object):
    return lambda data: json.dumps(json.loads(data) | changes).encode()


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("name, change, words", [
    ("embeddings.i8bin", lambda data: data[:-5], "embeddings.i8bin has 53419 bytes, but meta.json says 53424"),
    ("embeddings.i8bin", lambda data: data + b"more", "has 53428 bytes, but meta.json says 53424"),
    ("embeddings.i8bin", lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:], "is damaged or of another"),
    ("embeddings.i8bin", None, "embeddings.i8bin is not there. Run python export_for_browser.py first."),
    ("meta.json", None, "meta.json is not there"),
    ("meta.json", lambda data: data[:-100], "meta.json is damaged"),
    ("meta.json", lambda data: b"<html>not here</html>", "meta.json is damaged"),
    ("meta.json", meta_with(version="3.0"), "meta.json has version 3.0; this page reads 1.0 to 2.1"),
    ("meta.json", meta_with(shape=[54, 1008]), "describes 53 cards, but its shape says 54"),
    ("meta.json", meta_with(shape=None), "has no shape"),
    ("meta.json", meta_with(quantization={"dtype": "uint8", "scale_factor": 127}), "dtype is uint8"),
])
def test_a_damaged_artefact_is_said_in_words(tab, site, name, change, words):
    data = (site.workspace.out / name).read_bytes()
    as_served(tab.page, name, change(data) if change else b"", 200 if change else 404)
    tab.page.goto(site.address)
    assert words in alert(tab)
    assert tab.page.locator("#loading").is_hidden() and tab.page.locator("main > *").count() == 0
    tab.shown("damaged")
    tab.errors[:] = [error for error in tab.errors if change or "404" not in error]


def test_columns_say_what_the_records_say(tab, site, tmp_path):
    site.workspace.run("export_for_browser.py", "--output-dir", tmp_path, "--compact")
    compact = (tmp_path / "meta.json").read_bytes()
    assert len(compact) < 0.45 * (site.workspace.out / "meta.json").stat().st_size
    assert json.loads(compact)["version"] == "2.0", "a client of version 1.0 refuses it"
    as_served(tab.page, "meta.json", compact)
    records = tab.page.evaluate("""async () => {
        const { readMeta } = await import("./index/artefacts.js");
        const { rows, record } = await readMeta(new URL("./", location.href));
        return Array.from({ length: rows }, (_, row) => record(row)); }""")
    assert records == site.meta
    tab.page.goto(site.address)
    tab.page.get_by_role("searchbox").fill(site.meta[0]["name"])
    tab.heading("1 card")
    assert tab.names() == [site.meta[0]["name"]]
    broken = json.loads(compact)
    broken["columns"]["name"]["values"].pop()
    as_served(tab.page, "meta.json", json.dumps(broken).encode())
    tab.page.reload()
    assert "describes 0 cards, but its shape says 53" in alert(tab)


def test_few_and_equal_values_are_written_in_columns_too(tab):
    """A prefix as long as the value, three columns with the same values, and none at all."""
    from mtg_image_db.browser import metadata

    record = {"name": "lea", "scryfall_id": "b4", "face_id": "b4", "set": "lea", "collector_number": "lea",
              "image_url": "https://c/b/4/b4.jpg?1", "card_url": "https://c/b/4/b4.jpg?1", "illustration_id": "lea"}
    for records in ([record], [record, record | {"scryfall_id": "c5", "image_url": "https://c/b/4/c5.jpg?1"}],
                    [record, record | {"illustration_id": None, "card_url": ""}]):
        columns = b"".join(metadata.columns([json.dumps(one).encode() for one in records]))
        head = {"version": "2.0", "quantization": {"dtype": "int8", "scale_factor": 127}, "shape": [len(records), 8]}
        as_served(tab.page, "meta.json", json.dumps(head | {"columns": json.loads(columns)}).encode())
        assert tab.page.evaluate("""async () => {
            const { readMeta } = await import("./index/artefacts.js");
            const { rows, record } = await readMeta(new URL("./", location.href));
            return Array.from({ length: rows }, (_, row) => record(row)); }""") == records


def test_the_export_with_the_model_only_adds_to_what_clients_check(site, tmp_path):
    """What the web client of before this page checks: version, dtype, scale, byte length, number of records."""
    site.workspace.run("export_for_browser.py", "--output-dir", tmp_path)
    without = json.loads((tmp_path / "meta.json").read_bytes())
    with_model = json.loads((site.workspace.out / "meta.json").read_bytes())
    assert {key: with_model[key] for key in without} == without
    for folder, meta in ((tmp_path, without), (site.workspace.out, with_model)):
        rows, dimension = meta["shape"]
        assert meta["version"] == "1.0" and meta["quantization"]["dtype"] == "int8"
        assert meta["quantization"]["scale_factor"] == 127 and len(meta["records"]) == rows
        assert (folder / "embeddings.i8bin").stat().st_size == rows * dimension
    recognition = with_model["recognition"]
    assert recognition["networks"].keys() == {"corners", "refiner"}
    for one in (*with_model["embedding"]["models"], recognition["hashes"], *recognition["networks"].values()):
        data = (site.workspace.out / one["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    assert not (tmp_path / "model.onnx").exists()


def test_a_model_that_is_not_the_indexs_is_refused(site, tmp_path):
    work = Workspace(tmp_path / "work")
    shutil.copytree(site.workspace.path, work.path)
    vectors = np.load(work.out / "mtg_embeddings.npy")
    np.save(work.out / "mtg_embeddings.npy", vectors[::-1])
    manifest, path = work.manifest(), work.out / "mtg_embeddings.npy"
    manifest["outputs"][path.name] = {"bytes": path.stat().st_size,
                                      "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (work.out / "build_manifest.json").write_text(json.dumps(manifest))
    done = work.run("export_for_browser.py", "--with-model", "--output-dir", tmp_path / "web", code=1)
    assert_three_lines(done.stderr, "Build Error")
    assert "does not give the index's vectors" in done.stderr and not (tmp_path / "web").exists()
    done = work.run("export_for_browser.py", "--with-model", "--cache", tmp_path / "none", code=3)
    assert_three_lines(done.stderr, "Configuration Error")
