"""What every script promises at the command line: help at once, errors in three lines, exit codes."""
from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, Workspace, assert_three_lines

from mtg_image_db import __version__

SCRIPTS = ["download_images.py", "build_embeddings.py", "build_mtg_faiss.py", "query_index.py",
           "export_for_browser.py", "scripts/validate_cache.py"]
EVERY_SCRIPT = [*SCRIPTS, "scripts/export_vectors.py", "scripts/serve.py", "scripts/demo.py", "scripts/eval_photos.py",
                "scripts/train_finder.py", "scripts/write_offline_model.py",
                "benchmarks/bench.py", "benchmarks/gallery.py",
                "benchmarks/soak.py", "mirror/scryfall_mirror.py", "mirror/drawn_cards.py"]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts)
                 for path in [*ROOT.glob("*.py"), *(ROOT / "mtg_image_db").rglob("*.py")])
HEAVY = ("torch", "open_clip", "faiss", "cv2", "torchvision", "onnxruntime")


@pytest.fixture
def alone(tmp_path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(alone, script):
    done = subprocess.run([sys.executable, "-X", "importtime", str(ROOT / script), "--help"], cwd=alone.path,
                          text=True, capture_output=True, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported.intersection(HEAVY)
    assert "usage: " in done.stdout and re.search(r"python \S*" + script.split("/")[-1], done.stdout)


@pytest.mark.parametrize("script", EVERY_SCRIPT)
def test_the_help_page_fits_a_terminal_and_has_an_example(alone, script):
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, text=True, capture_output=True, check=True,
                          env=alone.environment(COLUMNS="80"))
    assert max(map(len, done.stdout.splitlines())) <= 80
    example = done.stdout.partition("example:\n")[2].strip()
    assert example.startswith(f"python {script}"), done.stdout


@pytest.mark.parametrize("script", EVERY_SCRIPT)
def test_every_script_tells_its_version(alone, script):
    done = alone.run(script, "--version")
    assert (done.stdout, done.stderr) == (f"mtg-image-db {__version__}\n", "")


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_module_does_nothing(alone, module):
    network = module.endswith("vision_transformer")  # a network itself, imported by what loads it
    heavy = set(HEAVY) - ({"torch"} if network else set())
    code = (f"import sys, threading, signal; before = signal.getsignal(signal.SIGTERM); import {module};"
            f"assert threading.active_count() == 1 and signal.getsignal(signal.SIGTERM) is before;"
            f"assert not set(sys.modules) & {heavy}")
    done = subprocess.run([sys.executable, "-c", code], cwd=alone.path, env=alone.environment(PYTHONPATH=str(ROOT)),
                          text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(alone.path.iterdir())


@pytest.mark.parametrize("script, flags, named", [
    ("download_images.py", ["--workers", "0", "--limit", "0", "--image-size", "tiny", "--kind", "cards"],
     ["--workers 0", "--limit 0", "--image-size tiny", "--kind cards"]),
    ("download_images.py", ["--workers", "129", "--timeout-connect", "0.5", "--timeout-read", "4",
                            "--max-retries", "-1", "--bulk-file", "nowhere.json"],
     ["--workers 129", "--timeout-connect 0.5", "--timeout-read 4", "--max-retries -1", "--bulk-file nowhere.json"]),
    ("build_embeddings.py", ["--size", "63", "--batch", "0", "--hnsw-m", "3", "--hnsw-ef-search", "0", "--fit", "zoom"],
     ["--size 63", "--batch 0", "--hnsw-m 3", "--hnsw-ef-search 0", "--fit zoom"]),
    ("build_embeddings.py", ["--hnsw-m", "64", "--hnsw-ef-construction", "63", "--checkpoint-frequency", "99"],
     ["--hnsw-ef-construction 63", "--checkpoint-frequency 99"]),
    ("build_embeddings.py", ["--hnsw-m", "129", "--hnsw-ef-construction", "2001", "--device", "tpu",
                             "--precision", "int4"],
     ["--hnsw-m 129", "--hnsw-ef-construction 2001", "--device tpu", "--precision int4"]),
    ("build_mtg_faiss.py", ["--workers", "x", "--batch", "1.5", "--api-url", "ftp://x"],
     ["--workers x", "--batch 1.5", "--api-url ftp://x"]),
    ("build_mtg_faiss.py", ["--limit", "0", "--hnsw-m", "64", "--hnsw-ef-construction", "63", "--cache", __file__],
     ["--limit 0", "--hnsw-ef-construction 63", "--cache"]),
    ("download_images.py", ["--timeout-connect", "inf", "--timeout-read", "nan", "--api-url", "http://[bad"],
     ["--timeout-connect inf", "--timeout-read nan", "--api-url http://[bad"]),
    ("download_images.py", ["--api-url", "http://localhost:99999"], ["--api-url http://localhost:99999"]),
    ("download_images.py", ["--api-url", "http://.host"], ["--api-url http://.host"]),
    ("download_images.py", ["--contact", "line\nbreak"], ["--contact line"]),
    ("query_index.py", ["--k", "0"], ["IMAGE: name", "--k 0"]),
    ("query_index.py", ["nowhere.jpg"], ["1 invalid argument\n"]),
    ("build_mtg_faiss.py", ["--api-url", "ftp://x", "--hnsw-m", "128", "--hnsw-ef-construction", "100"],
     ["--api-url ftp://x", "--hnsw-ef-construction 100"]),
    ("query_index.py", ["nowhere.jpg", "--k", "0", "--ef-search", "0", "--format", "excel", "--include", "all"],
     ["nowhere.jpg: no such file", "--k 0", "--ef-search 0", "--format excel", "--include all"]),
    ("query_index.py", ["--find", "off", "--csv", "list.csv", __file__], ["--annotate and --csv: show the cards"]),
    ("query_index.py", ["--format", "manabox", __file__], ["--format and --include: are for --csv FILE"]),
    ("scripts/validate_cache.py", ["--workers", "0", "--frobnicate"], ["--workers 0", "--frobnicate"]),
    ("export_for_browser.py", ["--frobnicate"], ["--frobnicate"])])
def test_invalid_arguments_are_reported_together(alone, script, flags, named):
    done = alone.run(script, *flags, code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")
    assert len(done.stderr.splitlines()) == 3 and done.stdout == ""
    for name in named:
        assert name in done.stderr
    assert not list(alone.path.iterdir()), "an invalid call leaves nothing behind"


@pytest.mark.parametrize("script, code", [
    ("build_embeddings.py", 3), ("export_for_browser.py", 3), ("scripts/validate_cache.py", 2)])
def test_a_missing_directory_has_its_own_exit_code(alone, script, code):
    done = alone.run(script, code=code)
    assert_three_lines(done.stderr, "Configuration Error")


def test_a_query_without_an_index_is_exit_3(alone):
    (alone.path / "photo.jpg").write_bytes(b"x")
    assert_three_lines(alone.query("photo.jpg", code=3).stderr, "Configuration Error")


def test_an_index_directory_without_a_build_is_an_error(alone):
    (alone.path / "photo.jpg").write_bytes(b"x")
    alone.out.mkdir()
    assert_three_lines(alone.query("photo.jpg", code=1).stderr, "Configuration Error")


def test_a_build_without_a_snapshot_names_the_download(alone):
    alone.cache.mkdir()
    done = alone.build(code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "download_images.py --kind unique_artwork" in done.stderr


def test_no_network_is_a_network_error(alone):
    done = alone.run("download_images.py", "--max-retries", "0", code=1)
    assert_three_lines(done.stderr, "Network Error")
    assert "refused" in done.stderr


@pytest.mark.fault("interrupt")
def test_a_second_signal_ends_a_script_in_the_middle_of_native_code(alone):
    """As in a pass through a large model: Python's own handlers wait until it returns."""
    code = ("import numpy as np, sys\n"
            "from mtg_image_db.console import entry_point\n"
            "@entry_point\n"
            "def main(argv):\n"
            "    matrix = np.random.default_rng(0).standard_normal((6000, 6000))\n"
            "    print('now', flush=True)\n"
            "    np.linalg.svd(matrix)\n"
            "sys.exit(main())")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=alone.path, stdout=subprocess.PIPE,
                               env=alone.environment(PYTHONPATH=str(ROOT)), text=True)
    assert process.stdout.readline() == "now\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130


def test_a_wrong_flag_names_the_one_that_was_meant(alone):
    done = alone.run("download_images.py", "--wrokers", 3, "--limit=2", "--nothing-like-it", code=1)
    assert "--wrokers: no such argument; did you mean --workers?" in done.stderr
    assert "--nothing-like-it: no such argument;" not in done.stderr
    assert f"python {ROOT / 'download_images.py'} --help" in done.stderr


@pytest.mark.parametrize("script", EVERY_SCRIPT)
def test_on_windows_every_script_says_what_to_do(alone, tmp_path, script):
    """Before it imports anything that Windows lacks: `fcntl` and `resource` cannot be imported here either."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.platform = 'win32'\nsys.modules |= {'fcntl': None, 'resource': None}\n")
    done = alone.run(script, "--help", code=1, PYTHONPATH=str(tmp_path))
    assert_three_lines(done.stderr, "Configuration Error")
    assert "WSL" in done.stderr and done.stdout == ""
