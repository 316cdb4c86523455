"""The page in browsers that lack something, and behind servers that send another type."""
from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from conftest import Workspace
from web_site import HELD, fetched, needs_runtime, served

TYPES = """\
import mimetypes
mimetypes.init()
for suffix in (".js", ".mjs", ".css", ".wasm"):
    mimetypes.add_type("text/plain", suffix)
"""

# The vectors arrive in ten parts: the first one at once, then as many as the page says.
TRICKLE = """
const arrived = self.fetch;
self.fetch = async (address, options) => {
    const answer = await arrived(address, options);
    if (!String(address).endsWith("embeddings.i8bin")) return answer;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const size = Math.ceil(bytes.length / 10);
    let at = 0;
    return new Response(new ReadableStream({ start(stream) {
        const send = ({ data: count }) => {
            for (; count > 0; count--, at += size) stream.enqueue(bytes.slice(at, at + size));
            if (at >= bytes.length) stream.close();
        };
        new BroadcastChannel("parts").onmessage = send;
        send({ data: 1 });
    } }));
};
"""


@pytest.fixture
def page(browser) -> Iterator[object]:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def without(page, script: str) -> None:
    """From now on the page and its worker lack what the JavaScript deletes."""
    def changed(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=f"{script}\n{answer.text()}")

    page.add_init_script(script)
    page.context.route("**/worker.js", changed)


def found(page, name: str) -> None:
    """Words find the card of this name."""
    page.get_by_role("searchbox", name="Search for cards").fill(name)
    page.locator(".tile .name", has_text=name).first.wait_for()


def error(page) -> str:
    page.locator("#error:not(:empty)").wait_for()
    return page.get_by_role("alert").inner_text()


@pytest.mark.fault("browser")
@pytest.mark.parametrize("script, named", [
    ("delete globalThis.WebAssembly;", "has no WebAssembly,"),
    ("WebAssembly.validate = () => false;", "has no WebAssembly SIMD"),
    ("globalThis.createImageBitmap = undefined;", "has no createImageBitmap")])
def test_what_a_browser_lacks_is_said_first_and_names_are_still_found(page, site, script, named):
    without(page, script)
    page.goto(site.address)
    assert named in error(page)
    name = site.meta[0]["name"]
    found(page, name)
    page.locator(".tile a", has_text=name).first.click()
    page.get_by_role("heading", name="Printings with this artwork").wait_for()
    if "createImageBitmap" in named:
        page.get_by_role("heading", name="Similar art").wait_for()
    page.get_by_role("link", name="Photo", exact=True).click()
    page.set_input_files("#file", site.picture(3))
    assert named in error(page)


@pytest.mark.long
@needs_runtime
@pytest.mark.fault("browser")
def test_an_older_browser_names_a_picture_and_uses_the_camera(page, site):
    without(page, "delete globalThis.OffscreenCanvas; delete Array.prototype.toSorted;"
                  "delete Object.getPrototypeOf(Float32Array).prototype.toSorted;")
    page.goto(f"{site.address}/#photo")
    page.set_input_files("#file", site.picture(3))
    page.get_by_role("heading", name="1 card recognised").wait_for()
    assert page.locator(".found .row b").inner_text() == site.meta[3]["name"]
    page.goto(f"{site.address}/#scan")
    page.locator(".latest b", has_text=site.meta[HELD]["name"]).wait_for()


@pytest.mark.fault("browser")
def test_a_page_without_what_npm_brings_finds_names(page, site):
    page.route("**/vendor/*", lambda route: route.fulfill(status=404))
    page.goto(site.address)
    found(page, site.meta[0]["name"])
    assert not page.locator("#error").is_visible()
    page.goto(f"{site.address}/#photo")
    page.set_input_files("#file", site.picture(3))
    assert "not installed: make web" in error(page)


@pytest.mark.fault("browser")
@pytest.mark.parametrize("name, words", [("page/page.js", "another type than JavaScript"),
                                         ("search.js", "another type than JavaScript"),
                                         ("worker.js", "The search could not start: worker.js is missing")])
def test_programs_sent_as_text_are_said_in_words(page, site, name, words):
    def as_text(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "content-type": "text/plain"})

    page.route(f"**/{name}", as_text)
    page.goto(site.address)
    assert words in error(page)
    assert page.locator("#progress").is_hidden()


@pytest.mark.fault("browser")
def test_a_start_that_does_not_end_says_so_after_twenty_seconds(page, site):
    held = []
    page.clock.install()
    page.route("**/meta.json", lambda route: held.append(route))
    with page.expect_request("**/meta.json"):
        page.goto(site.address)
    page.clock.run_for(19_000)
    assert not page.locator("#error").is_visible()
    page.clock.run_for(2_000)
    assert "Nothing new has arrived for 20 seconds" in error(page)
    held[0].continue_()
    page.locator("main > *").wait_for()
    assert not page.locator("#error").is_visible()


@pytest.mark.fault("browser")
def test_a_slow_start_is_no_stall_until_nothing_arrives(page, site):
    without(page, TRICKLE)
    page.clock.install()
    page.goto(site.address)
    page.evaluate("window.pipe = new BroadcastChannel('parts')")
    for part in (1, 2, 3):
        page.locator(f"#progress[value^='0.{part}']").wait_for()
        page.clock.run_for(15_000)
        assert not page.locator("#error").is_visible()
        page.evaluate("pipe.postMessage(1)")
    page.locator("#progress[value^='0.4']").wait_for()
    page.clock.run_for(21_000)
    assert "Nothing new has arrived for 20 seconds" in error(page)
    page.evaluate("pipe.postMessage(6)")
    page.locator("main > *").wait_for()
    assert not page.locator("#error").is_visible()


@pytest.mark.fault("browser")
def test_the_server_sends_programs_with_their_type_whatever_the_machine_says(site, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(TYPES)
    work = site.workspace

    class Elsewhere(Workspace):
        def environment(self, **extra: str) -> dict[str, str]:
            return super().environment(PYTHONPATH=str(tmp_path), **extra)

    with served(Elsewhere(work.path)) as address:
        types = {name: fetched(f"{address}/{name}").headers["Content-Type"]
                 for name in ("page/page.js", "style.css", "", "meta.json", "icon.svg")}
    text = "; charset=utf-8"
    assert types == {"page/page.js": f"text/javascript{text}", "style.css": f"text/css{text}", "": f"text/html{text}",
                     "meta.json": "application/json", "icon.svg": "image/svg+xml"}


@needs_runtime
def test_the_workers_may_talk_to_this_server_only(tab, site):
    """The page's own policy does not hold for them. With it, the networks still run in several threads."""
    tab.page.unroute("**/worker.js")
    tab.page.goto("about:blank")
    tab.page.goto(f"{site.address}/#photo")
    tab.page.set_input_files("#file", site.picture(3))
    tab.heading("1 card recognised")
    refused = "fetch('data:,x').then(() => 'answered', (error) => error.message)"
    assert [worker.evaluate(refused) for worker in tab.page.workers[:1]] == ["Failed to fetch"]
    for name in ("worker.js", "vendor/ort-wasm-simd-threaded.mjs"):
        assert "default-src 'none'" in fetched(f"{site.address}/{name}").headers["Content-Security-Policy"]
    if os.cpu_count() > 1:
        assert any(worker.url.endswith("ort-wasm-simd-threaded.mjs") for worker in tab.page.workers)
    tab.errors[:] = [error for error in tab.errors if "data:,x" not in error]
