"""The standard streams as services, pipes and notebooks give them: the work and the exit code do not depend on them."""
from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.fault("streams")
NOTEBOOK = """
import contextlib, io, runpy, sys
sys.path.insert(0, {root!r})
sys.argv = {argv!r}
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    try:
        runpy.run_path({script!r}, run_name="__main__")
    except SystemExit as end:
        code = end.code
print(code, len(out.getvalue()), len(err.getvalue()))
"""


def finished_build(space) -> bool:
    return len(space.pictures()) == 6 and (space.out / "build_manifest.json").exists()


def test_the_work_goes_on_when_the_reader_of_stderr_is_gone(workspace):
    read, write = os.pipe()
    os.close(read)
    for script, flags in (("download_images.py", []), ("build_embeddings.py", ["--model", "efficientnet-lite0"])):
        done = subprocess.run(workspace.command(script, "--limit", 6, *flags), cwd=workspace.path, stderr=write,
                              env=workspace.environment(), stdout=subprocess.PIPE, timeout=300, check=False)
        assert done.returncode == 0
    os.close(write)
    assert finished_build(workspace)


def test_an_error_keeps_its_exit_code_when_the_reader_of_stderr_is_gone(tmp_path):
    read, write = os.pipe()
    os.close(read)
    script = str(ROOT / "query_index.py")
    done = subprocess.run([sys.executable, script, script, "--index-dir", "nowhere"], cwd=tmp_path, stderr=write,
                          timeout=300, check=False)
    os.close(write)
    assert done.returncode == 3


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(workspace, closed):
    """What is printed must not go into a file that happens to get the closed stream's number."""
    for script, flags in (("download_images.py", []), ("build_embeddings.py", ["--model", "efficientnet-lite0"])):
        line = f"{shlex.join(workspace.command(script, '--limit', 6, *flags))} {closed}"
        done = subprocess.run(line, shell=True, cwd=workspace.path, env=workspace.environment(), text=True,
                              capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "" and "Traceback" not in done.stderr
    assert finished_build(workspace)


def test_a_notebook_can_run_a_script(finished):
    picture = finished.pictures()[0]
    code = NOTEBOOK.format(root=str(ROOT), script=str(ROOT / "query_index.py"),
                           argv=["query_index.py", str(picture), "--find", "off"])
    done = subprocess.run([sys.executable, "-c", code], cwd=finished.path, env=finished.environment(), text=True,
                          capture_output=True, timeout=300, check=False)
    exit_code, printed, told = done.stdout.split()
    assert exit_code == "0" and int(printed) > 0 and int(told) > 0, done.stderr
