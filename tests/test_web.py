"""The page in a real browser: the export of a real build, served by scripts/serve.py, in headless Chromium."""
from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines
from PIL import Image

from benchmarks.compare_browser import QUIET, find_chromium
from mtg_image_db.artefacts import cache_name

CHROMIUM = find_chromium()
CAMERA = "--use-fake-device-for-media-stream"
HELD = 12  # the row of the card that is held into the camera
RUNTIME = ROOT / "web" / "vendor" / "ort.wasm.min.mjs"

needs_runtime = pytest.mark.skipif(not RUNTIME.exists(), reason="web/vendor is not there: make web needs npm")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


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

    def shown(self, state: str) -> None:
        """A picture of this state for the README, where MTG_SCREENSHOTS names a folder for them."""
        if folder := os.environ.get("MTG_SCREENSHOTS"):
            self.page.wait_for_load_state("networkidle")
            self.page.screenshot(path=Path(folder) / f"page-{state}.jpg", type="jpeg", quality=70)

    def names(self) -> list[str]:
        return self.page.locator("#cards h3").all_inner_texts()

    def ask(self, script: str, picture: Path) -> object:
        """Run JavaScript that has `index`, as an app author would open it, and the picture as the Blob `file`."""
        as_served(self.page, "asked", picture.read_bytes())
        return self.page.evaluate("async () => { const { openIndex } = await import('./search.js');"
                                  "window.index ??= await openIndex(); const index = window.index;"
                                  "const file = await (await fetch('asked')).blob();" + script + "}")


@pytest.fixture(scope="module")
def site(finished, tmp_path_factory) -> Iterator[Site]:
    workspace = Workspace(tmp_path_factory.mktemp("site") / "work")
    shutil.copytree(finished.path, workspace.path)
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
    assert server.returncode == 0 and left == "Stopped.\n"


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    """Chromium with a camera that sees a card on a table, a little askew in the frame."""
    from playwright.sync_api import sync_playwright

    film = tmp_path_factory.mktemp("film") / "card.mjpeg"
    table = Image.effect_noise((640, 480), 40).convert("RGB")
    card = Image.open(site.picture(HELD)).convert("RGB").resize((286, 400))
    table.paste(card.rotate(2, Image.Resampling.BICUBIC), (180, 44), Image.new("L", card.size, 255).rotate(2))
    frame = io.BytesIO()
    table.save(frame, "JPEG", quality=90)
    film.write_bytes(frame.getvalue() * 3)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[
            *QUIET, CAMERA, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={film}"])


@pytest.fixture
def tab(site, browser) -> Iterator[Tab]:
    """A new page; at its end nothing may have gone wrong in it, or been asked of another machine."""
    context = browser.new_context(viewport={"width": 1000, "height": 720}, device_scale_factor=1.5)
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(20_000)
    tab.page.on("console", lambda message: message.type == "error" and tab.errors.append(message.text))
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    context.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
    tab.page.goto(site.address)
    yield tab
    context.close()
    assert tab.errors == []
    assert {urlsplit(f"//{host}").hostname for host in tab.hosts if host} == {"localhost"}


def as_served(page, name: str, body: bytes, status: int = 200) -> None:
    """From now on the server answers `name` so."""
    page.unroute(f"**/{name}")
    page.route(f"**/{name}", lambda route: route.fulfill(status=status, body=body))


def test_cards_are_found_by_name_set_and_number(tab, site):
    tab.page.get_by_text("53 cards · efficientnet-lite0").wait_for()
    box = tab.page.get_by_role("searchbox", name="Name, set or collector number")
    card = next(card for card in site.meta if "é" in card["name"])
    box.press_sequentially(card["name"].upper().replace("É", "E")[:9])
    tab.heading("1 card with")
    item = tab.page.locator("#cards li")
    assert tab.names() == [card["name"]]
    assert item.locator(".set").inner_text() == f"{card['set'].upper()} {card['collector_number']}"
    assert card["artist"] in item.inner_text()
    link = item.get_by_role("link", name=f"{card['name']} on Scryfall")
    assert link.get_attribute("href") == card["scryfall_uri"]
    picture = item.get_by_role("img", name=card["name"])
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 488
    box.fill(f"{card['set']} {card['collector_number']}")
    tab.heading(f"with “{card['set']} {card['collector_number']}")
    assert tab.names()[0] == card["name"] and len(tab.names()) > 1
    tab.shown("search")
    word = site.meta[0]["name"].split()[-1]
    box.fill(word)
    tab.heading(f"with “{word}”")
    assert all(word in name for name in tab.names())
    box.fill("no such card")
    tab.heading("No cards with")
    assert tab.names() == []


@needs_runtime
def test_a_dropped_picture_is_named_and_more_like_it_shown(tab, site):
    row = 20
    tab.page.get_by_role("searchbox").wait_for()
    tab.page.evaluate("""async ([bytes]) => {
        const file = new File([Uint8Array.from(bytes)], "card.jpg", { type: "image/jpeg" });
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(file);
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }""", [list(site.picture(row).read_bytes())])
    tab.heading(f"Recognised: {site.meta[row]['name']}")
    assert tab.names()[0] == site.meta[row]["name"]
    assert float(tab.page.locator("#cards .score span").first.inner_text()) > 0.99
    assert tab.page.get_by_role("img", name="Your picture").is_visible()
    tab.shown("named")
    tab.page.get_by_role("button", name=f"More like this: {site.meta[row]['name']}").first.press(
        "Enter")
    tab.heading(f"More like {site.meta[row]['name']}")
    int8 = np.frombuffer((site.workspace.out / "embeddings.i8bin").read_bytes(), np.int8).reshape(53, -1)
    scores = int8.astype(np.float32) @ (int8[row] / np.linalg.norm(int8[row].astype(np.float32))) / 127
    scores[row] = -1
    tab.shown("more")
    shown = [float(text) for text in tab.page.locator("#cards .score span").all_inner_texts()]
    assert np.allclose(shown, np.minimum(1, np.sort(scores)[::-1][:24]), atol=0.0011)
    assert tab.names()[0] == site.meta[int(scores.argmax())]["name"]


@needs_runtime
def test_an_unknown_picture_is_not_sure_and_a_broken_one_an_error_in_words(tab, site, tmp_path):
    Image.effect_noise((488, 680), 60).resize((60, 84)).resize((488, 680)).convert("RGB").save(tmp_path / "other.png")
    (tmp_path / "broken.jpg").write_bytes(site.picture(0).read_bytes()[:300])
    chosen = tab.page.get_by_label("Choose a picture")
    tab.page.get_by_role("searchbox").wait_for()
    chosen.set_input_files(tmp_path / "other.png")
    tab.heading("Not sure. Most like:")
    assert len(tab.names()) == 24
    assert tab.page.get_by_text("cut the picture to it").is_visible()
    tab.shown("unsure")
    chosen.set_input_files(tmp_path / "broken.jpg")
    assert "no picture that the browser can read" in alert(tab)
    chosen.set_input_files(site.picture(3))
    tab.heading(f"Recognised: {site.meta[3]['name']}")
    assert tab.page.locator("#error").is_hidden()


@needs_runtime
def test_what_is_no_picture_frame_or_row_is_said_to_an_app_author(tab, site):
    row = 7
    said = tab.ask("""const image = new Image();
        image.src = "asked";
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [800, 700];
        canvas.getContext("2d").drawImage(image, 100, 10);
        const wrong = [() => index.name("card.jpg"), () => index.like(9999), () => index.nearest([1, 2]),
                       () => index.name(file, { frame: { x: 0, y: 0, width: 1, height: 1 } })];
        const errors = [];
        for (const ask of wrong) errors.push(await ask().then(() => "no error", error => error.message));
        const inside = { x: 100, y: 10, width: 488, height: 680 };
        return { errors, image: await index.name(image, { k: 1 }),
                 canvas: await index.name(canvas, { k: 3, frame: inside }) };""", site.picture(row))
    for message, words in zip(said["errors"], ("no picture", "no row 9999", "of two models", "picture's pixels"),
                              strict=True):
        assert words in message
    assert said["image"]["accepted"] and [match["row"] for match in said["image"]["matches"]] == [row]
    assert said["canvas"]["accepted"] and said["canvas"]["matches"][0]["row"] == row
    assert len(said["canvas"]["matches"]) == 3


def alert(tab: Tab) -> str:
    tab.page.locator("#error:not(:empty)").wait_for()
    return tab.page.get_by_role("alert").inner_text()


def meta_with(**changes: object):
    return lambda data: json.dumps(json.loads(data) | changes).encode()


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("name, change, words", [
    ("embeddings.i8bin", lambda data: data[:-5], "embeddings.i8bin has 53419 bytes, but meta.json says 53424"),
    ("embeddings.i8bin", lambda data: data + b"more", "has 53428 bytes, but meta.json says 53424"),
    ("embeddings.i8bin", lambda data: data[:900] + bytes([data[900] ^ 1]) + data[901:], "is damaged or of another"),
    ("embeddings.i8bin", None, "embeddings.i8bin is not there. Run python export_for_browser.py first."),
    ("meta.json", None, "meta.json is not there"),
    ("meta.json", lambda data: data[:-100], "meta.json is damaged"),
    ("meta.json", lambda data: b"<html>not here</html>", "meta.json is damaged"),
    ("meta.json", meta_with(version="3.0"), "meta.json has version 3.0; this page reads 1.0 and 2.0"),
    ("meta.json", meta_with(shape=[54, 1008]), "describes 53 cards, but its shape says 54"),
    ("meta.json", meta_with(shape=None), "has no shape"),
    ("meta.json", meta_with(quantization={"dtype": "uint8", "scale_factor": 127}), "dtype is uint8"),
])
def test_a_damaged_artefact_is_said_in_words(tab, site, name, change, words):
    data = (site.workspace.out / name).read_bytes()
    as_served(tab.page, name, change(data) if change else b"", 200 if change else 404)
    tab.page.reload()
    assert words in alert(tab)
    assert tab.page.get_by_role("searchbox").is_hidden()
    tab.shown("damaged")
    tab.errors[:] = [error for error in tab.errors if change or "404" not in error]


@needs_runtime
def test_the_camera_names_a_card_and_stops_with_the_tab(tab, site):
    start = tab.page.get_by_role("button", name="Use the camera")
    start.click()
    tab.page.get_by_text(f"Recognised: {site.meta[HELD]['name']}").wait_for()
    assert tab.page.locator("#best h3").inner_text() == site.meta[HELD]["name"]
    assert float(tab.page.locator("#best .score span").inner_text()) > 0.8
    tab.shown("camera")
    running = "document.getElementById('video').srcObject?.active ?? false"
    assert tab.page.evaluate(running) is True
    tab.page.keyboard.press("Escape")
    assert tab.page.evaluate(running) is False and start.is_visible()
    start.click()
    tab.page.get_by_text("Recognised").wait_for()
    tab.page.evaluate("""() => { Object.defineProperty(document, "hidden", { value: true });
                                 document.dispatchEvent(new Event("visibilitychange")); }""")
    assert "stopped while the page was hidden" in alert(tab)
    assert tab.page.evaluate(running) is False


def test_a_camera_that_is_allowed_too_late_is_not_used(tab):
    start = tab.page.get_by_role("button", name="Use the camera")
    start.wait_for()
    tab.page.evaluate("""() => { const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (...wanted) => {
            await new Promise(allow => { window.allow = allow; });
            window.stream = await real(...wanted);
            return window.stream; }; }""")
    start.click()
    tab.page.get_by_text("Waiting for the camera").wait_for()
    tab.page.keyboard.press("Escape")
    tab.page.evaluate("window.allow()")
    tab.page.evaluate("""async () => {
        while (!window.stream || window.stream.active) await new Promise(later => setTimeout(later, 20)); }""")
    assert tab.page.locator("#camera").is_hidden()


def test_without_a_camera_the_page_says_so_and_goes_on(tab, site):
    tab.page.get_by_role("button", name="Use the camera").wait_for()
    tab.page.evaluate("""() => { navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError")); }""")
    tab.page.get_by_role("button", name="Use the camera").click()
    assert alert(tab) == "The camera was not allowed. Choose a picture instead."
    tab.page.get_by_role("searchbox").fill(site.meta[0]["name"])
    tab.heading("1 card with")


@needs_runtime
def test_python_and_javascript_agree_on_a_hundred_pictures(tab, site, tmp_path):
    """The cached pictures, and each once more as another kind: scaled, transparent, turned by EXIF, cut."""
    from mtg_image_db.common import open_picture
    from mtg_image_db.embedding.embedder import Embedder, prepare
    from mtg_image_db.embedding.models import describe_model

    paths = [site.picture(row) for row in range(50)]
    for row in range(50):
        picture, path = Image.open(paths[row]).convert("RGB"), tmp_path / f"{row}.png"
        if row % 4 == 0:
            picture = picture.resize((600 + row, 840))
        elif row % 4 == 1:
            picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        elif row % 4 == 2:
            exif = Image.Exif()
            exif[0x0112] = 6
            path = path.with_suffix(".jpg")
            picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
            picture = None
        else:
            picture = picture.crop((0, 60, 488, 400 - row))
        if picture:
            picture.save(path, compress_level=1)
        paths.append(path)
    spec = describe_model("efficientnet-lite0")
    vectors = Embedder(spec, "cpu", "fp32").embed(np.stack([prepare(open_picture(path), spec) for path in paths]))
    int8 = np.frombuffer((site.workspace.out / "embeddings.i8bin").read_bytes(), np.int8).reshape(53, -1)
    scores = np.minimum(1, vectors @ int8.T.astype(np.float32) / 127)
    theirs, cosines = [], []
    for path, vector in zip(paths, vectors, strict=True):
        found = tab.ask("""const vector = await index.embed(file);
            return { vector: Array.from(vector), near: await index.nearest(vector, { k: 10 }) };""", path)
        cosines.append(float(np.dot(found["vector"], vector)))
        theirs.append({match["row"]: match["score"] for match in found["near"]})
    ours = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    same_first = np.mean([next(iter(near)) == rows[0] or scores[i, next(iter(near))] > scores[i, rows[0]] - 1e-3
                          for i, (near, rows) in enumerate(zip(theirs, ours, strict=True))])
    apart = [abs(score - scores[i, row]) for i, near in enumerate(theirs) for row, score in near.items()]
    print(f"\ncosine to Python: least {min(cosines):.4f}, median {np.median(cosines):.4f}; first the same "
          f"{same_first:.3f}; scores at most {max(apart):.4f} apart")
    assert min(cosines) >= 0.99 and same_first >= 0.99
    assert max(apart) < 0.01 and np.mean([len(set(rows) & set(near)) for rows, near in
                                          zip(ours.tolist(), theirs, strict=True)]) > 9


@needs_runtime
def test_another_model_in_the_page_gives_pythons_vectors(tab, site, tmp_path):
    """A vision transformer of open_clip's with random weights, and --fit pad."""
    import torch

    from mtg_image_db.common import open_picture
    from mtg_image_db.embedding.embedder import Embedder, prepare
    from mtg_image_db.embedding.models import describe_model
    from mtg_image_db.embedding.open_clip_models import import_open_clip

    torch.manual_seed(0)
    torch.save(import_open_clip().create_model("ViT-S-32-alt", pretrained=None).state_dict(), tmp_path / "w.pt")
    work = site.workspace
    work.run("build_embeddings.py", "--model", "ViT-S-32-alt", "--pretrained", tmp_path / "w.pt", "--fit", "pad",
             "--limit", 8, "--precision", "fp32", "--out", tmp_path / "out")
    with served(work, "--index-dir", tmp_path / "out", "--cache", work.cache) as address:
        meta = json.loads((tmp_path / "out" / "meta.json").read_text())
        small, whole = meta["embedding"]["models"]
        assert small["bytes"] < 0.3 * whole["bytes"] and min(small["cosine"], whole["cosine"]) >= 0.99
        row = 5
        path = work.cache / cache_name(meta["records"][row]["image_url"])
        tab.page.goto(address)
        answer = tab.ask("return { ...await index.name(file, { k: 1 }), vector: Array.from(await index.embed(file)) };",
                         path)
    assert answer["accepted"] and answer["matches"][0]["row"] == row and answer["matches"][0]["score"] > 0.98
    cosines = {}
    for fit in ("pad", "crop"):
        spec = describe_model("ViT-S-32-alt", str(tmp_path / "w.pt"), fit)
        python, = Embedder(spec, "cpu", "fp32").embed(prepare(open_picture(path), spec)[None])
        cosines[fit] = np.dot(python, answer["vector"])
    print(f"\ncosine of the page's vector to Python's: {cosines}")
    assert cosines["pad"] > 0.999 > cosines["crop"]


def test_rows_of_any_length_are_scored(tab):
    random = np.random.default_rng(0)
    tab.page.get_by_role("searchbox").wait_for()
    for dimension in (1, 7, 8, 9, 100, 512):
        rows = random.integers(-128, 128, (20, dimension), np.int8)
        query = random.standard_normal(dimension).astype(np.float32)
        query /= np.linalg.norm(query)
        found = tab.page.evaluate("""async ([rows, dimension, query]) => {
            const { createRows } = await import("./scores.js");
            const made = createRows(rows.length / dimension, dimension, 127);
            made.bytes.set(new Uint8Array(Int8Array.from(rows).buffer));
            return made.nearest(Float32Array.from(query), 5); }""", [rows.ravel().tolist(), dimension, query.tolist()])
        scores = np.minimum(1, rows.astype(np.float32) @ query / 127)
        assert np.allclose([one["score"] for one in found], np.sort(scores)[::-1][:5], atol=1e-3), dimension
        assert all(abs(scores[one["row"]] - one["score"]) < 1e-3 for one in found), dimension


def test_columns_say_what_the_records_say(tab, site, tmp_path):
    site.workspace.run("export_for_browser.py", "--output-dir", tmp_path, "--compact")
    compact = (tmp_path / "meta.json").read_bytes()
    assert len(compact) < 0.45 * (site.workspace.out / "meta.json").stat().st_size
    assert json.loads(compact)["version"] == "2.0", "a client of version 1.0 refuses it"
    as_served(tab.page, "meta.json", compact)
    records = tab.page.evaluate("""async () => {
        const { readMeta } = await import("./artefacts.js");
        const { rows, record } = await readMeta(new URL("./", location.href));
        return Array.from({ length: rows }, (_, row) => record(row)); }""")
    assert records == site.meta
    tab.page.reload()
    tab.page.get_by_role("searchbox").fill(site.meta[0]["name"])
    tab.heading("1 card with")
    broken = json.loads(compact)
    broken["columns"]["name"]["values"].pop()
    as_served(tab.page, "meta.json", json.dumps(broken).encode())
    tab.page.reload()
    assert "describes 0 cards, but its shape says 53" in alert(tab)


def test_few_and_equal_values_are_written_in_columns_too(tab):
    """A prefix as long as the value, three columns with the same values, and none at all."""
    from mtg_image_db.browser import metadata

    record = {"name": "lea", "scryfall_id": "b4", "face_id": "b4", "set": "lea", "collector_number": "lea",
              "image_url": "https://c/b/4/b4.jpg?1", "card_url": "https://c/b/4/b4.jpg?1", "illustration_id": "lea"}
    for records in ([record], [record, record | {"scryfall_id": "c5", "image_url": "https://c/b/4/c5.jpg?1"}],
                    [record, record | {"illustration_id": None, "card_url": ""}]):
        columns = b"".join(metadata.columns([json.dumps(one).encode() for one in records]))
        head = {"version": "2.0", "quantization": {"dtype": "int8", "scale_factor": 127}, "shape": [len(records), 8]}
        as_served(tab.page, "meta.json", json.dumps(head | {"columns": json.loads(columns)}).encode())
        assert tab.page.evaluate("""async () => {
            const { rows, record } = await (await import("./artefacts.js")).readMeta(new URL("./", location.href));
            return Array.from({ length: rows }, (_, row) => record(row)); }""") == records


def test_markup_in_a_name_stays_text(tab, site):
    meta = json.loads((site.workspace.out / "meta.json").read_bytes())
    meta["records"][0] |= {"name": "<img src=x onerror=alert(1)> Zzyzx", "scryfall_uri": "javascript:alert(1)"}
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    tab.page.reload()
    tab.page.get_by_role("searchbox").fill("zzyzx")
    tab.heading("1 card with")
    assert tab.names() == [meta["records"][0]["name"]]
    assert tab.page.locator("#cards a[href^='javascript']").count() == 0
    assert tab.page.locator("#cards img").count() == 1


def test_a_phone_and_a_dark_screen_show_it_whole(tab, site):
    tab.page.set_viewport_size({"width": 360, "height": 740})
    tab.page.get_by_role("searchbox").fill("of")
    tab.heading("cards with “of”")
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    colours = []
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        tab.shown(f"phone-{scheme}")
        colours.append(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]


def fetched(address: str, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10)  # noqa: S310


def test_the_server_packs_the_metadata_and_gives_nothing_else_away(site):
    plain, packed = fetched(f"{site.address}/meta.json"), fetched(f"{site.address}/meta.json", **{
        "Accept-Encoding": "gzip"})
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    body = packed.read()
    assert gzip.decompress(body) == plain.read() and len(body) < 0.4 * int(plain.headers["Content-Length"])
    unchanged = {"If-Modified-Since": plain.headers["Last-Modified"]}
    with pytest.raises(urllib.error.HTTPError, match="304"):
        fetched(f"{site.address}/embeddings.i8bin", **unchanged)
    for path in ("build_manifest.json", "mtg_meta.jsonl", "../README.md", "%2e%2e/README.md", "vendor", "vendor/",
                 "picture", "picture?../index_out/build_manifest.json", "picture?https://a.b/c.jpg"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(f"{site.address}/{path}")


def test_serving_without_an_index_or_on_a_taken_port_is_three_lines(site, tmp_path):
    empty = Workspace(tmp_path)
    assert_three_lines(empty.run("scripts/serve.py", code=3).stderr, "Configuration Error")
    taken = urlsplit(site.address).port
    done = site.workspace.run("scripts/serve.py", "--port", taken, code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "vectors of" not in done.stderr, "what is exported already is not exported again"
    assert_three_lines(site.workspace.run("scripts/serve.py", "--cache", "nowhere", code=3).stderr,
                       "Configuration Error")


def test_what_was_damaged_or_left_out_is_exported_again(site, tmp_path):
    """Without a cache, so without the model: that takes seconds."""
    work = Workspace(tmp_path / "work")
    shutil.copytree(site.workspace.out, work.out)
    for spoil in (lambda: (work.out / "embeddings.i8bin").write_bytes(b"short"),
                  lambda: (work.out / "meta.json").unlink(), lambda: os.utime(work.out / "build_manifest.json")):
        spoil()
        with served(work) as address:
            assert len(fetched(f"{address}/embeddings.i8bin").read()) == 53 * 1008
            assert len(json.loads(fetched(f"{address}/meta.json").read())["records"]) == 53
    assert not (work.out / "model.onnx").exists(), "of an export that is no longer there"


def test_the_export_with_the_model_only_adds_to_what_clients_check(site, tmp_path):
    """What the web client of before this page checks: version, dtype, scale, byte length, number of records."""
    site.workspace.run("export_for_browser.py", "--output-dir", tmp_path)
    without = json.loads((tmp_path / "meta.json").read_bytes())
    with_model = json.loads((site.workspace.out / "meta.json").read_bytes())
    assert {key: with_model[key] for key in without} == without
    for folder, meta in ((tmp_path, without), (site.workspace.out, with_model)):
        rows, dimension = meta["shape"]
        assert meta["version"] == "1.0" and meta["quantization"]["dtype"] == "int8"
        assert meta["quantization"]["scale_factor"] == 127 and len(meta["records"]) == rows
        assert (folder / "embeddings.i8bin").stat().st_size == rows * dimension
    for one in (*with_model["embedding"]["models"], with_model["recognition"]["hashes"]):
        data = (site.workspace.out / one["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    assert not (tmp_path / "model.onnx").exists()


def test_a_model_that_is_not_the_indexs_is_refused(site, tmp_path):
    work = Workspace(tmp_path / "work")
    shutil.copytree(site.workspace.path, work.path)
    vectors = np.load(work.out / "mtg_embeddings.npy")
    np.save(work.out / "mtg_embeddings.npy", vectors[::-1])
    manifest, path = work.manifest(), work.out / "mtg_embeddings.npy"
    manifest["outputs"][path.name] = {"bytes": path.stat().st_size,
                                      "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (work.out / "build_manifest.json").write_text(json.dumps(manifest))
    done = work.run("export_for_browser.py", "--with-model", "--output-dir", tmp_path / "web", code=1)
    assert_three_lines(done.stderr, "Build Error")
    assert "does not give the index's vectors" in done.stderr and not (tmp_path / "web").exists()
    done = work.run("export_for_browser.py", "--with-model", "--cache", tmp_path / "none", code=3)
    assert_three_lines(done.stderr, "Configuration Error")
