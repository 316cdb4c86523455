"""scripts/validate_cache.py: every broken file found, and nothing else touched."""
from __future__ import annotations

import json
import os

import pytest
from conftest import assert_three_lines

SCRIPT = "scripts/validate_cache.py"
BROKEN = {"empty": lambda data: b"", "html": lambda data: b"<!doctype html><title>502</title>",
          "half": lambda data: data[:len(data) // 2], "text": lambda data: b"not a picture",
          "cut at the end": lambda data: data[:-200]}


@pytest.fixture
def broken(built):
    """A cache with one file of each kind of damage; returns (workspace, their names)."""
    names = []
    for path, damage in zip(built.pictures(), BROKEN.values(), strict=False):
        path.write_bytes(damage(path.read_bytes()))
        names.append(path.name)
    return built, set(names)


def test_a_whole_cache_is_exit_0(built):
    done = built.run(SCRIPT, "--report", "report.json")
    assert done.stdout == "" and "53 of 53 pictures valid (100.0%)" in done.stderr
    report = json.loads((built.path / "report.json").read_text())
    assert set(report) == {"version", "timestamp", "cache_directory", "total_files", "valid_files", "invalid_files",
                           "failures"}
    assert (report["total_files"], report["valid_files"], report["invalid_files"]) == (53, 53, 0)


@pytest.mark.fault("no-picture")
def test_every_broken_file_is_found_and_none_deleted_unasked(broken):
    space, names = broken
    before = {path.name: path.read_bytes() for path in space.pictures()}
    done = space.run(SCRIPT, "--report", "report.json", "--workers", 3, code=1)
    report = json.loads((space.path / "report.json").read_text())
    assert {failure["filename"] for failure in report["failures"]} == names
    assert all(failure["reason"] and failure["size_bytes"] == len(before[failure["filename"]])
               for failure in report["failures"])
    assert len(done.stdout.splitlines()) == len(names)
    assert before == {path.name: path.read_bytes() for path in space.pictures()}


def test_fix_deletes_exactly_the_broken_files(broken):
    space, names = broken
    before = {path.name for path in space.pictures()}
    space.run(SCRIPT, "--fix", code=1)
    assert {path.name for path in space.pictures()} == before - names
    space.run(SCRIPT, code=0)


def test_prune_deletes_what_no_snapshot_refers_to(built):
    stranger = built.cache / f"{'0' * 40}.jpg"
    leftover = built.cache / ".x.jpg.elsewhere-1-2.part"
    mine = built.cache / "notes.txt"
    for path in (stranger, leftover, mine):
        path.write_bytes(built.pictures()[0].read_bytes())
    young = built.cache / "bulk" / "all_cards.jsonl.gz.0.part"  # a running download's
    young.write_bytes(b"x")
    os.utime(leftover, (0, 0))
    done = built.run(SCRIPT, "--prune")
    assert "2 pruned" in done.stderr and young.exists()
    assert not stranger.exists() and not leftover.exists() and mine.exists() and len(built.pictures()) == 53


@pytest.mark.fault("other-files")
def test_only_files_of_the_cache_are_ever_deleted(built):
    """A photo too large, a broken one and a picture of another tool lie in the cache: they are named, and stay."""
    mine = {"my photo.jpg": b"not a picture", "IMG_0501.webp": b"", "other.jsonl.gz.part": b"x"}
    for name, data in mine.items():
        (built.cache / name).write_bytes(data)
    tools_own = built.cache / "bulk" / "other.part"
    tools_own.write_bytes(b"x")
    os.utime(tools_own, (0, 0))
    stale = built.cache / "bulk" / f"all_cards.jsonl.gz.{'0' * 12}.part"
    stale.write_bytes(b"x")
    os.utime(stale, (0, 0))
    done = built.run(SCRIPT, "--fix", "--prune")
    assert "no download wrote them: IMG_0501.webp, my photo.jpg" in done.stderr
    assert {name: (built.cache / name).read_bytes() for name in mine} == mine
    assert tools_own.exists() and not stale.exists() and "1 pruned" in done.stderr


def test_prune_without_a_snapshot_deletes_nothing(built):
    for path in (built.cache / "bulk").iterdir():
        path.unlink()
    assert_three_lines(built.run(SCRIPT, "--prune", code=1).stderr, "Configuration Error")
    assert len(built.pictures()) == 53


def test_an_empty_cache_is_valid_and_has_no_percentage(tmp_path, workspace):
    workspace.cache.mkdir()
    assert "0 of 0 pictures valid (N/A)" in workspace.run(SCRIPT).stderr


@pytest.mark.fault("other-files")
def test_what_could_not_be_read_is_named_and_never_deleted(built, tmp_path):
    """A directory with the name of a picture, and good files that the system does not hand out."""
    folder = built.cache / f"{'1' * 40}.jpg"
    folder.mkdir()
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, pathlib\nreal = pathlib.Path.read_bytes\n"
        "def read_bytes(path):\n"
        "    if path.name[0] in '1234567890' and path.suffix == '.jpg':\n"
        "        raise OSError(errno.EMFILE, 'Too many open files')\n"
        "    return real(path)\n"
        "pathlib.Path.read_bytes = read_bytes\n")
    before = built.pictures()
    done = built.run(SCRIPT, "--fix", code=1, PYTHONPATH=str(tmp_path))
    assert "could not be read: Too many open files" in done.stdout and ", 0 deleted" in done.stderr
    assert built.pictures() == before and folder.is_dir()
