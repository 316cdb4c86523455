"""Fixtures: the real scripts run by subprocess against a local mirror, on drawn cards."""
from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT))

from mirror.drawn_cards import write_mirror
from mirror.scryfall_mirror import Mirror
from mtg_image_db.artefacts import file_sha256
from mtg_image_db.locks import hold

CARDS = 40  # 40 running numbers hold one card of every special kind
FACES, USABLE = 55, 53  # of these cards: two have no scan
FEW = "--limit", 20  # faces of clip_index


# Files of few but long tests. They come first: at the end, the other processes would wait for them.
LONG = ["test_setup", "test_sample", "test_photos", "test_embedder", "test_runtimes", "test_web_decision",
        "test_web_scan", "test_web_photos", "test_web_offline", "test_web_page", "test_web_reading",
        "test_interrupted_builds", "test_kills", "test_finder_tools", "test_service"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long, and seldom fails alone: make test-long runs it")
    config.addinivalue_line("markers", "fault(row): proves a row of what_can_go_wrong.py")


@dataclass
class Workspace:
    """A user's folder: where the scripts run, with the mirror they talk to."""
    path: Path
    api_url: str = "http://127.0.0.1:9"  # refuses connections: what must not touch the network may not
    out_name: str = "index_out"

    @property
    def cache(self) -> Path:
        return self.path / "image_cache"

    @property
    def out(self) -> Path:
        return self.path / self.out_name

    def command(self, script: str, *flags: object) -> list[str]:
        return [sys.executable, str(ROOT / script), *map(str, flags)]

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "MTG_SCRYFALL_API": self.api_url, "HF_HUB_OFFLINE": "1",
                "BROWSER": "true", **extra}  # the program, which does nothing: no window opens

    def run(self, script: str, *flags: object, code: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script here; fails the test where the exit code is another than code."""
        done = subprocess.run(self.command(script, *flags), cwd=self.path, env=self.environment(**env), text=True,
                              capture_output=True, timeout=300, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert code is None or done.returncode == code, f"exit {done.returncode}: {done.stdout}\n{done.stderr}"
        return done

    def start(self, script: str, *flags: object, **env: str) -> subprocess.Popen[str]:
        """Start a script here, to be disturbed; its stderr is to be read."""
        return subprocess.Popen(self.command(script, *flags), cwd=self.path, env=self.environment(**env), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def download(self, *flags: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run("download_images.py", *flags, code=code)

    def build(self, *flags: object, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        return self.run("build_embeddings.py", "--model", "efficientnet-lite0", *flags, code=code)

    def query(self, *flags: object, code: int | None = 0, find: str = "off") -> subprocess.CompletedProcess[str]:
        """Most queries ask of a picture that is the card: --find auto takes a second longer."""
        return self.run("query_index.py", *flags, "--find", find, code=code)

    def manifest(self) -> dict:
        return json.loads((self.out / "build_manifest.json").read_text())

    def download_statistics(self) -> dict:
        return json.loads((self.out / "download_manifest.json").read_text())["statistics"]

    def lines(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.out / name).read_text().splitlines()]

    def pictures(self) -> list[Path]:
        return sorted(path for path in self.cache.iterdir() if path.suffix in (".jpg", ".png", ".webp"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder of all processes of the tests. The first one that holds a lock makes what all others read."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def made_once(path: Path) -> Iterator[Path | None]:
    """The folder in which the caller makes what every process of the tests then reads as path. None: it is there.
    A folder whose making failed is not taken for a finished one, and the next process makes it anew."""
    making = path.with_name(f"{path.name}.making")
    with hold(path.with_suffix(".lock"), wait=float("inf")):
        if path.exists():
            yield None
            return
        shutil.rmtree(making, ignore_errors=True)
        yield making
        making.rename(path)


@pytest.fixture(scope="session")
def drawn(shared) -> Path:
    """A mirror folder of drawn cards; tests that change it take a copy (own_mirror)."""
    with made_once(shared / "drawn") as folder:
        if folder:
            write_mirror(folder, CARDS)
    return shared / "drawn"


@pytest.fixture
def mirror(drawn) -> Iterator[Mirror]:
    with Mirror(drawn) as server:
        yield server


@pytest.fixture
def own_mirror(drawn, tmp_path) -> Iterator[Mirror]:
    """A mirror over a copy of the folder, for tests that change what it serves."""
    root = tmp_path / "mirror"
    shutil.copytree(drawn, root)
    with Mirror(root) as server:
        yield server


@pytest.fixture
def workspace(tmp_path, mirror) -> Workspace:
    path = tmp_path / "work"
    path.mkdir()
    return Workspace(path, mirror.url)


@pytest.fixture(scope="session")
def finished(drawn, shared) -> Workspace:
    """A finished download and build, shared by every process of the tests: read only. `built` is a copy to change."""
    with made_once(shared / "finished") as folder:
        if folder:
            folder.mkdir()
            with Mirror(drawn) as server:
                space = Workspace(folder, server.url)
                space.download()
                space.build()
    return Workspace(shared / "finished")


@pytest.fixture(scope="session")
def clip_index(finished, shared) -> Workspace:
    """An index of 20 of these faces, --fit pad, by a vision transformer of open_clip with random weights (clip.pt
    beside the folder). Shared by every process of the tests: read only."""
    base = shared / "clip"
    with made_once(base) as folder:
        if folder:
            import torch

            from mtg_image_db.embedding.open_clip_models import import_open_clip

            shutil.copytree(finished.path, folder, ignore=shutil.ignore_patterns("index_out"))
            torch.manual_seed(0)
            clip = import_open_clip().create_model("ViT-S-32-alt", pretrained=None)
            torch.save(clip.state_dict(), base.with_suffix(".pt"))
            done = Workspace(folder).run(
                "build_embeddings.py", "--model", "ViT-S-32-alt", "--pretrained", base.with_suffix(".pt"),
                "--fit", "pad", "--precision", "fp32", *FEW)
            assert "Writing ViT-S-32-alt as ONNX" in done.stderr and "has no model.onnx" not in done.stderr, done.stderr
    return Workspace(base)


@pytest.fixture
def built(finished, tmp_path) -> Workspace:
    """A copy of the finished workspace, its mirror gone."""
    path = tmp_path / "built"
    shutil.copytree(finished.path, path)
    return Workspace(path)


def drop_hashes(workspace: Workspace, *names: str) -> None:
    """Make a build look like one of an older version, which had no such fields in mtg_pictures.npy."""
    path, manifest = workspace.out / "mtg_pictures.npy", workspace.manifest()
    pictures = np.load(path)
    kept = [(name, pictures.dtype[name]) for name in pictures.dtype.names if name not in names]
    np.save(path, pictures[[name for name, _ in kept]].astype(kept))
    manifest["outputs"][path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    (workspace.out / "build_manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def bulk_cards(drawn) -> list[dict]:
    return read_bulk(drawn)


def read_bulk(root: Path) -> list[dict]:
    with gzip.open(root / "unique-artwork.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def plain_cards(root: Path) -> list[dict]:
    """Cards of the mirror with one picture and a scan."""
    return [card for card in read_bulk(root) if "image_uris" in card
            and card["image_status"] in ("lowres", "highres_scan")]


def image_requests(mirror: Mirror) -> list:
    return [request for request in mirror.requests if "/front/" in request.path or "/back/" in request.path]


def write_bulk(path: Path, cards: list[dict]) -> Path:
    """A bulk file of one's own, for --bulk-file."""
    path.write_text("".join(json.dumps(card) + "\n" for card in cards))
    return path


def assert_three_lines(stderr: str, category: str) -> None:
    """The contract's form of an error: it ends stderr."""
    lines = stderr.rstrip("\n").splitlines()[-3:]
    assert lines[0].startswith(f"ERROR: {category}: "), stderr
    assert lines[1].startswith("  Details: ") and lines[2].startswith("  Suggestion: "), stderr


from web_site import browser, site, tab  # noqa: F401 - fixtures; web_site.py needs the names above
