"""scripts/serve.py: what the server sends, what it refuses, and what it exports first."""
from __future__ import annotations

import gzip
import json
import shutil
import urllib.error
from urllib.parse import urlsplit

import pytest
from conftest import Workspace, assert_three_lines
from web_site import fetched, served


def test_the_server_packs_the_metadata_and_gives_nothing_else_away(site):
    plain, packed = fetched(f"{site.address}/meta.json"), fetched(f"{site.address}/meta.json", **{
        "Accept-Encoding": "gzip"})
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    body = packed.read()
    assert gzip.decompress(body) == plain.read() and len(body) < 0.4 * int(plain.headers["Content-Length"])
    unchanged = {"If-Modified-Since": plain.headers["Last-Modified"]}
    with pytest.raises(urllib.error.HTTPError, match="304"):
        fetched(f"{site.address}/embeddings.i8bin", **unchanged)
    for path in ("build_manifest.json", "mtg_meta.jsonl", "../README.md", "%2e%2e/README.md", "vendor", "vendor/",
                 "picture", "picture?../index_out/build_manifest.json", "picture?https://a.b/c.jpg"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(f"{site.address}/{path}")


def test_serving_without_an_index_or_on_a_taken_port_is_three_lines(site, tmp_path):
    empty = Workspace(tmp_path)
    assert_three_lines(empty.run("scripts/serve.py", code=3).stderr, "Configuration Error")
    taken = urlsplit(site.address).port
    done = site.workspace.run("scripts/serve.py", "--port", taken, code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "vectors of" not in done.stderr, "what is exported already is not exported again"
    assert_three_lines(site.workspace.run("scripts/serve.py", "--cache", "nowhere", code=3).stderr,
                       "Configuration Error")


def test_what_was_damaged_or_left_out_is_exported_again(site, tmp_path):
    """Without a cache, so without the model: that takes seconds."""
    work = Workspace(tmp_path / "work")
    shutil.copytree(site.workspace.out, work.out)
    for spoil in (lambda: (work.out / "embeddings.i8bin").write_bytes(b"short"),
                  lambda: (work.out / "embeddings.i8bin").write_bytes(bytes(53 * 1008)),
                  lambda: (work.out / "meta.json").unlink()):
        spoil()
        with served(work) as address:
            assert len(fetched(f"{address}/embeddings.i8bin").read()) == 53 * 1008
            assert len(json.loads(fetched(f"{address}/meta.json").read())["records"]) == 53
    assert not (work.out / "model.onnx").exists(), "of an export that is no longer there"
