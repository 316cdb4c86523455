"""download_images.py against the mirror over HTTP: the protocol, the cache and its manifest."""
from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import FACES, ROOT, USABLE, image_requests, plain_cards, read_bulk, write_bulk
from PIL import Image

from mirror.drawn_cards import write_mirror
from mirror.faults import Fault
from mirror.scryfall_mirror import Mirror
from mtg_image_db import __version__
from mtg_image_db.artefacts import cache_name
from mtg_image_db.scryfall.faces import read_faces


def age_snapshot(workspace, hours: int = 25) -> None:
    """Pretend that the bulk snapshot was checked that long ago."""
    path = workspace.cache / "bulk" / "unique_artwork.json"
    known = json.loads(path.read_text())
    known["checked_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600 * hours))
    path.write_text(json.dumps(known))


@pytest.mark.fault("clock")
def test_a_snapshot_checked_while_the_clock_was_ahead_is_checked_again(workspace, mirror):
    workspace.download("--limit", 1)
    age_snapshot(workspace, hours=-24 * 400)
    workspace.download("--limit", 1)
    assert [request.status for request in mirror.requests if request.path == "/bulk-data/unique_artwork"] == [200, 304]


def test_every_usable_face_is_cached_under_the_hash_of_its_url(workspace, mirror):
    workspace.download()
    faces = read_faces(workspace.cache / "bulk" / "unique_artwork.jsonl.gz")
    urls = [face.image_url for face in faces if not face.skip_reason]
    expected = {hashlib.sha1(url.encode()).hexdigest() + ".jpg" for url in urls}
    assert {path.name for path in workspace.pictures()} == expected
    assert len(image_requests(mirror)) == len(expected) == USABLE
    for path in workspace.pictures():
        Image.open(path).load()
    done = workspace.download_statistics()
    assert (done["faces"], done["downloaded"], done["failed"], done["placeholders_skipped"]) == (FACES, USABLE, 0, 2)
    assert done["bytes"] == sum(path.stat().st_size for path in workspace.pictures())
    manifest = json.loads((workspace.out / "download_manifest.json").read_text())
    assert manifest["source"]["updated_at"].startswith("20") and manifest["parameters"]["workers"] == 16
    assert (workspace.out / "download_failures.jsonl").read_bytes() == b""
    assert not (workspace.out / "download_checkpoint.json").exists()
    assert not [path for path in workspace.cache.rglob("*") if path.suffix == ".part"]


def test_the_api_gets_a_proper_agent_and_an_accept_header(workspace, mirror):
    workspace.download("--limit", 1)
    api = [request for request in mirror.requests if request.path.startswith("/bulk-data")]
    assert [request.path for request in api] == ["/bulk-data/unique_artwork", "/bulk-data/default_cards"]
    for request in api:
        assert request.status == 200
        assert request.headers["User-Agent"] == f"mtg-image-db/{__version__}" and request.headers["Accept"]


@pytest.mark.parametrize("flags, variable, contact", [
    ([], "", ""), ([], "me@example.org", " (me@example.org)"),
    (["--contact", "+https://example.org"], "me@example.org", " (+https://example.org)")])
def test_the_agent_carries_the_contact_that_the_user_gives(workspace, mirror, flags, variable, contact):
    workspace.run("download_images.py", "--limit", 1, *flags, MTG_IMAGE_DB_CONTACT=variable)
    assert {request.headers["User-Agent"] for request in mirror.requests} == {f"mtg-image-db/{__version__}{contact}"}


def test_a_second_run_asks_for_nothing(workspace, mirror):
    workspace.download()
    before = len(mirror.requests)
    assert "Nothing to download" in workspace.download().stderr
    assert len(mirror.requests) == before
    assert workspace.download_statistics()["cached"] == USABLE


def test_a_day_old_snapshot_is_asked_for_conditionally(workspace, mirror):
    workspace.download("--limit", 1)
    age_snapshot(workspace)
    before = len(mirror.requests)
    workspace.download("--limit", 1)
    again, = mirror.requests[before:]
    assert again.status == 304 and again.headers["If-None-Match"]
    workspace.download("--limit", 1)
    assert len(mirror.requests) == before + 1, "the 304 counts as a check"


def test_a_changed_bulk_file_is_fetched_after_a_day(own_mirror, workspace):
    workspace.api_url = own_mirror.url
    workspace.download()
    write_mirror(own_mirror.root, 45)
    assert workspace.download_statistics()["faces"] == FACES
    workspace.download()
    assert workspace.download_statistics()["faces"] == FACES, "within a day the snapshot stands"
    age_snapshot(workspace)
    workspace.download()
    done = workspace.download_statistics()
    assert (done["faces"], done["downloaded"]) == (FACES + 5, 5)


def test_the_old_form_of_the_bulk_descriptor_works_too(drawn, workspace):
    with Mirror(drawn, legacy=True) as mirror:
        workspace.api_url = mirror.url
        workspace.download()
    assert workspace.download_statistics()["downloaded"] == USABLE


def test_a_mirror_that_rewrites_hosts_works_too(drawn, workspace):
    with Mirror(drawn, rewrite_hosts=True) as mirror:
        workspace.api_url = mirror.url
        workspace.download("--limit", 5)
    assert workspace.download_statistics()["downloaded"] == 5


@pytest.mark.parametrize("form", ["lines", "array", "gzip"])
def test_a_bulk_file_of_ones_own(workspace, drawn, mirror, form):
    cards = read_bulk(drawn)[:6]
    path = write_bulk(workspace.path / "mine", cards)
    if form == "array":
        path.write_text(json.dumps(cards))
    elif form == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    workspace.download("--bulk-file", path)
    assert not [request for request in mirror.requests if "bulk-data" in request.path or ".jsonl" in request.path]
    usable = [face for face in read_faces(path) if not face.skip_reason]
    assert {path.name for path in workspace.pictures()} == {cache_name(face.image_url) for face in usable}


def test_dry_run_prints_four_figures_and_fetches_no_picture(workspace, mirror):
    done = workspace.download("--dry-run")
    assert done.stdout.splitlines()[:3] == [f"faces: {FACES}", "already cached: 0", f"to fetch: {USABLE}"]
    assert int(done.stdout.splitlines()[3].removeprefix("estimated bytes: ")) > 1_000_000
    assert not image_requests(mirror) and not workspace.pictures()


def test_image_size_chooses_the_key_and_counts_fallbacks(workspace, drawn, mirror):
    cards = plain_cards(drawn)[:4]
    for card in cards[:2]:
        del card["image_uris"]["grid"]
    path = write_bulk(workspace.path / "mine", cards)
    workspace.download("--bulk-file", path, "--image-size", "grid")
    keys = sorted(request.path.split("/")[1] for request in image_requests(mirror))
    assert keys.count("normal") >= 2 and "grid" in keys
    assert workspace.download_statistics()["other_image_size"] == keys.count("normal")
    assert {path.suffix for path in workspace.pictures()} == {".jpg", ".webp"}
    assert "in another size than grid" in workspace.download("--bulk-file", path, "--image-size", "grid").stderr


def test_placeholders_only_on_request(workspace):
    workspace.download("--include-placeholders")
    assert len(workspace.pictures()) == FACES


def test_one_picture_of_several_faces_is_fetched_once(workspace, drawn, mirror):
    card = plain_cards(drawn)[0]
    path = write_bulk(workspace.path / "mine", [{**card, "id": f"{card['id'][:-1]}{n}"} for n in range(5)])
    workspace.download("--bulk-file", path)
    assert len(image_requests(mirror)) == 1 and workspace.download_statistics()["shared_pictures"] == 4


def test_the_suggested_next_command_means_the_same_faces(workspace, drawn, mirror):
    path = write_bulk(workspace.path / "mine", plain_cards(drawn)[:3])
    done = workspace.download("--bulk-file", path, "--image-size", "small", "--limit", 2)
    command = done.stderr.splitlines()[-1].removeprefix("Next: python ").split()
    workspace.run(*command, "--model", "efficientnet-lite0")
    assert workspace.manifest()["statistics"]["successful_embeddings"] == 2


@pytest.mark.parametrize("descriptor", [
    {"checked_at": "yesterday"}, {"checked_at": 5}, {"updated_at": None}, {"bytes": "many"}, {"etag": 3}])
def test_a_damaged_descriptor_on_disk_is_no_obstacle(workspace, descriptor):
    workspace.download("--limit", 1)
    path = workspace.cache / "bulk" / "unique_artwork.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **descriptor}))
    workspace.download("--limit", 1)


def test_progress_is_plain_lines_without_a_terminal_and_a_bar_with_one(workspace, mirror):
    mirror.latency = 0.5
    done = workspace.download("--workers", 5)
    mirror.latency = 0.02
    assert "Downloading: " in done.stderr and "images/s" not in done.stdout and "\r" not in done.stderr
    for path in workspace.pictures():
        path.unlink()
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    subprocess.run(workspace.command("download_images.py", "--workers", 16), cwd=workspace.path,
                   env=workspace.environment(), stderr=child, check=True)
    os.close(child)
    shown = os.read(parent, 1 << 20).decode()
    assert "\r" in shown and "images/s" in shown


@pytest.mark.fault("bulk-damaged")
def test_an_interrupted_bulk_download_is_resumed_by_range(workspace, mirror):
    mirror.faults.append(Fault(r"\.jsonl\.gz", "short", times=2))
    workspace.download("--limit", 1)
    ranges = [request.headers.get("Range") for request in mirror.requests if ".jsonl.gz" in request.path]
    assert ranges[0] is None and ranges[1].startswith("bytes=") and ranges[1] != "bytes=0-"
    assert (workspace.cache / "bulk" / "unique_artwork.jsonl.gz").read_bytes() == \
        (Path(mirror.root) / "unique-artwork.jsonl.gz").read_bytes()


def test_the_next_command_can_be_pasted_into_a_shell(workspace):
    folder = "my cards (2024) Æther's"
    done = workspace.download("--limit", 3, "--cache", f"{folder}/image cache", "--out", f"{folder}/out")
    command = done.stderr.splitlines()[-1].removeprefix("Next: python ")
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT))}/{command} --model efficientnet-lite0"
    built = subprocess.run(line, shell=True, cwd=workspace.path, env=workspace.environment(), text=True,
                           capture_output=True, check=False)
    assert built.returncode == 0, built.stderr
    assert (workspace.path / folder / "out" / "build_manifest.json").exists()
