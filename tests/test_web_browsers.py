"""The page in browsers that lack something, and behind servers that send another type."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import Workspace
from web_site import fetched, needs_runtime, served

TYPES = """\
import mimetypes
mimetypes.init()
for suffix in (".js", ".mjs", ".css", ".wasm"):
    mimetypes.add_type("text/plain", suffix)
"""


@pytest.fixture
def page(browser) -> Iterator[object]:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def without(page, script: str) -> None:
    """From now on the page and its worker lack what the JavaScript deletes."""
    def changed(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=f"{script}\n{answer.text()}")

    page.add_init_script(script)
    page.context.route("**/worker.js", changed)


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
    page.get_by_role("searchbox").fill(site.meta[0]["name"])
    page.get_by_role("heading", name="card with").wait_for()
    assert site.meta[0]["name"] in page.locator("#cards h3").all_inner_texts()
    similar = "createImageBitmap" in named
    assert page.get_by_role("button", name="More like this").first.is_visible() == similar
    assert not page.locator("#drop").is_visible()
    assert named in error(page), "it stays as long as nothing else is wrong"


@needs_runtime
@pytest.mark.fault("browser")
def test_an_older_browser_names_a_picture_and_uses_the_camera(page, site):
    without(page, "delete globalThis.OffscreenCanvas; delete Array.prototype.toSorted;"
                  "delete Object.getPrototypeOf(Float32Array).prototype.toSorted;")
    page.goto(site.address)
    page.locator("#drop").wait_for()
    page.set_input_files("#file", site.picture(3))
    page.get_by_role("heading", name="Recognised").wait_for()
    page.get_by_role("button", name="Use the camera").click()
    page.locator("#best h3").wait_for()


@pytest.mark.fault("browser")
@pytest.mark.parametrize("name, words", [("page.js", "another type than JavaScript"),
                                         ("search.js", "another type than JavaScript"),
                                         ("worker.js", "The search could not start: worker.js is missing")])
def test_programs_sent_as_text_are_said_in_words(page, site, name, words):
    def as_text(route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "content-type": "text/plain"})

    page.route(f"**/{name}", as_text)
    page.goto(site.address)
    assert words in error(page)
    assert page.locator("#about").inner_text() == "No cards"


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
    page.get_by_text("53 cards").wait_for()
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
                 for name in ("page.js", "style.css", "", "meta.json", "icon.svg")}
    text = "; charset=utf-8"
    assert types == {"page.js": f"text/javascript{text}", "style.css": f"text/css{text}", "": f"text/html{text}",
                     "meta.json": "application/json", "icon.svg": "image/svg+xml"}
