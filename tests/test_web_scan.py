"""The camera in the page: each card goes on the list once, and the list leaves as Python writes it."""
from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image
from web_site import HELD, as_served, needs_runtime

from mirror.drawn_cards import draw_face
from mirror.drawn_scenes import scene

# A camera whose picture the test chooses: a canvas instead of a film, so that slow machines see each scene too.
CANVAS_CAMERA = """(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 450, height: 600 });
    let shown = null;
    const draw = () => shown && canvas.getContext("2d").drawImage(shown, 0, 0);
    window.showScene = async (address) => {
        const next = new Image();
        next.src = address;
        await next.decode();
        shown = next;
        draw();
    };
    navigator.mediaDevices.getUserMedia = async () => {
        setInterval(draw, 100);
        return canvas.captureStream(10);
    };
})()"""
SCANNED = [3, 8, 12, 12, None, 17, 21, 26, 30, 34, 38]  # rows. One card comes twice, and one is not in the index


def show(tab, card: Image.Image | None, seed: int, path: Path) -> None:
    """From now on, the camera sees the card on a table, or the table alone. The picture is in path too."""
    cards, share = ([card], 0.66) if card else ([Image.new("RGB", (63, 88))], 0.001)
    photo, _ = scene(cards, "wood", seed=seed, size=(450, 600), share=share, slant=0.06)
    photo.save(path, "PNG", compress_level=1)
    as_served(tab.page, path.name, path.read_bytes())
    tab.page.evaluate("showScene", path.name)


def wait_until_gone(tab) -> None:
    """Until the camera has seen the table without the card for as long as a second copy needs."""
    tab.page.locator(".view polygon").first.wait_for(state="detached")
    seen = int(tab.page.locator(".outlines").get_attribute("data-frame"))
    tab.page.wait_for_timeout(1100)  # GONE_MS, and a little
    tab.page.wait_for_function("seen => document.querySelector('.outlines').dataset.frame >= seen + 4", arg=seen)


@pytest.fixture(autouse=True)
def phone(tab) -> None:
    tab.page.set_viewport_size({"width": 390, "height": 760})


def start(tab) -> None:
    tab.page.locator("main > *").wait_for()
    tab.page.get_by_role("link", name="Scan", exact=True).click()


@needs_runtime
def test_a_moving_turned_card_is_outlined_and_listed_once(tab, site):
    start(tab)
    name = site.meta[HELD]["name"]
    tab.page.locator(".latest b", has_text=name).wait_for()
    tab.heard(name)
    tab.page.locator(".view polygon.recognised").wait_for()
    tab.page.wait_for_timeout(1500)
    assert tab.page.locator(".recent li").count() == 1
    assert tab.page.locator(".recent output").inner_text() == "1"
    tab.page.get_by_role("button", name=f"One more {name}").click()
    tab.page.locator(".tally b", has_text="2 cards").wait_for()
    running = "document.querySelector('video')?.srcObject?.active ?? false"
    assert tab.page.evaluate(running) is True
    tab.page.keyboard.press("Escape")
    tab.page.get_by_role("heading", name="Find out which Magic cards").wait_for()
    assert tab.page.evaluate(running) is False


@needs_runtime
def test_ten_cards_are_scanned_and_the_list_is_pythons(tab, site, tmp_path):
    tab.page.add_init_script(CANVAS_CAMERA)
    tab.page.goto(f"{site.address}/?#scan")
    tab.page.wait_for_function("() => Boolean(window.showScene)")
    unknown = draw_face("Nobody Knows It", 987654, "W")
    photos, count, before = [], 0, None
    for at, row in enumerate(SCANNED):
        if row == before:  # a second copy counts when the first is gone
            show(tab, None, 9, tmp_path / "table.png")
            wait_until_gone(tab)
        card = unknown if row is None else Image.open(site.picture(row)).convert("RGB")
        photos.append(tmp_path / f"{at:02d}.png")
        show(tab, card, 20 + at, photos[-1])
        count += row is not None
        if row is not None:
            tab.page.locator(".tally b", has_text=re.compile(rf"^{count} cards?$")).wait_for()
            assert tab.page.locator(".latest b").inner_text() == site.meta[row]["name"]
            if count == 6:
                tab.shown("scan")
        else:
            tab.page.locator(".hint", has_text="Not known").wait_for()
        before = row
    tab.page.locator(".tally").click()
    tab.heading("10 cards")
    assert tab.page.locator(".entries li").count() == 9
    tab.shown("list")
    csv = site.workspace.run("query_index.py", *photos, "--csv", tmp_path / "list.csv", "--format", "manabox",
                             "--read", "off")
    assert csv.returncode == 0, csv.stderr
    tab.page.get_by_role("combobox", name="Collection manager").select_option("manabox")
    with tab.page.expect_download() as saved:
        tab.page.get_by_role("button", name="Download").click()
    assert saved.value.path().read_bytes() == (tmp_path / "list.csv").read_bytes()


@needs_runtime
def test_a_likely_card_waits_for_review(tab, site, tmp_path):
    meta = json.loads((site.workspace.out / "meta.json").read_bytes())
    meta["recognition"]["accepted"] = 1.1  # so that no card is sure
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    tab.page.add_init_script(CANVAS_CAMERA)
    tab.page.goto(f"{site.address}/?#scan")
    tab.page.wait_for_function("() => Boolean(window.showScene)")
    for waiting, row in enumerate((SCANNED[0], SCANNED[1]), 1):
        show(tab, None, 9, tmp_path / f"table{row}.png")
        tab.page.locator(".outlines[data-frame]").wait_for(state="attached")
        wait_until_gone(tab)
        show(tab, Image.open(site.picture(row)).convert("RGB"), row, tmp_path / f"{row}.png")
        tab.page.locator(".tally", has_text=f"{waiting} to review").wait_for()
    tab.page.locator(".tally").click()
    tab.heading("2 cards to review")
    tab.shown("review")
    assert tab.page.locator(".choices").first.locator("button:not(.plain)").count() == 3
    name = site.meta[SCANNED[0]]["name"]
    tab.page.get_by_role("button", name=f"It was {name}").first.click()
    tab.heading("1 card to review")
    assert tab.page.locator(".entries b").all_inner_texts() == [name]
    tab.page.get_by_role("link", name="Search for it").wait_for()
    tab.page.get_by_role("button", name="None of these").click()
    tab.page.locator(".review").wait_for(state="hidden")
    tab.page.get_by_role("button", name="Undo").first.click()
    tab.heading("1 card to review")


@needs_runtime
def test_a_card_is_changed_taken_back_and_kept_over_a_reload(tab, site):
    card = site.meta[4]
    tab.page.goto(f"{site.address}/#card={card['face_id']}")
    tab.page.get_by_role("button", name="Add to the list").click()
    tab.page.locator("#badge", has_text="1").wait_for()
    tab.page.goto(f"{site.address}/#list")
    tab.page.get_by_role("button", name=f"Change {card['name']}").click()
    tab.page.get_by_label("Count").fill("3")
    tab.page.get_by_label("Condition").select_option("lightly_played")
    tab.page.get_by_label("Language").select_option("de")
    tab.page.get_by_role("button", name="Save").click()
    tab.heading("3 cards")
    tab.page.reload()
    tab.heading("3 cards")
    assert "German · lightly played" in tab.page.locator(".entries").inner_text()
    assert unquote(tab.page.locator(".entries a").get_attribute("href")) == f"#card={card['face_id']}"
    less = tab.page.get_by_role("button", name=f"One {card['name']} less")
    less.focus()
    tab.page.keyboard.press("Enter")
    tab.heading("2 cards")
    assert less.evaluate("button => button === document.activeElement")
    tab.page.get_by_role("button", name="Undo").first.click()
    tab.heading("3 cards")


@needs_runtime
def test_a_camera_that_is_allowed_too_late_is_not_used(tab):
    tab.page.evaluate("""() => { const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (...wanted) => {
            await new Promise(allow => { window.allow = allow; });
            window.stream = await real(...wanted);
            return window.stream; }; }""")
    start(tab)
    tab.page.get_by_text("Waiting for the camera").wait_for()
    tab.page.keyboard.press("Escape")
    tab.page.evaluate("window.allow()")
    tab.page.evaluate("""async () => {
        while (!window.stream || window.stream.active) await new Promise(later => setTimeout(later, 20)); }""")


@pytest.mark.parametrize("error, words", [("NotAllowedError", "The camera was not allowed"),
                                          ("NotFoundError", "There is no camera that can be used"),
                                          ("NotReadableError", "Another program uses the camera")])
def test_without_a_camera_the_page_says_so_and_goes_on(tab, site, error, words):
    tab.page.evaluate(f"""() => {{ navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "{error}")); }}""")
    start(tab)
    tab.page.locator(".hint", has_text=words).wait_for()
    tab.page.get_by_role("button", name="Start again").click()
    tab.page.locator(".hint", has_text=words).wait_for()
    tab.heard(words)
    tab.page.get_by_role("button", name="Stop scanning").click()
    tab.page.get_by_role("searchbox").fill(site.meta[0]["name"])
    tab.heading("1 card")


HIDE = """hidden => { Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
                      document.dispatchEvent(new Event("visibilitychange")); }"""


@needs_runtime
def test_a_hidden_page_looks_again_when_it_is_seen_and_counts_nothing_twice(tab, site):
    start(tab)
    name = site.meta[HELD]["name"]
    tab.page.locator(".latest b", has_text=name).wait_for()
    running = "document.querySelector('video')?.srcObject?.active ?? false"
    tab.page.evaluate(HIDE, True)
    assert tab.page.evaluate(running) is False
    assert "stopped while the page was hidden" in tab.page.locator(".hint").inner_text()
    tab.page.wait_for_timeout(1100)  # longer than a card may be gone
    frame = int(tab.page.locator(".outlines").get_attribute("data-frame"))
    tab.page.evaluate(HIDE, False)
    tab.page.wait_for_function("seen => document.querySelector('.outlines').dataset.frame >= seen + 3", arg=frame)
    assert tab.page.evaluate(running) is True
    # What the person takes away during a scan does not end it, and another way in does not count the card again.
    tab.page.get_by_role("button", name=f"One {name} less").click()
    tab.page.locator(".tally b", has_text="0 cards").wait_for()
    tab.page.locator(".tally").click()
    tab.heading("0 cards")
    tab.page.go_back()
    frame = int(tab.page.locator(".outlines").get_attribute("data-frame"))
    tab.page.wait_for_function("seen => document.querySelector('.outlines').dataset.frame >= seen + 3", arg=frame)
    assert tab.page.locator(".recent li").count() == 0
