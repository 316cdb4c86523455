"""The machine's limits: few open files, no locks, folders that cannot be written, containers that share a folder."""
from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, USABLE, Workspace, assert_three_lines

from mtg_image_db import leftovers
from mtg_image_db.leftovers import LEFTOVER_SECONDS, remove_leftovers, temporary_path
from mtg_image_db.locks import HeldElsewhere, hold
from mtg_image_db.threads import affordable

NO_FLOCK = """\
import errno, fcntl, os
code = getattr(errno, os.environ["FLOCK_ERRNO"])
def flock(*_): raise OSError(code, os.strerror(code))
fcntl.flock = flock
"""
NO_FSYNC = """\
import errno, os, stat
real = os.fsync
def fsync(descriptor):
    mode = os.fstat(descriptor).st_mode
    raise OSError(errno.EIO if stat.S_ISDIR(mode) else errno.EINVAL, "not here")
os.fsync = fsync
"""


def site(folder: Path, code: str) -> str:
    """A folder for PYTHONPATH whose sitecustomize.py changes the machine that a script sees."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return str(folder)


# Open files

@pytest.mark.fault("open-files")
@pytest.mark.parametrize("limit", [128, 48])
def test_few_open_files_mean_fewer_workers(workspace, mirror, limit):
    mirror.latency = 0.2  # so that the workers are busy at the same time
    command = workspace.command("download_images.py", "--workers", 128)
    done = subprocess.run(["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *command], cwd=workspace.path,
                          env=workspace.environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("--workers 128 is lowered to ") == 1
    assert workspace.download_statistics()["downloaded"] == USABLE


@pytest.mark.fault("open-files")
def test_a_soft_limit_is_raised_before_workers_are_given_up():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
        assert affordable(40, 4) == 40
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 40 * 4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Locks

@pytest.mark.fault("no-locks")
def test_a_file_system_without_locks_is_said_once_for_a_folder(workspace, tmp_path):
    environment = {"PYTHONPATH": site(tmp_path / "site", NO_FLOCK), "FLOCK_ERRNO": "ENOLCK"}
    done = workspace.run("download_images.py", "--limit", 3, **environment)
    assert done.stderr.count("cannot lock files") == 1 and "image_cache/bulk" in done.stderr
    assert "--no-lock" in done.stderr and len(workspace.pictures()) == 3
    built = workspace.run("build_embeddings.py", "--model", "efficientnet-lite0", "--limit", 3, **environment)
    assert built.stderr.count("cannot lock files") == 1
    for script, *flags in (["build_embeddings.py", "--limit", 2], ["download_images.py", "--limit", 4]):
        assert "lock files" not in workspace.run(script, *flags, "--no-lock", **environment).stderr


@pytest.mark.fault("no-locks")
@pytest.mark.parametrize("reason", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"])
def test_every_way_to_say_that_there_are_no_locks_is_known(tmp_path, monkeypatch, capsys, reason):
    def flock(*_: object) -> None:
        raise OSError(getattr(errno, reason), "not here")

    monkeypatch.setattr("fcntl.flock", flock)
    with hold(tmp_path / "lock"), hold(tmp_path / "other"):
        pass
    assert capsys.readouterr().err.count("cannot lock files (not here)") == 1


@pytest.mark.fault("two-at-once")
def test_who_waits_for_another_run_says_for_whom(workspace):
    bulk = workspace.cache / "bulk"
    bulk.mkdir(parents=True)
    with hold(bulk / "unique_artwork.jsonl.lock"):
        process = workspace.start("download_images.py", "--limit", 2)
        overdue = threading.Timer(20, process.kill)  # without the line, the test would wait as long as the run does
        overdue.start()
        line = process.stderr.readline()
        overdue.cancel()
    assert process.wait(60) == 0
    assert line.startswith(f"Waiting for process {os.getpid()} on ") and "unique_artwork.jsonl.lock" in line


@pytest.mark.fault("two-at-once")
def test_a_build_names_the_one_that_holds_the_folder(built):
    with hold(built.out / ".build.lock"):
        done = built.build(code=1)
    assert_three_lines(done.stderr, "Build Error")
    assert f"process {os.getpid()} on " in done.stderr and ".build.lock" in done.stderr


def test_a_lock_is_free_again_after_its_block(tmp_path):
    for _ in range(2):
        with hold(tmp_path / "lock"), pytest.raises(HeldElsewhere, match="process"), hold(tmp_path / "lock"):
            pass


# Folders that cannot be written

def read_only(work: Path, command: list[str]) -> list[str]:
    """The command, in a mount namespace of its own in which the folder is read-only."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mount, str(work), *command]


@pytest.fixture
def sealed(built) -> Workspace:
    """A copy of the finished workspace that read_only can mount."""
    if subprocess.run(read_only(built.path, ["true"]), capture_output=True, check=False).returncode:
        pytest.skip("a read-only mount needs Linux and root")
    return built


def run_sealed(sealed: Workspace, script: str, *flags: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(read_only(sealed.path, sealed.command(script, *flags)), env=sealed.environment(),
                          capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.fault("read-only")
@pytest.mark.parametrize("old", [False, True])
def test_a_dry_run_and_a_check_only_read(sealed, old):
    known = sealed.cache / "bulk" / "unique_artwork.json"
    mirror_url = json.loads(known.read_text())["api_url"]
    if old:
        known.write_text(known.read_text().replace('"checked_at": "20', '"checked_at": "19'))
    done = run_sealed(sealed, "download_images.py", "--dry-run", "--api-url", mirror_url)
    assert done.returncode == 0 and f"already cached: {USABLE}\n" in done.stdout, done.stderr
    assert ("is used as it is" in done.stderr) == old
    assert run_sealed(sealed, "scripts/validate_cache.py").returncode == 0


@pytest.mark.fault("read-only")
@pytest.mark.parametrize("script, flags, named", [
    ("download_images.py", [], "--cache image_cache"), ("build_embeddings.py", [], "--out index_out"),
    ("build_mtg_faiss.py", [], "--cache image_cache")])
def test_what_must_write_says_so_before_the_work(sealed, script, flags, named):
    done = run_sealed(sealed, script, *flags)
    assert done.returncode == 1
    assert_three_lines(done.stderr, "Disk Error")
    assert named in done.stderr


# What a crash or another container left

@pytest.mark.fault("killed")
def test_files_of_another_container_are_kept_for_a_day(tmp_path, monkeypatch):
    """The same host name and the same process number, but another namespace: it may still be writing."""
    mine = temporary_path(tmp_path / "mine")
    monkeypatch.setattr(leftovers, "_machine", lambda: "0123456789ab")
    other, old = temporary_path(tmp_path / "other"), temporary_path(tmp_path / "old")
    monkeypatch.undo()
    for path in (mine, other, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - LEFTOVER_SECONDS - 60,) * 2)
    assert remove_leftovers(tmp_path) == 2
    assert sorted(tmp_path.iterdir()) == [other]


@pytest.mark.fault("killed")
def test_a_process_in_another_namespace_has_another_name(tmp_path):
    code = ("from pathlib import Path; from mtg_image_db.leftovers import temporary_path;"
            "print(temporary_path(Path('x')))")
    here = [sys.executable, "-c", code]
    inside = subprocess.run(["unshare", "-p", "-f", *here], cwd=ROOT, capture_output=True, text=True, check=False)
    if inside.returncode:
        pytest.skip("a process namespace needs Linux and root")
    outside = subprocess.run(here, cwd=ROOT, capture_output=True, text=True, check=True)
    machines = {done.stdout.split(".")[2].split("-")[0] for done in (inside, outside)}
    assert len(machines) == 2


@pytest.mark.fault("no-sync")
def test_a_file_system_that_cannot_sync_fails_nothing(workspace, tmp_path):
    environment = {"PYTHONPATH": site(tmp_path / "site", NO_FSYNC)}
    workspace.run("download_images.py", "--limit", 2, **environment)
    workspace.run("build_embeddings.py", "--model", "efficientnet-lite0", "--limit", 2, **environment)
    assert len(workspace.lines("mtg_meta.jsonl")) == 2


@pytest.mark.fault("no-locks")
def test_a_lock_file_that_cannot_be_written_still_locks(tmp_path, monkeypatch):
    """Of another user in a shared folder, or on a full disk: what it says is only for people."""
    (tmp_path / "lock").write_bytes(b"")
    monkeypatch.setattr("os.pwrite", raised(OSError(errno.ENOSPC, "full")))
    opened = os.open
    monkeypatch.setattr("os.open", lambda path, flags, *mode: raised(PermissionError())() if flags & os.O_RDWR
                        else opened(path, flags, *mode))
    with hold(tmp_path / "lock"), pytest.raises(HeldElsewhere):
        hold(tmp_path / "lock")


def raised(error: OSError):
    def function(*_: object) -> None:
        raise error
    return function
