"""The page finds cards by words: its tokens, vectors and cards are Python's, also without a network."""
from __future__ import annotations

import contextlib
import gzip
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, assert_three_lines, made_once
from test_web_offline import KEPT, allow, look, told, visited  # noqa: F401 - a fixture
from test_web_page import AXE, hindrances
from test_words import TEXTS
from web_site import as_served, needs_runtime

import mtg_image_db
from mtg_image_db.artefacts import TEXT_MODEL, TOKENIZER, cache_name
from mtg_image_db.browser import site as sites
from mtg_image_db.browser.freshness import is_current
from mtg_image_db.browser.server import application, bound, serving
from mtg_image_db.embedding.text_embedder import TextEmbedder
from mtg_image_db.index.word_search import Part, best_rows, chance

pytestmark = needs_runtime
SAID = ["a dragon over a burning village", "an angel", "a castle at night"]
EMBED = """async ([files, context, texts]) => {
    const { openTextEmbedder } = await import('/recognition/text_embedder.js');
    const [network, tokenizer] = await Promise.all(files.map(async (file) =>
        new Uint8Array(await (await fetch(`/${file}`)).arrayBuffer())));
    const words = await openTextEmbedder(network, tokenizer, context);
    return { tokens: texts.map((text) => [...words.tokens([text])]),
             vectors: (await words.embed(texts)).map((vector) => [...vector]) };
}"""


@pytest.fixture(scope="module")
def exported(clip_index, shared) -> Path:
    """clip_index exported with its words. Shared by every process of the tests: read only."""
    path = shared / "words"
    with made_once(path) as folder:
        if folder:
            done = clip_index.run("export_for_browser.py", "--with-text", "--output-dir", folder)
            assert "text.int8.onnx " in done.stderr, "the size is told"
    return path


@contextlib.contextmanager
def shown_at(clip_index, exported: Path) -> Iterator[str]:
    """The address of the page with this export of clip_index."""
    files = sites.Site(ROOT / "web", clip_index.out, clip_index.cache, exported)
    with bound("127.0.0.1", 0) as listening, serving(application(files, None, []), listening):
        yield f"http://localhost:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def address(clip_index, exported) -> Iterator[str]:
    with shown_at(clip_index, exported) as address:
        yield address


@pytest.fixture
def page(browser) -> Iterator[object]:
    """A tab of a phone, in which nothing may go wrong."""
    context, errors = browser.new_context(viewport={"width": 390, "height": 844}, service_workers="block",
                                          bypass_csp=True), []  # for axe-core
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def head_of(folder: Path) -> dict:
    return json.loads((folder / "meta.json").read_bytes())


def hinders_nobody(page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not AXE.exists() or hindrances(page) == []


def names(page) -> list[str]:
    page.locator(".tile").first.wait_for()
    return page.locator(".tile .name").all_inner_texts()


def test_words_become_pythons_tokens_and_vectors(page, address, clip_index, exported):
    text = head_of(exported)["text"]
    page.goto(f"{address}/style.css")  # any page of the site, so that its modules can be imported
    files = [text[part]["file"] for part in ("model", "tokenizer")]
    found = page.evaluate(EMBED, [files, text["context"], TEXTS])
    words = TextEmbedder(clip_index.out / TEXT_MODEL, clip_index.out / TOKENIZER)
    assert np.array_equal(found["tokens"], words.tokens(TEXTS))
    cosines = (np.array(found["vectors"]) * words.embed(TEXTS)).sum(axis=1)
    print(f"\nlowest cosine {cosines.min():.6f}")
    assert cosines.min() >= 0.999


def test_an_app_gets_the_cards_that_python_gets(page, address, clip_index, exported):
    """Up to the rounding of the page's vectors and weights: so what a card stands out by is compared with Python's on
    the same int8 vectors."""
    meta = clip_index.lines("mtg_meta.jsonl")
    page.goto(f"{address}/style.css")
    found = page.evaluate("""async ([texts, least]) => {
        const { openIndex } = await import('/search.js');
        const index = await openIndex('/');
        const fails = (asked) => asked.then(() => '', ({ message }) => message);
        return {
            words: index.about.words,
            one: await index.searchText(texts[0], { k: 20, least }),
            less: await index.searchText(texts.slice(0, 2), { exclude: [texts[2]], k: 20, least }),
            usual: await index.searchText(texts[0]),
            none: await index.searchText(texts[0], { least: 99 }),
            empty: await fails(index.searchText([' '], { exclude: texts })),
        };
    }""", [SAID, -100])
    assert found["words"] == sum((exported / name).stat().st_size for name in ("text.int8.onnx", TOKENIZER))
    rounded = np.fromfile(exported / "embeddings.i8bin", np.int8).reshape(20, -1).astype(np.float32) / 127
    said = TextEmbedder(clip_index.out / TEXT_MODEL, clip_index.out / TOKENIZER).embed(SAID)
    for key, parts in {"one": [Part(said[0])], "less": [Part(said[0]), Part(said[1]), Part(said[2], -1)]}.items():
        expected = {standing.row: standing for standing in best_rows(rounded, parts, 20, -100)}
        matches, total = found[key]["matches"], found[key]["total"]
        assert total == len(matches) == 20 and {match["row"] for match in matches} == set(range(20))
        apart = [expected[match["row"]].stands_out for match in matches]
        assert np.allclose([match["stands_out"] for match in matches], apart, atol=0.15), key
        assert np.all(np.diff(apart) < 0.15), "the best first"
        cosines = [expected[match["row"]].cosines for match in matches]
        assert np.allclose([match["cosines"] for match in matches], cosines, atol=0.004), key
        assert [match["record"]["name"] for match in matches] == [meta[match["row"]]["name"] for match in matches]
    least = chance(20)
    assert found["usual"]["least"] == pytest.approx(least, abs=1e-3)
    assert [match["row"] for match in found["usual"]["matches"]] == [
        match["row"] for match in found["one"]["matches"] if match["stands_out"] >= least][:10]
    assert (found["none"]["total"], found["none"]["matches"]) == (0, [])
    assert found["empty"].startswith("There is nothing to search for")

    index = mtg_image_db.open_index(clip_index.out)
    python = [face.row for face in index.search_text([SAID[0]], k=20, least=-100)]
    assert len({*python[:5]} & {match["row"] for match in found["one"]["matches"][:6]}) >= 4


@pytest.mark.long
def test_an_app_adds_pictures_to_words(page, clip_index, tmp_path):
    row = 7
    clip_index.run("export_for_browser.py", "--with-model", "--with-text", "--output-dir", tmp_path)
    picture = clip_index.cache / cache_name(clip_index.lines("mtg_meta.jsonl")[row]["image_url"])
    as_served(page, "asked", picture.read_bytes())
    with shown_at(clip_index, tmp_path) as address:
        page.goto(f"{address}/style.css")
        both, alone = page.evaluate("""async (text) => {
            const { openIndex } = await import('/search.js');
            const index = await openIndex('/');
            const pictures = [await (await fetch('/asked')).blob()];
            return [await index.searchText(text, { pictures, k: 20, least: -100 }),
                    await index.searchText([], { pictures, k: 1 })];
        }""", SAID[0])
    python = mtg_image_db.open_index(clip_index.out).search_text(SAID[:1], [picture], k=20, least=-100)
    expected = {face.row: (face.stands_out, face.cosines) for face in python}
    for match in both["matches"]:
        assert np.allclose(match["cosines"], expected[match["row"]][1], atol=0.01)
        assert match["stands_out"] == pytest.approx(expected[match["row"]][0], abs=0.4, rel=0.1)
    assert [match["row"] for match in alone["matches"]] == [row]


def test_the_page_finds_cards_by_what_pictures_show(page, address, exported):
    fetched, head = [], head_of(exported)
    page.on("request", lambda request: fetched.append(request.url.rpartition("/")[2]))

    def stand_out(least: float) -> None:  # half of the cards are above 0
        head["text"]["least"] = least
        as_served(page, "meta.json", json.dumps(head).encode())

    def way(name: str) -> None:
        page.get_by_role("navigation", name="Search in").get_by_role("link", name=name).click()

    stand_out(0)
    as_served(page, "text.int8.onnx", b"", 404)
    page.goto(address)
    page.get_by_role("searchbox").fill(SAID[0])
    page.get_by_role("heading", name="No card fits").wait_for()
    assert "text.int8.onnx" not in fetched, "nobody has asked for pictures"
    page.get_by_role("link", name=f"Search the pictures for “{SAID[0]}”").click()
    page.locator("#error:not(:empty)").wait_for()
    assert "text.int8.onnx is not there" in page.get_by_role("alert").inner_text()
    page.unroute("**/text.int8.onnx")
    way("Names")
    page.get_by_role("heading", name="No card fits").wait_for()
    assert page.get_by_role("alert").is_hidden() and page.get_by_role("combobox", name="Sort by").is_visible()
    way("Pictures")
    found = names(page)
    assert "by=picture" in page.url and 10 <= len(found) < 20
    assert "Ordered by how well the picture fits" in page.locator(".order").inner_text()
    assert page.locator("#said").inner_text().startswith(f"{len(found)} cards. Ordered")
    assert page.get_by_role("combobox", name="Sort by").is_hidden()
    hinders_nobody(page)
    box = page.get_by_role("searchbox", name="What the picture shows")
    box.fill("a castle")
    page.wait_for_url(lambda url: "castle" in url and "by=picture" in url)
    page.go_back()
    page.wait_for_url(lambda url: "a+dragon" in url)
    page.locator("h1", has_text="No card fits").wait_for()  # typing changes the last entry, and makes no new one
    page.go_forward()
    page.wait_for_url(lambda url: "castle" in url)

    stand_out(50)
    page.reload()
    page.get_by_role("heading", name="No picture stands out").wait_for()
    assert box.input_value() == "a castle" and "clearly better" in page.locator(".notes").inner_text()
    hinders_nobody(page)
    page.get_by_role("link", name="Show the cards that come nearest").click()
    assert len(names(page)) == 20


def test_a_page_without_words_does_not_offer_them(tab):
    tab.page.goto(f"{tab.page.url}?q=a dragon over a village&by=picture")
    tab.page.get_by_role("searchbox", name="Search for cards").wait_for()
    tab.page.locator("h1", has_text="card").first.wait_for()
    assert tab.page.get_by_role("navigation", name="Search in").is_hidden()
    assert tab.page.get_by_text("Search the pictures for").count() == 0


def test_words_are_kept_once_they_were_used(visited, address):  # noqa: F811 - the fixture
    page = visited(address)
    page.evaluate(KEPT, ["/text.int8.onnx", 0])
    page.get_by_role("searchbox").fill(SAID[0])
    page.get_by_role("link", name="Pictures", exact=True).click()
    page.get_by_role("heading", name=re.compile("stands out|card")).wait_for()
    if page.get_by_role("link", name="Show the cards").is_visible():  # depends on the random weights
        page.get_by_role("link", name="Show the cards").click()
    found = names(page)
    page.evaluate(KEPT, ["/text.int8.onnx", 1])
    page.evaluate(KEPT, ["/text_tokenizer.json", 1])
    assert page.locator("#update").is_hidden(), "the page is as new as before"
    page.context.set_offline(True)
    page.reload()
    assert names(page) == found


@pytest.mark.long
def test_without_room_for_words_new_cards_still_arrive(visited, clip_index, exported, tmp_path):  # noqa: F811
    """The words are used, and not kept. That does not stop what else is kept."""
    copy = tmp_path / "site"
    shutil.copytree(exported, copy)
    with shown_at(clip_index, copy) as address:
        page = visited(address)
        used = page.evaluate("async () => (await navigator.storage.estimate()).usage")
        allow(page, address, used + 3_000_000)
        page.get_by_role("searchbox").fill(SAID[0])
        page.get_by_role("link", name="Pictures", exact=True).click()
        page.get_by_role("heading", name=re.compile("stands out|card")).wait_for()
        meta = json.loads((copy / "meta.json").read_bytes())
        meta["records"][3]["name"] = "Zzyzx, the New"
        (copy / "meta.json.gz").unlink()
        (copy / "meta.json").write_text(json.dumps(meta))
        for _ in range(60):  # a look that begins during another is one with it
            look(page)
            page.wait_for_timeout(1000)
            if page.locator("#update-what", has_text="There are new cards").is_visible():
                break
        told(page, "There are new cards")
        page.evaluate(KEPT, ["/text.int8.onnx", 0])


def test_the_export_has_words_if_it_is_asked_for_them(clip_index, exported, finished, tmp_path):
    manifest, head, other = clip_index.manifest(), head_of(exported), tmp_path / "other"
    shutil.copytree(exported, other)
    assert head["text"]["context"] == 77 and head["text"]["dtype"] == "int32"

    def say(text: dict | None) -> None:
        told = {key: value for key, value in (head | {"text": text}).items() if value is not None}
        data = json.dumps(told, separators=(",", ":")).encode()
        (other / "meta.json").write_bytes(data)
        (other / "meta.json.gz").write_bytes(gzip.compress(data))

    def needed() -> bool:  # without pictures, the model is not exported
        return sites.needs_export(sites.Site(ROOT / "web", clip_index.out, tmp_path / "none", other), manifest)

    say(head["text"])
    assert is_current(other, manifest) and not needed()
    for changed in ({"build": {}}, {"least": 1.0}):
        say(head["text"] | changed)
        assert not is_current(other, manifest), changed
    say(None)
    assert is_current(other, manifest) and needed(), "an export of an earlier version has no words"
    say(head["text"])
    (other / "text.int8.onnx").write_bytes(b"damaged")
    assert not is_current(other, manifest)

    refused = finished.run("export_for_browser.py", "--with-text", "--output-dir", tmp_path / "none", code=1)
    assert_three_lines(refused.stderr, "Configuration Error")
    assert "efficientnet-lite0 knows pictures only" in refused.stderr and "ViT-B-32-quickgelu" in refused.stderr
    assert not (tmp_path / "none").exists()
    removed = clip_index.run("export_for_browser.py", "--output-dir", other).stderr
    assert "Removed from" in removed and "--with-text writes them anew" in removed
    assert not {"text.int8.onnx", "text_tokenizer.json"} & {file.name for file in other.iterdir()}
