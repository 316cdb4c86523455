"""scripts/serve.py: what the server sends, what it refuses, and what it exports first."""
from __future__ import annotations

import gzip
import itertools
import json
import re
import shutil
import signal
import urllib.error
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Workspace, assert_three_lines
from web_site import fetched, served

from mtg_image_db.browser.addresses import network_name


def test_the_server_packs_the_metadata_and_gives_nothing_else_away(site):
    plain, packed = fetched(f"{site.address}/meta.json"), fetched(f"{site.address}/meta.json", **{
        "Accept-Encoding": "gzip"})
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    body = packed.read()
    assert gzip.decompress(body) == plain.read() and len(body) < 0.4 * int(plain.headers["Content-Length"])
    vectors = fetched(f"{site.address}/embeddings.i8bin")
    with pytest.raises(urllib.error.HTTPError, match="304"):
        fetched(f"{site.address}/embeddings.i8bin", **{"If-None-Match": vectors.headers["ETag"]})
    later = fetched(f"{site.address}/embeddings.i8bin", **{"If-Modified-Since": formatdate(usegmt=True)})
    assert later.status == 200, "a file that a copy made older may replace a newer one"
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
    assert (work.out / "model.onnx").exists() and not (work.out / "hashes.bin").exists(), "the index has its model"


@pytest.mark.fault("read-only")
def test_an_index_that_cannot_be_written_is_exported_elsewhere(built, tmp_path, monkeypatch):
    """os.access says what it would say on a read-only mount, which tests/test_limits.py makes for the other scripts."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nreal = os.access\n"
        "os.access = lambda path, mode, **more: 'index_out' not in str(path) and real(path, mode, **more)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    shutil.rmtree(built.cache)  # without the model, whose export takes seconds
    before = {path: path.stat().st_mtime_ns for path in built.out.iterdir()}
    server = built.start("scripts/serve.py", "--port", 0)
    said = "".join(itertools.takewhile(lambda line: "localhost" not in line, server.stderr))
    folder = re.search(r"cannot be written: the page's files are in (\S+) until", said)
    files = sorted(path.name for path in Path(folder[1]).iterdir()) if folder else []
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    assert files == ["embeddings.i8bin", "meta.json", "meta.json.gz"]
    assert not Path(folder[1]).exists() and {path: path.stat().st_mtime_ns for path in built.out.iterdir()} == before


def test_other_devices_reach_the_page_only_where_it_is_asked_for(site):
    name = network_name() if network_name() != "localhost" else "127.0.0.2"
    server = site.workspace.start("scripts/serve.py", "--port", 0, "--host", "0.0.0.0")
    shown = next(line for line in server.stderr if line.startswith("Other devices"))
    port = re.search(r"http://\S+:(\d+)\. Anyone", shown)[1]
    assert fetched(f"http://{name}:{port}/").status == 200
    server.send_signal(signal.SIGINT)
    assert server.wait(20) == 0
    with served(site.workspace) as address, pytest.raises(urllib.error.URLError):
        fetched(f"http://{name}:{urlsplit(address).port}/")
