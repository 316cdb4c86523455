"""The exported page in a real browser: what the tests of the page, of its search and of its server share.

    def test_a_card_is_found(tab, site):        # an open page; the exported workspace that scripts/serve.py shows
        tab.page.get_by_role("searchbox").fill(site.meta[0]["name"])

conftest.py imports the fixtures, so that every test file has them.
"""
from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, Workspace, made_once
from PIL import Image

from mirror.drawn_scenes import scene
from mtg_image_db.artefacts import cache_name

SHOTS = os.environ.get("MTG_SCREENSHOTS")  # a folder for pictures of the page
CAMERA = "--use-fake-device-for-media-stream"
CARDS = 53  # faces of the index
FRAMES_EACH = 30  # of a place of that card: a second
HELD = 5  # the row of the card that is held into the camera
ALONE = '<!doctype html><link rel="icon" href="icon.svg">'  # without it, a browser asks for one that is not there
RUNTIME = ROOT / "web" / "vendor" / "ort.wasm.min.mjs"
# A worker of a test. OpenCV makes functions of text, which the page itself forbids. Without its own header, the page's
# policy blocks it.
WORKER_HEADERS = {"Content-Type": "text/javascript", "Cross-Origin-Embedder-Policy": "credentialless"}
WORKER_END = """
onmessage = async ({ data: { width, height, asked } }) => {
    try {
        const data = new Uint8Array(await (await fetch("pixels")).arrayBuffer());
        postMessage({ told: await answer({ width, height, data }, asked) });
    } catch (error) {
        postMessage({ error: error.stack });
    }
};
"""
ASK_WORKER = """message => new Promise((done, fail) => {
    window.testWorker ??= new Worker("./asked.js", { type: "module" });
    setTimeout(() => fail(new Error("the worker did not answer in two minutes")), 120_000);
    testWorker.onmessage = ({ data: { told, error } }) => error ? fail(new Error(error)) : done(told);
    testWorker.onerror = () => fail(new Error("the worker did not start"));
    testWorker.postMessage(message);
})"""

needs_runtime = pytest.mark.skipif(not RUNTIME.exists(), reason="web/vendor is not there: make web needs npm")


@dataclass
class Site:
    """An exported workspace, and where scripts/serve.py shows it."""
    workspace: Workspace
    address: str

    @property
    def meta(self) -> list[dict]:
        return self.workspace.lines("mtg_meta.jsonl")

    def picture(self, row: int) -> Path:
        return self.workspace.cache / cache_name(self.meta[row]["image_url"])


@dataclass
class Tab:
    """An open page, and what it said and asked for."""
    page: object
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def heading(self, text: str) -> None:
        self.page.get_by_role("heading", name=text).wait_for()

    def heard(self, text: str) -> str:
        """All that the page tells a screen reader, once it has this text: an answer may be shown before it is told."""
        told = self.page.locator("#said", has_text=text)
        told.wait_for(state="attached")
        return told.inner_text()

    def shown(self, state: str) -> None:
        shown(self.page, state)

    def names(self) -> list[str]:
        return self.page.locator(".tile .name").all_inner_texts()

    def ask(self, script: str, picture: bytes | Path) -> object:
        """Run JavaScript that has `index`, as an app author would open it, and the picture as the Blob `file`."""
        as_served(self.page, "asked", picture.read_bytes() if isinstance(picture, Path) else picture)
        return self.page.evaluate("async () => { const { openIndex } = await import('./search.js');"
                                  "window.index ??= await openIndex(); const index = window.index;"
                                  "const file = await (await fetch('asked')).blob();" + script + "}")


def in_worker(tab: Tab, program: str, photo: Image.Image, asked: object = None) -> object:
    """What answer(pixels, asked) of this JavaScript says in a worker. A tab has one worker, which keeps its state."""
    as_served(tab.page, "pixels", photo.convert("RGBA").tobytes())
    tab.page.unroute("**/asked.js")
    tab.page.route("**/asked.js", lambda route: route.fulfill(body=program + WORKER_END, headers=WORKER_HEADERS))
    return tab.page.evaluate(ASK_WORKER, {"width": photo.width, "height": photo.height, "asked": asked})


@pytest.fixture(scope="session")
def site(finished, shared) -> Iterator[Site]:
    """Exported once, and served by every process of the tests: read only."""
    with made_once(shared / "site") as folder:
        if folder:
            shutil.copytree(finished.path, folder)
            Workspace(folder).build("--with-art")
            Workspace(folder).run("export_for_browser.py", "--with-model", "--with-reading", "--with-art")
    workspace = Workspace(shared / "site")
    with served(workspace) as address:
        yield Site(workspace, address)


@contextlib.contextmanager
def served(workspace: Workspace, *flags: object) -> Iterator[str]:
    """The address at which scripts/serve.py shows what it exported, until Ctrl-C."""
    server = workspace.start("scripts/serve.py", "--port", 0, *flags)
    try:
        line = next(line for line in server.stderr if "localhost" in line)
        yield re.search(r"http://localhost:\d+", line)[0]
    finally:
        server.send_signal(signal.SIGINT)
        left = server.communicate(timeout=20)[1]
    assert server.returncode == 0 and left == "Stopped.\n", left


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    """Chromium with a camera that sees a card on a table, turned and moving."""
    from playwright.sync_api import sync_playwright

    from benchmarks.compare_browser import QUIET, find_chromium

    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    film = tmp_path_factory.mktemp("film") / "card.mjpeg"
    film.write_bytes(b"".join(_seen(site.picture(HELD), turn) * FRAMES_EACH for turn in (20, 24, 28, 24)))
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=[
            *QUIET, CAMERA, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"])


def _seen(card: Path, turn: float) -> bytes:
    """What the camera sees: the card on a table, turned by so many degrees and moved a little, as JPEG."""
    photo, _ = scene([Image.open(card).convert("RGB")], "cloth", seed=2, size=(640, 480), share=0.7, turn=turn,
                     shift=((turn - 24) / 200, 0))
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=90)
    return data.getvalue()


def one_thread(route) -> None:
    """Worker.js as on a machine with one core. Three tests run at a time, whose threads would wait for each other."""
    answer = route.fetch()
    one = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 1 });"
    route.fulfill(response=answer, body=f"{one}\n{answer.text()}")


@pytest.fixture
def tab(site, browser, request) -> Iterator[Tab]:
    """A new page, or what the test's module OPENS: "/alone" has nothing of its own, and modules can be imported there.
    At its end nothing may have gone wrong in it, or been asked of another machine."""
    context = browser.new_context(viewport={"width": 1000, "height": 720}, service_workers="block",  # it would
                                  device_scale_factor=1.5 if SHOTS else 1)  # answer for the server
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(60_000)
    tab.page.on("console", lambda message: message.type == "error" and tab.errors.append(message.text))
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    context.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
    tab.page.route("**/alone", lambda route: route.fulfill(content_type="text/html", body=ALONE))
    tab.page.route("**/worker.js", one_thread)
    tab.page.goto(site.address + getattr(request.module, "OPENS", "/"))
    yield tab
    context.close()
    assert tab.errors == []
    assert {urlsplit(f"//{host}").hostname for host in tab.hosts if host} == {"localhost"}


def shown(page, state: str) -> None:
    """A picture of this state for the documentation, where MTG_SCREENSHOTS names a folder for them."""
    if SHOTS:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=Path(SHOTS) / f"page-{state}.jpg", type="jpeg", quality=70)


def as_served(page, name: str, body: bytes, status: int = 200) -> None:
    """From now on the server answers `name` so."""
    page.unroute(f"**/{name}")
    page.route(f"**/{name}", lambda route: route.fulfill(status=status, body=body))


def alert(tab: Tab) -> str:
    tab.page.locator("#error:not(:empty)").wait_for()
    return tab.page.get_by_role("alert").inner_text()


def fetched(address: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)
