"""The page in a real browser: its ways in, search, addresses, a card's own view, and whether everybody can use it."""
from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT
from web_site import CARDS, RUNTIME, alert, as_served, needs_runtime, shown

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SEARCH = "Search for cards"
VIEWS = {"start": "./", "search": "./?q=the", "photo": "./#photo", "list": "./#list"}


def search(tab, text: str):
    box = tab.page.get_by_role("searchbox", name=SEARCH)
    box.fill(text)
    box.press("Enter")
    return box


def test_the_start_offers_three_ways_and_words_become_results(tab, site):
    tab.page.get_by_text(f"{CARDS} card pictures").wait_for()
    for way in ("Scan cards", "Look at a photo", "Search"):
        tab.page.locator(".way", has_text=way).wait_for()
    tab.shown("start")
    card = next(card for card in site.meta if "é" in card["name"])
    box = tab.page.get_by_role("searchbox", name=SEARCH)
    box.press_sequentially(card["name"].upper().replace("É", "E")[:9])  # without Enter
    tab.heading("1 card")
    tile = tab.page.locator(".tile")
    assert tab.names() == [card["name"]]
    assert f"{card['set'].upper()} {card['collector_number']}" in tile.inner_text()
    assert tile.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 488
    search(tab, "no such card at all")
    tab.heading("No card fits")
    search(tab, "o:draw t:creature")
    assert "o:" in tab.page.locator(".notes").inner_text()


def test_every_state_has_an_address_and_back_works(tab, site):
    names = [card["name"] for card in site.meta]
    name = next(name for name in names if sum(name in other for other in names) == 1)
    search(tab, f'"{name}"')
    tab.heading("1 card")
    tab.page.locator(".tile a").first.click()
    tab.heading(name)
    address = tab.page.url
    assert "#card=" in address
    tab.page.go_back()
    tab.heading("1 card")
    tab.page.reload()
    tab.heading("1 card")
    assert tab.page.get_by_role("searchbox").input_value() == f'"{name}"'
    tab.page.goto("about:blank")
    tab.page.goto(address)
    tab.heading(name)
    assert tab.page.title().startswith(name)
    tab.page.goto(f"{site.address}/#card=none")
    assert "no such card" in alert(tab)


def test_results_are_sorted_and_paged(tab, site):
    meta = json.loads((site.workspace.out / "meta.json").read_bytes())
    for number, record in enumerate(meta["records"]):
        record |= {"name": f"Sorted {number:03d}", "released_at": f"{2000 + number % 7}-01-01"}
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    tab.page.goto(f"{site.address}/?q=sorted&sort=name&order=reverse")
    tab.page.locator(".tile").first.wait_for()
    assert tab.names() == sorted((record["name"] for record in meta["records"]), reverse=True)[:60]
    tab.page.get_by_role("combobox", name="Sort by").select_option("newest")
    tab.page.wait_for_url(lambda url: url.endswith("/?q=sorted&sort=newest"))


def test_a_card_has_its_own_view(tab, site):
    card = next(card for card in site.meta if card["artist"])
    tab.page.goto(f"{site.address}/#card={card['face_id']}")
    tab.heading(card["name"])
    assert tab.page.get_by_role("link", name="Open on Scryfall").get_attribute("href") == card["scryfall_uri"]
    assert tab.page.locator(".large img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 488
    assert tab.page.get_by_role("heading", name="Similar art").is_visible()
    tab.page.locator(".similar .tile").nth(11).wait_for()
    assert card["name"] not in tab.page.locator(".similar .name").all_inner_texts()
    tab.shown("card")
    tab.page.get_by_role("button", name="Add to the list").click()
    tab.page.locator("#badge", has_text="1").wait_for()
    tab.page.get_by_role("link", name=card["artist"]).click()
    tab.page.wait_for_url(lambda url: "?q=a%3A" in url)
    tab.page.locator(".tile .name", has_text=card["name"]).first.wait_for()


def test_markup_in_a_name_stays_text(tab, site):
    meta = json.loads((site.workspace.out / "meta.json").read_bytes())
    meta["records"][0] |= {"name": "<img src=x onerror=alert(1)> Zzyzx", "scryfall_uri": "javascript:alert(1)"}
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    tab.page.goto(f"{site.address}/?q=zzyzx")
    tab.heading("1 card")
    assert tab.names() == [meta["records"][0]["name"]]
    tab.page.locator(".tile a").click()
    tab.heading("Zzyzx")
    assert tab.page.locator("a[href^='javascript']").count() == 0


@pytest.mark.skipif(not AXE.exists(), reason="web/node_modules is not there: make test fetches it with npm")
@pytest.mark.parametrize("width, scheme", [(390, "dark"), pytest.param(1280, "light", marks=pytest.mark.long)])
def test_nothing_hinders_anyone(browser, site, width, scheme):
    """axe-core finds nothing (WCAG 2.2 AA), and nothing is wider than the screen."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True,
                                  device_scale_factor=1.5)
    page = context.new_page()
    page.set_default_timeout(60_000)
    card = site.meta[0]
    for name, address in (VIEWS | {"card": f"./#card={card['face_id']}"}).items():
        page.goto(f"{site.address}/{address}")
        page.locator("main > *").wait_for()
        if name == "card":
            page.get_by_role("button", name="Add to the list").click()
        page.wait_for_timeout(200)
        if name == "search" and scheme == "dark":
            shown(page, "phone-dark")
        assert hindrances(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    page.goto(f"{site.address}/#list")
    page.get_by_role("button", name=re.compile("^Change")).click()
    assert hindrances(page) == []
    page.keyboard.press("Escape")
    if RUNTIME.exists():  # the views with outlines, on a picture and on the camera
        page.get_by_role("link", name="Photo", exact=True).click()
        page.locator("#file").set_input_files(site.picture(0))
        page.locator(".stage:not(.busy)").wait_for()
        assert hindrances(page) == []
        page.get_by_role("link", name="Scan", exact=True).click()
        page.locator(".latest b").wait_for()
        assert hindrances(page) == []
    context.close()


def hindrances(page) -> list[str]:
    """What axe-core finds in the page as it is: the rule, and the first element that breaks it."""
    page.add_script_tag(path=AXE)
    return page.evaluate("async () => (await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', "
                         "'best-practice'] })).violations.map(({ id, nodes }) => id + ': ' + nodes[0].html)")


@needs_runtime
def test_a_keyboard_alone_reaches_everything(tab, site):
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.page.keyboard.press("/")
    tab.page.get_by_role("searchbox", name=SEARCH).focus()
    search(tab, site.meta[0]["name"])
    tab.page.locator(".tile").first.wait_for()
    tab.page.locator(".tile a").first.press("Enter")
    tab.heading(site.meta[0]["name"])
    assert tab.page.evaluate("document.activeElement.id") == "main"
