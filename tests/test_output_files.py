"""Output files that a user names: links, devices, pipes, modes, and folders that do not exist."""
from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import assert_three_lines

pytestmark = pytest.mark.fault("outputs")
VALIDATE = "scripts/validate_cache.py"


def test_a_link_stays_and_its_target_is_replaced(finished, tmp_path):
    target, link, dangling = tmp_path / "real" / "report.json", tmp_path / "report.json", tmp_path / "new.json"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    dangling.symlink_to(target.parent / "new.json")
    for path in (link, dangling):
        finished.run(VALIDATE, "--report", path)
        assert path.is_symlink() and json.loads(path.read_text())["total_files"] == 53
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in target.parent.iterdir()) == ["new.json", "report.json"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file another owner")
def test_the_owner_of_an_old_file_stays(finished, tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    os.chown(path, 1234, 1234)
    finished.run(VALIDATE, "--report", path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1234) and path.read_text() != "old"


def test_a_pipe_is_written_to(finished, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        finished.run("query_index.py", finished.pictures()[0], "--find", "off", "--html", pipe)
        if not stat.S_ISFIFO(pipe.stat().st_mode):
            reader.kill()  # nobody will ever write to it
            pytest.fail("the pipe was replaced by a file")
        page = reader.communicate()[0]
    assert page.startswith(b"<!doctype html>") and page.endswith(b"</html>\n")


@pytest.mark.parametrize("stdout", ["pipe", "file"])
def test_dev_stdout_gets_the_page_after_the_matches(finished, tmp_path, stdout):
    link = tmp_path / "stdout"  # as /dev/stdout is; a failing test must not replace that one
    link.symlink_to("/proc/self/fd/1" if Path("/proc/self").exists() else "/dev/fd/1")
    command = finished.command("query_index.py", finished.pictures()[0], "--find", "off", "--html", link)
    with open(tmp_path / "file", "w+b") as file:
        done = subprocess.run(command, cwd=finished.path, env=finished.environment(), check=True, timeout=300,
                              stdout=file if stdout == "file" else subprocess.PIPE, stderr=subprocess.PIPE)
        file.seek(0)
        printed = file.read() if stdout == "file" else done.stdout
    assert printed.startswith(b"1. ") and printed.endswith(b"</html>\n")


@pytest.mark.parametrize("script, flags", [(VALIDATE, ["--report"]), ("query_index.py", ["IMAGE", "--html"])])
def test_a_folder_that_does_not_exist_is_named_before_the_work(finished, script, flags):
    image = [finished.pictures()[0]] if len(flags) == 2 else []
    done = finished.run(script, *image, flags[-1], "nowhere/x.html", code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")
    assert "the folder nowhere does not exist" in done.stderr and len(done.stderr.splitlines()) == 3
