"""The page in a real browser: what a person types, sees and holds up to the camera."""
from __future__ import annotations

import json

from web_site import HELD, alert, as_served, needs_runtime


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
