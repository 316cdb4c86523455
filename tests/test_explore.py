"""Near-duplicates, clusters and the map: what scripts/explore.py writes, and what the page does in a browser."""
from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines, made_once
from PIL import Image
from test_web_page import AXE, hindrances

from benchmarks.compare_browser import QUIET, find_chromium
from mirror.drawn_cards import REPRINTS
from mtg_image_db.artefacts import file_sha256
from mtg_image_db.exploration import clusters, map_page, near_duplicates
from mtg_image_db.exploration.cards import Card

SCRIPT = "scripts/explore.py"
SOFTWARE = "--use-angle=swiftshader", "--enable-unsafe-swiftshader"  # WebGL without a GPU
HOSTILE = "</script><b>Jötun</b> \"'<img src=x onerror=document.title='taken'>"


@pytest.fixture(scope="module")
def explored(finished, shared) -> Path:
    """The folder that the script has written for the finished index."""
    with made_once(shared / "explored") as folder:
        if folder:
            done = finished.run(SCRIPT, "--out", folder)
            assert done.stdout == "" and f"shown in {folder / 'map.html'}" in done.stderr, done.stderr
    return shared / "explored"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Near-duplicates

def test_an_artwork_that_is_used_again_is_a_group(explored, finished):
    assert len(REPRINTS) == 1
    lines = finished.lines("mtg_meta.jsonl")
    names = [line["name"] for line in lines]
    twins = [row for row, name in enumerate(names) if names.count(name) == 2]
    groups = [row for row in rows_of(explored / "near_duplicates.csv") if row["kind"] == "same artwork"]
    assert sorted(int(row["row"]) for row in groups) == twins and len({row["group"] for row in groups}) == 1
    assert all(float(row["cosine"]) == 1 for row in groups)
    for row in groups:
        line = lines[int(row["row"])]
        assert all(row[key] == line[key] for key in ("name", "set", "collector_number", "artist", "illustration_id",
                                                     "face_id", "image_url", "scryfall_uri"))
    page = (explored / "near_duplicates.html").read_text()
    section = next(part for part in page.split("<section") if ": same artwork" in part)
    assert all(html.escape(lines[row]["image_url"], quote=True) in section for row in twins)


def kind(first: dict, second: dict) -> str:
    for key, name in (("illustration_id", "same artwork"), ("name", "same name"), ("artist", "same artist")):
        if first[key] and first[key] == second[key]:
            return name
    return "different cards"


def test_every_pair_above_the_cosine_is_there_and_none_below(explored, finished):
    lines = finished.lines("mtg_meta.jsonl")
    vectors = np.load(finished.out / "mtg_embeddings.npy")
    cosines = vectors @ vectors.T
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows_of(explored / "near_duplicates.csv"):
        groups.setdefault(row["group"], []).append(row)
    listed = set()
    for first, *others in groups.values():
        for other in others:
            a, b = int(first["row"]), int(other["row"])
            assert cosines[a, b] >= near_duplicates.LEAST["card"]
            assert float(other["cosine"]) == pytest.approx(cosines[a, b], abs=6e-5)
            listed |= {a, b}
            assert first["kind"] == other["kind"] == kind(lines[a], lines[b])
    np.fill_diagonal(cosines, 0)
    assert listed == set(np.flatnonzero((cosines >= near_duplicates.LEAST["card"]).any(axis=1)).tolist())


def test_the_art_is_compared_if_the_index_has_it(built, tmp_path):
    built.build("--with-art")
    for flags, what, file in ((), "art", "mtg_art_embeddings.npy"), (("--region", "card"), "complete pictures",
                                                                     "mtg_embeddings.npy"):
        done = built.run(SCRIPT, "--out", tmp_path, "--only", "near-duplicates", "--least", "0.9", *flags)
        assert f"Comparing 53 cards by their {what}" in done.stderr
        vectors = np.load(built.out / file)
        first, *_ = rows_of(tmp_path / "near_duplicates.csv")
        near = [row for row in rows_of(tmp_path / "near_duplicates.csv") if row["group"] == first["group"]]
        assert [float(row["cosine"]) for row in near] == pytest.approx(
            [float(vectors[int(first["row"])] @ vectors[int(row["row"])]) for row in near], abs=6e-5)


def test_a_higher_cosine_leaves_pairs_out(finished, tmp_path):
    done = finished.run(SCRIPT, "--out", tmp_path, "--only", "near-duplicates", "--least", "0.999")
    assert "1 pair of near-duplicates (--least 0.999) in 1 group: 1 same artwork." in done.stderr
    assert {row["kind"] for row in rows_of(tmp_path / "near_duplicates.csv")} == {"same artwork"}
    assert {path.name for path in tmp_path.iterdir()} == {"near_duplicates.csv", "near_duplicates.html"}


def test_pairs_are_those_of_one_large_product(monkeypatch):
    """Across the blocks, each pair once."""
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", 7)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(40, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    artworks = ["same" if row in (3, 30, 31) else None if row % 2 else str(row) for row in range(40)]
    pairs = near_duplicates.find_pairs(vectors, 0.9, artworks)
    cosines = vectors @ vectors.T
    expected = {(a, b) for a in range(40) for b in range(a + 1, 40)
                if cosines[a, b] >= 0.9 or (a in (3, 30) and b in (30, 31))}
    assert sorted(expected) == list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    np.fill_diagonal(cosines, -1)
    assert np.allclose(pairs.nearest, cosines.max(axis=1), atol=1e-6)
    assert np.allclose(pairs.cosine, [cosines[pair] for pair in sorted(expected)], atol=1e-6)


def test_a_chain_makes_no_giant_group():
    """Each row is like the next one, and the ends of the chain are not alike: every member is like its group's first,
    and every row is in a group."""
    first = np.arange(99)
    pairs = near_duplicates.Pairs(first, first + 1, np.full(99, 0.95, np.float32), np.full(100, 0.95, np.float32))
    groups = near_duplicates.group_pairs(pairs)
    assert max(len(group.others) for group in groups) == 2 and len(groups) == 50
    assert all(abs(row - group.first) == 1 for group in groups for row, _ in group.others)
    assert {row for group in groups for row in (group.first, *(row for row, _ in group.others))} == set(range(100))


def test_too_many_pairs_are_refused(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", 100)
    alike = np.tile(np.float32([1, 0]), (40, 1))
    with pytest.raises(near_duplicates.SuiteError) as error:
        near_duplicates.find_pairs(alike, 0.5)
    assert_three_lines(str(error.value), "Invalid Arguments")
    assert "--least" in str(error.value)


# Clusters and points

def test_points_are_a_line_for_each_card(explored, finished):
    points, lines = rows_of(explored / "points.csv"), finished.lines("mtg_meta.jsonl")
    assert [(int(row["row"]), row["name"], row["set"]) for row in points] == \
        [(number, line["name"], line["set"]) for number, line in enumerate(lines)]
    assert len({row["cluster"] for row in points}) == 2
    places = np.array([[float(row["x"]), float(row["y"])] for row in points])
    far = np.linalg.norm(places[:, None] - places[None], axis=2)
    names = [row["name"] for row in points]
    one, two = (row for row, name in enumerate(names) if names.count(name) == 2)
    assert far[one, two] < np.median(far) / 4, "two equal pictures lie apart on the map"


def test_clusters_are_named_for_what_is_special():
    vectors = np.repeat(np.eye(2, dtype=np.float32), [30, 20], axis=0)
    cards = [card(row, type_line="Creature — Elf" if row < 30 else "Creature — Goblin",
                  colors=["G"] if row < 30 else ["R"]) for row in range(50)]
    found = clusters.find_clusters(vectors, 2)
    assert found.of_row.tolist() == [0] * 30 + [1] * 20
    assert clusters.label_clusters(found, cards, "card") == ["1: Elf, Green", "2: Goblin, Red"]


def test_clusters_need_no_extra_and_the_map_says_that_it_does(finished, tmp_path):
    """Without umap-learn, which a part of the script does not need."""
    code = "import sys, importlib.util as util; find = util.find_spec\n" \
           "util.find_spec = lambda name, *rest: None if name == 'umap' else find(name, *rest)\n" \
           "sys.modules['umap'] = None\n" \
           "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"

    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        start = f"import sys; sys.argv = {[str(ROOT / SCRIPT), '--out', str(tmp_path / 'out'), *flags]!r}\n"
        return subprocess.run([sys.executable, "-c", start + code], cwd=finished.path, capture_output=True, text=True,
                              check=False)

    done = run("--only", "map")
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    assert_three_lines(done.stderr, "Configuration Error")
    assert "pip install umap-learn" in done.stderr and "--only near-duplicates" in done.stderr
    done = run("--clusters", "5")
    assert done.returncode == 0 and "The map is left out" in done.stderr, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"near_duplicates.csv", "near_duplicates.html",
                                                                    "points.csv"}
    points = rows_of(tmp_path / "out" / "points.csv")
    assert len({row["cluster"] for row in points}) == 5 and {row["x"] for row in points} == {""}


def test_wrong_calls_and_damaged_files_are_told_in_three_lines(built, tmp_path):
    assert_three_lines(built.run(SCRIPT, "--only", "maps", "--least", "2", "--clusters", "0", code=1).stderr,
                       "Invalid Arguments")
    assert_three_lines(built.run(SCRIPT, "--index-dir", tmp_path / "none", code=3).stderr, "Configuration Error")
    (built.out / "mtg_meta.jsonl").write_text("{}\n")
    assert_three_lines(built.run(SCRIPT, "--only", "clusters", code=1).stderr, "Validation Error")
    assert not (built.path / "explore_out").exists()


def test_a_hostile_name_stays_text_in_the_page_of_near_duplicates(finished, tmp_path):
    space = Workspace(tmp_path / "work")
    shutil.copytree(finished.out, space.out)
    meta, manifest = space.out / "mtg_meta.jsonl", space.manifest()
    hostile = {"name": HOSTILE, "artist": HOSTILE, "scryfall_uri": "javascript:alert(1)"}
    meta.write_text("".join(json.dumps(line | hostile) + "\n" for line in space.lines("mtg_meta.jsonl")))
    manifest["outputs"][meta.name] = {"bytes": meta.stat().st_size, "sha256": file_sha256(meta)}
    (space.out / "build_manifest.json").write_text(json.dumps(manifest))
    space.run(SCRIPT, "--only", "near-duplicates")
    page = (space.path / "explore_out" / "near_duplicates.html").read_text()
    assert html.escape(HOSTILE) in page and "onerror=document" in page
    assert "<b>Jötun" not in page and "<img src=x" not in page and "javascript:" not in page


# The page of the map

def card(row: int, **told: object) -> Card:
    usual = {"name": f"Card {row}", "set": "qma", "set_name": "Amberfall", "collector_number": str(row),
             "scryfall_id": str(row), "face_id": str(row), "image_url": f"https://cards.example/{row}.jpg",
             "card_url": f"https://cards.example/{row}.jpg", "scryfall_uri": f"https://scryfall.example/{row}",
             "artist": "A script", "card_name": f"Card {row}", "lang": "en", "layout": "normal", "rarity": "common",
             "finishes": [], "oracle_id": None, "illustration_id": None, "tcgplayer_id": None, "cardmarket_id": None,
             "released_at": "2019-03-08", "type_line": "Creature", "frame": "2015", "colors": [],
             "color_identity": []}
    return Card(row=row, **{**usual, **told})


GRID = 20
CARDS = [card(row, name=f"{'Heron' if row % 2 else 'Moth'} {row}", color_identity=["W"] if row < 200 else ["U"],
              released_at=f"{2000 + row // 40}-01-01", artist=f"Artist {row % 30}") for row in range(GRID ** 2)]
CARDS[0] = card(0, name=HOSTILE, artist=HOSTILE, set_name=HOSTILE, scryfall_uri="javascript:alert(1)",
                card_url="javascript:alert(2)")


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=[*QUIET, *SOFTWARE])


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The map of CARDS: a grid, in which the rows go to the right, and then up."""
    path = tmp_path_factory.mktemp("map") / "map.html"
    places = np.array([[row % GRID, row // GRID] for row in range(GRID ** 2)], np.float32)
    map_page.write_map(path, CARDS, places, ["1: <i>Elf</i>"] * len(CARDS), "400 cards")
    return path


@pytest.fixture
def opened(chromium, written):
    """The open page, and the addresses that it asked for. Nothing may have gone wrong in it at the end."""
    with_page = Opened(chromium, written, viewport={"width": 1000, "height": 700})
    yield with_page
    with_page.context.close()
    assert with_page.errors == []


class Opened:
    """An open page, the addresses that it asked for, and its errors."""

    def __init__(self, chromium, path: Path, **context) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (488, 680), "#456").save(picture, "PNG")
        self.context = chromium.new_context(**context)
        self.page, self.asked, self.errors = self.context.new_page(), [], []
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page.route(re.compile("^https:"), lambda route: route.fulfill(body=picture.getvalue(),
                                                                           content_type="image/png"))
        self.page.goto(path.as_uri())
        self.page.get_by_role("status").get_by_text("cards").wait_for()

    def drawn(self) -> None:
        """Wait until what was asked for is drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def shown_card(self) -> str:
        """The name of the card that the page shows. Empty if it shows none."""
        return self.page.locator("#card h2").inner_text() if self.page.locator("#card").is_visible() else ""

    def colours(self) -> dict[tuple[int, ...], int]:
        """How many pixels of the map have each colour, without its edges."""
        self.drawn()
        picture = Image.open(io.BytesIO(self.page.locator("#map").screenshot())).convert("RGB")
        return {colour: count for count, colour in picture.getcolors(1 << 24)}

    def pixels_of(self, entry: str) -> int:
        """How many pixels of the map have the colour of an entry of the legend."""
        shown = self.page.locator(f"#entries button:has-text('{entry}') i").evaluate(
            "(entry) => { const context = document.createElement('canvas').getContext('2d');"
            "context.fillStyle = getComputedStyle(entry).backgroundColor; context.fillRect(0, 0, 1, 1);"
            "return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]; }")
        page = (250, 249, 246)
        bright = [page[at] + (shown[at] - page[at]) * 0.85 for at in range(3)]
        return sum(count for colour, count in self.colours().items()
                   if max(abs(colour[at] - bright[at]) for at in range(3)) <= 4)


def test_points_are_drawn_in_the_colours_of_the_legend(opened):
    white, blue = opened.pixels_of("White"), opened.pixels_of("Blue")
    assert white > 2000 and blue > 2000 and 0.7 < white / blue < 1.4  # 199 and 200 cards
    opened.page.locator("#entries").get_by_role("button", name="Blue").click()
    assert opened.pixels_of("White") == 0 and opened.pixels_of("Blue") == pytest.approx(blue, rel=0.05)
    opened.page.get_by_role("button", name="Show all").click()
    assert opened.pixels_of("White") == white
    opened.page.get_by_label("Colour by").select_option("year")
    opened.page.locator("#entries button", has_text="2000").wait_for()  # without text before they are laid out
    entries = [text.split() for text in opened.page.locator("#entries button").all_inner_texts()]
    assert entries == [["2000", "39"], *([str(year), "40"] for year in range(2001, 2010)), ["2019", "1"]]
    assert opened.pixels_of("2005") > 300 and opened.pixels_of("2009") > 300
    opened.page.get_by_label("Colour by").select_option("artist")
    opened.page.get_by_label("Find in the legend").fill("artist 29")
    opened.page.locator("#entries button", has_text="Artist 29").wait_for()
    assert opened.page.locator("#entries li:visible").count() == 1
    assert all(address.startswith("file:") for address in opened.asked)


def test_a_search_finds_cards_and_a_tap_shows_the_one_under_it(opened):
    page = opened.page
    page.get_by_label("Find a card").fill("HERON 21")
    assert page.get_by_role("status").inner_text().startswith("9 cards")  # 21, 121, 211, 213, ... 219, 221, 321
    assert 0 < opened.pixels_of("White") < 200, "only two of them are white"
    page.locator("#found button", has_text=re.compile(r"^Heron 21 ")).click()
    shown = page.locator("#card")
    assert opened.shown_card() == "Heron 21" and "Amberfall" in shown.inner_text()
    assert shown.locator("a").get_attribute("href") == "https://scryfall.example/21"
    beside = shown.locator(".near button").all_inner_texts()
    assert {"Moth 20 (QMA)", "Moth 22 (QMA)"} <= set(beside)
    page.get_by_label("Find a card").fill("")
    page.get_by_role("button", name="Close the card").click()
    assert shown.is_hidden()
    box = page.locator("#map").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(*middle)
    assert opened.shown_card() == "Heron 21"
    page.keyboard.press("Escape")
    page.locator("#map").focus()
    page.keyboard.press("Enter")
    assert opened.shown_card() == "Heron 21", "the keyboard shows the card in the middle"
    page.keyboard.press("Escape")
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1], steps=3)
    page.mouse.up()
    assert shown.is_hidden(), "a map that is moved shows no card"
    page.mouse.click(middle[0] + 90, middle[1])
    assert opened.shown_card() == "Heron 21", "it went with the pointer"
    page.mouse.move(middle[0] + 90, middle[1])
    page.mouse.wheel(0, -400)
    opened.drawn()
    page.mouse.click(middle[0] + 90, middle[1])
    assert opened.shown_card() == "Heron 21", "what is under the pointer stays there when one zooms"
    pictures = {address for address in opened.asked if not address.startswith("file:")}
    assert pictures == {"https://cards.example/21.jpg"}


def test_hostile_names_are_text(opened):
    page = opened.page
    page.get_by_label("Find a card").fill("jotun")
    page.locator("#found button").click()
    assert page.locator("#card h2").inner_text() == HOSTILE and HOSTILE in page.locator("#card").inner_text()
    assert page.locator("#card a, #card b, main b").count() == 0 and page.title() == "Map of the cards"
    assert page.locator("#card img").get_attribute("src") == ""
    page.get_by_label("Colour by").select_option("set")
    page.get_by_label("Colour by").select_option("cluster")
    page.locator("#entries").get_by_text("1: <i>Elf</i>").wait_for()
    assert all(address.startswith("file:") for address in opened.asked)
    assert opened.errors == []
    refused = "fetch('https://cards.example/').then(() => 'answered', error => error.name)"
    assert page.evaluate(refused) == "TypeError" and "Content Security Policy" in " ".join(opened.errors)
    opened.errors.clear()


@pytest.mark.skipif(not AXE.exists(), reason="web/node_modules is not there: make test fetches it with npm")
def test_nothing_hinders_anyone_on_a_phone_in_the_dark(chromium, written):
    """axe-core finds nothing (WCAG 2.2 AA), nothing is wider than the screen, and two fingers zoom."""
    opened = Opened(chromium, written, viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True,
                    bypass_csp=True)
    page = opened.page
    page.locator("summary").click()
    assert hindrances(page) == []
    page.locator("summary").click()
    page.get_by_label("Find a card").fill("heron 21")
    page.locator("#found button").first.click()
    assert hindrances(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Close the card").click()
    session = opened.context.new_cdp_session(page)
    page.get_by_label("Find a card").fill("")
    page.get_by_role("button", name="All").click()
    before = sum(count for colour, count in opened.colours().items() if max(colour) > 90)
    for kind, apart in (("touchStart", 30), *(("touchMove", apart) for apart in range(40, 150, 20))):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": 195 - apart, "y": 400, "id": 1}, {"x": 195 + apart, "y": 400, "id": 2}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after = sum(count for colour, count in opened.colours().items() if max(colour) > 90)
    assert after != before and page.locator("#card").is_hidden()
    opened.context.close()
    assert opened.errors == []
