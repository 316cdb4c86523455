"""A disk that fills up, for real: a small file system in memory where mounting one is allowed.

Where it is not, a limit on the size of a file stands for it in tests/test_build.py and the last test here.
"""
from __future__ import annotations

import errno
import json
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import USABLE, Workspace, assert_three_lines
from PIL import Image

from mtg_image_db.console import SuiteError

PAGE = 4096
pytestmark = pytest.mark.fault("disk-full")


class SmallDisk:
    """A file system of a size that can be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)

    def leave_free(self, size: int) -> None:
        usage = shutil.disk_usage(self.path)
        self.resize(usage.used + size)


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounted = shutil.which("mount") and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)],
                                                       capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("mounting a file system is not allowed here; tests with a limit on file sizes stand for this one")
    yield SmallDisk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def assert_disk_full(stderr: str, named: str) -> None:
    assert_three_lines(stderr, "Disk Error")
    for words in ("the disk is full", named, "MB are needed", "MB are free"):
        assert words in stderr, stderr


def test_a_download_stops_at_once_and_continues_when_there_is_room(workspace, mirror, disk):
    mirror.latency = 0.02
    workspace.download("--limit", 1)
    shutil.move(workspace.cache, disk.path / "cache")
    disk.leave_free(300_000)
    done = workspace.download("--cache", disk.path / "cache", code=1)
    assert_disk_full(done.stderr, str(disk.path / "cache"))
    have = [path for path in (disk.path / "cache").iterdir() if path.suffix == ".jpg"]
    assert 1 < len(have) < USABLE
    for path in have:
        Image.open(path).load()
    assert not list((disk.path / "cache").glob(".*.part")), "what did not fit is gone again"
    disk.resize(64 << 20)
    workspace.download("--cache", disk.path / "cache")
    done = workspace.download_statistics()
    assert (done["cached"], done["downloaded"]) == (len(have), USABLE - len(have))


def test_a_plan_larger_than_the_disk_says_so_before_it_starts(workspace, disk):
    workspace.download("--limit", 1)
    shutil.move(workspace.cache, disk.path / "cache")
    disk.leave_free(2_000_000)
    assert f"only 2.0 MB free in {disk.path / 'cache'}" in \
        workspace.download("--dry-run", "--cache", disk.path / "cache").stderr


def test_a_bulk_file_that_does_not_fit_is_a_disk_error(workspace, disk):
    disk.leave_free(PAGE)
    done = workspace.download("--cache", disk.path / "cache", "--limit", 1, code=1)
    assert_disk_full(done.stderr, str(disk.path / "cache" / "bulk" / "unique_artwork.jsonl.gz"))
    disk.resize(64 << 20)
    workspace.download("--cache", disk.path / "cache", "--limit", 1)


WRITTEN = ("mtg_embeddings.npy", "mtg_pictures.npy", "kept_indices.npy", "rejected.jsonl", "mtg_meta.jsonl",
           "mtg_cards.faiss", "build_manifest.json")  # in this order. mtg_printings.jsonl comes before the last
NO_PRINTINGS = ["--printings", "none"]


@pytest.mark.parametrize("named, flags", [("checkpoint_rows.bin", ["--rebuild"]), ("mtg_printings.jsonl", []),
                                          *((name, NO_PRINTINGS) for name in WRITTEN[::3])])
def test_a_build_keeps_the_old_artefacts_and_continues_when_there_is_room(built, disk, named, flags):
    """There is just enough room beside the old build for what is written before the named file."""
    shutil.copytree(built.out, disk.path / "out")
    space, fits = Workspace(built.path), WRITTEN[:WRITTEN.index(named)] if named in WRITTEN else ()
    fits = WRITTEN[:-1] if named == "mtg_printings.jsonl" else fits
    disk.leave_free(sum(-(-(built.out / name).stat().st_size // PAGE) for name in fits) * PAGE or PAGE)
    before = {path.name: path.read_bytes() for path in (disk.path / "out").iterdir()}
    done = space.build("--out", disk.path / "out", *flags, code=1)
    assert_disk_full(done.stderr, named)
    for name in json.loads(before["build_manifest.json"])["outputs"]:
        assert (disk.path / "out" / name).read_bytes() == before[name], name
    space.query(space.pictures()[0], "--index-dir", disk.path / "out")
    disk.resize(64 << 20)
    space.build("--out", disk.path / "out", *flags)
    space.query(space.pictures()[0], "--index-dir", disk.path / "out")
    assert not [path for path in (disk.path / "out").iterdir() if path.suffix in (".next", ".part")]


def test_an_export_keeps_the_old_files(built, disk):
    built.run("export_for_browser.py", "--output-dir", disk.path / "web")
    before = {path.name: path.read_bytes() for path in (disk.path / "web").iterdir()}
    disk.leave_free(PAGE)
    done = built.run("export_for_browser.py", "--output-dir", disk.path / "web", code=1)
    assert_disk_full(done.stderr, str(disk.path / "web"))
    assert before == {path.name: path.read_bytes() for path in (disk.path / "web").iterdir()}


def test_a_download_stops_at_a_limit_on_file_sizes(workspace, mirror):
    """As the first test, where nothing can be mounted."""
    limit = 12_000
    done = subprocess.run(workspace.command("download_images.py"), cwd=workspace.path, env=workspace.environment(),
                          capture_output=True, text=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert_three_lines(done.stderr, "Disk Error")
    assert ".jpg" in done.stderr and not list(workspace.cache.glob(".*.part"))
    workspace.download()
    assert len(workspace.pictures()) == USABLE


def test_no_worker_goes_on_where_the_checkpoint_meets_a_full_disk(workspace, mirror, monkeypatch):
    """In a program: the download ends with the error, and nothing is fetched behind its back."""
    from mtg_image_db.common import NetworkOptions
    from mtg_image_db.scryfall import download, image_cache
    from mtg_image_db.scryfall.faces import Source

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(image_cache, "CHECKPOINT_SECONDS", 0.3)
    monkeypatch.setattr(image_cache, "write_json", full)
    mirror.latency = 0.1
    options = download.DownloadOptions(Source(cache=workspace.cache), workspace.out, NetworkOptions(workers=2),
                                       mirror.url)
    with pytest.raises(SuiteError, match="the disk is full"):
        download.download(options)
    have = len(workspace.pictures())
    time.sleep(0.5)
    assert have == len(workspace.pictures()) < USABLE
