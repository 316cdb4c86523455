"""The page without a network: what the browser keeps of it, and how it learns of new cards."""
from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import ROOT, Workspace
from web_site import Site, fetched, needs_runtime, served

WEB = ROOT / "web"
KEPT = """async ([start, count]) => {
    const kept = await caches.open(`kept for ${location.origin}/`);
    let found = [];
    for (let tries = 0; tries < 3000; tries++) {
        found = (await kept.keys()).map(({ url }) => url.slice(location.origin.length));
        if (found.filter((path) => path.startsWith(start)).length === count) return;
        await new Promise((later) => setTimeout(later, 20));
    }
    throw new Error(found.join(" "));
}"""  # until so many of the kept files begin so
HEARD = "navigator.serviceWorker.addEventListener('message', ({ data }) => (window.heard ??= []).push(data.type))"
SHOWN = """address => new Promise((shown) => {
    const image = new Image();
    image.onload = image.onerror = ({ type }) => shown(type === "load" ? image.naturalWidth : 0);
    image.src = address;
})"""


@pytest.fixture
def own_site(site, tmp_path) -> Iterator[Site]:
    """A copy of the exported workspace, to export anew."""
    workspace = Workspace(tmp_path / "work")
    shutil.copytree(site.workspace.path, workspace.path)
    with served(workspace, "--read", "off") as address:
        yield Site(workspace, address)


@pytest.fixture
def visited(browser):
    """The page of an address after its first visit: everything is kept."""
    context = browser.new_context()
    context.add_init_script(HEARD)

    def visit(address: str):
        page = context.new_page()
        page.goto(address)
        page.wait_for_function("() => window.heard?.includes('kept')", timeout=60_000)
        return page

    yield visit
    context.close()


def look(page) -> None:
    """The page looks for new files, as it does when the network is back."""
    page.evaluate("() => { window.heard = []; dispatchEvent(new Event('online')); }")


def look_until(page, asked: list, count: int) -> None:
    """Looks that begin during another are one with it, so one may not be enough."""
    for _ in range(600):
        if len(asked) >= count:
            return
        look(page)
        page.wait_for_timeout(100)
    raise AssertionError(asked)


def told(page, words: str) -> None:
    page.locator("#update-what", has_text=words).wait_for(timeout=60_000)


def load_again(page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Load the page again").click()


def allow(page, address: str, size: int) -> None:
    """The browser keeps so many bytes of this address, at most."""
    page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", {"origin": address, "quotaSize": size})


def rename(site: Site, row: int, name: str, **changes: object) -> None:
    """A new export in which only the name of a card is new, and what changes say."""
    path = site.workspace.out / "meta.json"
    meta = json.loads(path.read_bytes())
    meta["records"][row]["name"] = name
    path.with_name("meta.json.gz").unlink()
    path.write_text(json.dumps(meta | changes))


def find(page, name: str) -> None:
    page.get_by_role("searchbox").fill(name)
    page.get_by_text(name, exact=True).nth(0).wait_for()


@contextlib.contextmanager
def other_site(body: bytes) -> Iterator[str]:
    """A server of another port that answers everything with these bytes, and sends no headers of permission."""
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_without_a_network_the_page_works_as_with_one(visited, site):
    page, (seen, unseen) = visited(site.address), (f"picture?{site.meta[row]['image_url']}" for row in (0, 1))
    width = page.evaluate(SHOWN, seen)
    page.context.set_offline(True)
    page.reload()
    find(page, site.meta[0]["name"])
    hashes = page.evaluate("fetch('hashes.bin').then((file) => file.arrayBuffer()).then((data) => data.byteLength)")
    assert hashes == 53 * 128, "what names pictures"
    assert page.evaluate("crossOriginIsolated") is True
    assert page.evaluate(SHOWN, seen) == width > 0 and page.evaluate(SHOWN, unseen) == 0


def test_a_new_export_is_told_and_taken_when_the_person_wants_it(visited, own_site):
    page, old = visited(own_site.address), own_site.meta[3]["name"]
    rename(own_site, 3, "Zzyzx, the New")
    vectors = own_site.workspace.out / "embeddings.i8bin"
    vectors.rename(vectors.with_name("gone"))  # an unchanged file is not fetched again
    for _ in range(2):
        page.reload()
        find(page, old)  # nothing changes under an open page
        told(page, "There are new cards.")
    page.evaluate(KEPT, ["/meta.json", 2])
    load_again(page)
    find(page, "Zzyzx, the New")
    page.evaluate(KEPT, ["/meta.json", 1])  # a look deletes what is old


@pytest.mark.long
def test_what_is_half_exported_is_not_taken(visited, own_site):
    """The metadata is there before the vectors. A page that is opened alone later shows the new cards."""
    page = visited(own_site.address)
    vectors = np.load(own_site.workspace.out / "mtg_embeddings.npy")
    new = np.rint(vectors[::-1] * 127).astype(np.int8).tobytes()
    rename(own_site, 3, "Zzyzx, the New", vectors_sha256=hashlib.sha256(new).hexdigest())
    asked: list[str] = []
    page.context.on("response", lambda answer: answer.url.endswith("embeddings.i8bin") and asked.append(answer.url))
    look_until(page, asked, 2)  # the second time, too: what came is not kept as the new file
    assert page.locator("#update").is_hidden()
    (own_site.workspace.out / "embeddings.i8bin").write_bytes(new)
    look(page)
    told(page, "There are new cards.")
    context = page.context
    page.close()
    page = context.new_page()
    page.goto(own_site.address)
    find(page, "Zzyzx, the New")


@pytest.mark.long
def test_a_release_that_does_not_start_is_replaced_by_the_next(visited, own_site):
    """Its page asks for nothing. Its files are not mixed with the next one's either."""
    page, program = visited(own_site.address), "**/page/page.js"
    page.context.route(program, lambda route: route.fulfill(body="throw new Error('broken');",
                                                            content_type="text/javascript"))
    look(page)
    told(page, "There is a new version of this page.")
    load_again(page)
    page.get_by_role("alert").get_by_text("The page could not start in this browser").wait_for()
    page.context.unroute(program)
    page.reload()
    page.wait_for_function("() => window.heard?.includes('taken')", timeout=60_000)
    page.reload()
    find(page, own_site.meta[3]["name"])


@pytest.mark.long
def test_a_release_that_arrives_during_the_look_is_not_kept_in_halves(visited, own_site):
    page, asked = visited(own_site.address), []

    def changing(route) -> None:  # the first file of a new release; then the rest of it is there
        asked.append(route.request.url)
        route.fulfill(body=f"/* {min(len(asked), 3)} */", content_type="text/css")

    page.context.route("**/style.css", changing)
    look(page)
    page.evaluate(KEPT, ["/style.css", 3])
    assert page.locator("#update").is_hidden()
    look_until(page, asked, 3)
    told(page, "There is a new version of this page.")


@pytest.mark.long
@needs_runtime
def test_without_room_the_page_works_and_does_not_say_that_it_is_kept(visited, browser, site):
    page = visited(site.address)
    picture = f"picture?{site.meta[2]['image_url']}"
    allow(page, site.address, 1)
    assert page.evaluate(SHOWN, picture) > 0
    page.reload()
    find(page, site.meta[0]["name"])
    page = browser.new_context().new_page()
    allow(page, site.address, 1_000_000)
    page.add_init_script(HEARD)
    with page.context.expect_event("response", lambda answer: answer.url.endswith("opencv.js"), timeout=60_000):
        page.goto(site.address)
    find(page, site.meta[0]["name"])
    page.wait_for_timeout(1000)
    assert page.evaluate("window.heard ?? []") == []
    page.context.close()


def test_pages_get_threads_and_pictures_of_other_sites(site, tab):
    """The two headers give threads. A picture of a site that says nothing about other pages is shown nevertheless."""
    for path in ("", "style.css", "worker.js", "service_worker.js", "meta.json", "app.webmanifest"):
        headers = fetched(f"{site.address}/{path}").headers
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
        assert headers["Cross-Origin-Embedder-Policy"] == "credentialless", path
        assert headers["Cache-Control"] == "no-cache" and headers["ETag"], path
    assert tab.page.evaluate("crossOriginIsolated") is True
    with other_site((WEB / "icon-192.png").read_bytes()) as address:
        assert tab.page.evaluate(SHOWN, f"{address}/card.png") == 192
        tab.hosts.discard(urlsplit(address).netloc)


def test_the_list_of_files_is_what_stands_in_web():
    listed = json.loads("[" + (WEB / "page_files.js").read_text().split("PAGE_FILES = [")[1].split("]")[0].rstrip(",\n")
                        + "]")
    suffixes = {".js", ".mjs", ".wasm", ".css", ".html", ".svg", ".png", ".webmanifest"}
    there = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*")
             if path.suffix in suffixes and "node_modules" not in path.parts and "vendor" not in path.parts}
    made = (ROOT / "Makefile").read_text().replace("\\\n", "")
    runtime = made.split("RUNTIME := ")[1].splitlines()[0].split() + re.findall(r" web/(vendor/\w\S*)$", made, re.M)
    there |= {f"vendor/{Path(path).name}" for path in runtime}
    there = there - {"index.html", "service_worker.js", "page_files.js"} | {"./"}
    assert set(listed) == there and len(listed) == len(there)
    manifest = json.loads((WEB / "app.webmanifest").read_text())
    assert {icon["src"] for icon in manifest["icons"]} <= there
