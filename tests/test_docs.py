"""README.md, CONTRIBUTING.md and docs/ say what is there: flags, commands, targets, files, faults, links, modules."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

USER_PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [*USER_PAGES, CONTRIBUTING]
SCRIPTS = ["download_images.py", "build_embeddings.py", "build_mtg_faiss.py", "query_index.py",
           "export_for_browser.py", "scripts/validate_cache.py", "scripts/serve.py",
           "scripts/export_vectors.py", "scripts/explore.py"]
OTHER_SCRIPTS = ["mirror/scryfall_mirror.py", "benchmarks/bench.py", "scripts/eval_photos.py",
                 "scripts/train_finder.py", "benchmarks/gallery.py", "scripts/serve.py"]
TARGETS = ("demo test test-long soak bench lint download embed build-all build export query web serve validate clean "
           "conda-cpu conda-gpu conda-mps").split()
README_BYTES = 9_000
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def text_of(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page that are marked with a language."""
    return [body for marked, body in FENCE.findall(text_of(page)) if marked == language]


def code_of(*pages: Path) -> str:
    """What stands in the pages' fenced blocks and between backticks."""
    text = text_of(*pages)
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return "\n".join([*(body for _, body in FENCE.findall(text)), *spans])


def flags_of(script: str) -> set[str]:
    done = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=True,
                          env={"COLUMNS": "200", "PATH": ""})
    return set(FLAG.findall(done.stdout)) - {"--help"}


def makefile_targets() -> set[str]:
    return set(re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M).group(1).split())


def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings get when GitHub shows it."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tree_files() -> list[Path]:
    """The files that the tree in CONTRIBUTING.md names, in its order."""
    tree = next(body for marked, body in FENCE.findall(text_of(CONTRIBUTING)) if not marked)
    folders: list[str] = []
    files = []
    for line in tree.splitlines():
        if found := re.match(r"( *)([\w./]+)(?: {2,}|$)", line):
            depth, name = len(found[1]) // 2, found[2]
            del folders[depth:]
            folders.append(name)
            if not name.endswith("/"):
                files.append(ROOT / "".join(folders))
    return files


def test_the_readme_is_short():
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


def test_every_flag_is_documented_and_every_documented_flag_exists():
    existing = set().union(*map(flags_of, SCRIPTS))
    assert existing - set(FLAG.findall(text_of(*USER_PAGES))) == set(), "not in README.md or docs/"
    existing.update({"--help"}, *map(flags_of, OTHER_SCRIPTS))
    assert set(FLAG.findall(text_of(*PAGES))) - existing == set(), "in no script"


def test_every_documented_command_exists():
    commands = re.findall(r"python ((?:\w+/)?\w+\.py)", code_of(*PAGES))
    assert {"query_index.py", "scripts/validate_cache.py", "tests/what_can_go_wrong.py"} <= set(commands)
    for script in commands:
        assert (ROOT / script).is_file(), script


def test_every_target_is_documented_and_every_documented_target_exists():
    documented = set(re.findall(r"\bmake ([a-z][a-z-]*)", code_of(*PAGES)))
    assert set(TARGETS) - documented == set(), "not documented"
    assert documented - makefile_targets() == set(), "not in the Makefile"


def test_every_artefact_is_documented():
    from mtg_image_db.artefacts import OUTPUTS

    text = text_of(*USER_PAGES)
    for name in (*OUTPUTS, "build_manifest.json", "checkpoint.npz", "checkpoint_meta.json", "download_manifest.json",
                 "download_failures.jsonl", "embeddings.i8bin", "meta.json", "model.onnx", "model.int8.onnx",
                 "hashes.bin"):
        assert f"`{name}`" in text, name


def test_the_page_of_faults_says_what_the_tests_prove():
    import what_can_go_wrong

    assert what_can_go_wrong.section() in text_of(what_can_go_wrong.PAGE), "python tests/what_can_go_wrong.py writes it"
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    proved = set(re.findall(r'mark\.fault\("([\w-]+)"\)', tests))
    assert proved == {row.key for row in what_can_go_wrong.ROWS}


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *USER_PAGES[1:]], ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page))):
        if not target.startswith(("https://", "http://")):
            name, _, anchor = target.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors_of(linked), target


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_page_has_an_example_to_paste(page):
    assert blocks(page, "bash") or blocks(page, "python")


def test_the_readme_leads_to_every_page():
    readme = text_of(ROOT / "README.md")
    for page in (*USER_PAGES[1:], CONTRIBUTING):
        assert f"({page.relative_to(ROOT).as_posix()})" in readme, page.name


def test_the_tree_names_every_module_and_nothing_else():
    named = tree_files()
    for file in named:
        assert file.is_file(), file.relative_to(ROOT)
    modules = [path for path in (ROOT / "mtg_image_db").rglob("*.py")
               if path.name != "__init__.py" or path.parent.name == "mtg_image_db"]
    modules += [*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py")]
    modules += [path for path in (ROOT / "web").rglob("*.js")
                if not {"vendor", "node_modules"} & set(path.relative_to(ROOT).parts)]
    assert {str(path.relative_to(ROOT)) for path in modules} <= {str(path.relative_to(ROOT)) for path in named}


@pytest.mark.parametrize("name", ["README.md", "docs/files.md", "docs/python.md"])
def test_the_python_examples_run(finished, tmp_path, name):
    """As someone would paste them into a program: beside index_out/, with a photo of an indexed card."""
    (tmp_path / "index_out").symlink_to(finished.out, target_is_directory=True)
    Image.open(next(finished.cache.glob("*.jpg"))).save(tmp_path / "photo.jpg")
    for example in blocks(ROOT / name, "python"):
        done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True,
                              env=finished.environment(PYTHONPATH=str(ROOT)), check=False)
        assert done.returncode == 0 and done.stdout.strip() and "ERROR" not in done.stdout, done.stdout + done.stderr
