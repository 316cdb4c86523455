"""The page's search over made-up records: words, typos, Scryfall's terms, orders and pages, in a browser."""
from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from web_site import as_served, needs_runtime

from mtg_image_db.browser import metadata
from mtg_image_db.index.name_search import plain

OPEN = """async () => {
    const { readMeta } = await import('/index/artefacts.js');
    const { openCardSearch } = await import('/index/card_search.js');
    window.meta = await readMeta(`${location.origin}/`);
    window.cards = openCardSearch(window.meta);
}"""
ALL = """async ([text, options]) => {
    const { total, rows, notes } = await window.cards.search(text, { limit: 100, ...options });
    return [total, rows.map((row) => window.meta.value(row, 'name')), notes];
}"""


def record(name: str, line: str = "Instant", *, number: str = "1", at: str = "lea Limited Edition Alpha",
           artist: str = "Anson Maddocks", colors: str = "", rarity: str = "common", date: str = "1993-08-05",
           layout: str = "normal", **others: Any) -> dict[str, Any]:
    code, _, set_name = at.partition(" ")
    return {"name": name, "scryfall_id": f"{name}-{code}-{number}", "set": code, "collector_number": number,
            "frame": "2003" if date > "2003" else "1993", "layout": layout, "lang": "en", "colors": list(colors),
            "artist": artist, "released_at": date, "card_name": name, "set_name": set_name, "rarity": rarity,
            "finishes": ["nonfoil"], "printed_name": None, "type_line": line} | others


MH1 = {"at": "mh1 Modern Horizons", "date": "2019-06-14"}
CARDS = [
    record("Lightning Bolt", number="161", colors="R", artist="Christopher Rush"),
    record("Lightning Bolt", number="146", colors="R", at="m10 Magic 2010", date="2009-07-17",
           artist="Christopher Moeller"),
    record("Jace Beleren", "Legendary Planeswalker — Jace", number="9", colors="U", rarity="mythic",
           artist="Aleksi Briclot", at="lrw Lorwyn", date="2007-10-12"),
    record("Goblin Matron", "Creature — Goblin", number="129", colors="R", rarity="uncommon",
           artist="Matt Cavotta", **MH1),
    record("Mogg Fanatic", "Creature — Goblin", number="10", colors="R", lang="de", printed_name="Mogg-Fanatiker",
           finishes=["foil"], artist="Brom", at="tmp Tempest", date="1997-10-14"),
    record("Goblin Electromancer", "Creature — Goblin Wizard", number="12a", colors="RU",
           artist="Svetlin Velinov", **MH1),
    record("Ornithopter", "Artifact Creature — Thopter", number="12", rarity="rare", artist="", **MH1),
    record("The Antiquities War", "Enchantment — Saga", number="9a", colors="U", layout="saga", rarity="rare", **MH1),
    record("Delver of Secrets", "Creature — Human Wizard", number="51a", colors="U", layout="transform",
           at="isd Innistrad", date="2011-09-30", card_name="Delver of Secrets // Insectile Aberration"),
    record("Insectile Aberration", "Creature — Human Insect", number="51b", colors="U", layout="transform",
           at="isd Innistrad", date="2011-09-30", card_name="Delver of Secrets // Insectile Aberration"),
    record("Sink or Swim", "Sorcery", number="300", colors="WU", at="und Unsanctioned", date="2020-02-29"),
]
FORMS = {"1.0": ("records", metadata.rows), "2.0": ("columns", metadata.columns)}


@pytest.fixture(scope="module")
def page(site, browser) -> Iterator[object]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{site.address}/style.css")  # any page of the site, so that its modules can be imported
    yield page
    context.close()


def opened(page, records: list[dict[str, Any]], version: str = "1.0") -> None:
    key, form = FORMS[version]
    head = {"version": version, "shape": [len(records), 4], "quantization": {"dtype": "int8", "scale_factor": 127}}
    body = b"".join(form([orjson.dumps(one) for one in records]))
    as_served(page, "meta.json", orjson.dumps(head)[:-1] + b',"%s":%s}' % (key.encode(), body))
    page.evaluate(OPEN)


def found(page, text: str, **options: Any) -> list[str]:
    """The names that are found, in their order."""
    return page.evaluate(ALL, [text, options])[1]


TYPED = [  # a name, what people type for it, and whether they find it: in Python and in the page
    ("Urza's Tower", ["urza's tower", "urzas tower", "URZA’S TOWER", "tower urzas", "urza tow"], True),
    ("Lim-Dûl's Vault", ["lim-dul's vault", "lim duls vault", "limdul", "Lim-Dûl", "limduls vault"], True),
    ("Fire // Ice", ["fire // ice", "fire/ice", "fire//ice", "fire ice"], True),
    ("Æther Vial", ["aether vial", "Æther"], True), ("Jötun Grunt", ["jotun"], True),
    ("Ratonhnhaké꞉ton", ["ratonhnhake:ton", "ratonhnhaketon", "ratonhnhake ton"], True),
    ("Kongming, “Sleeping Dragon”", ['"sleeping dragon"', "kongming sleeping", "kongming,", "“sleeping dragon”"], True),
    ("Ach! Hans, Run!", ["ach hans run", "Ach! Hans, Run!"], True), ("_____", ["_____", "_"], True),
    ("+2 Mace", ["+2 mace"], True), ("שלום עולם", ["שלום"], True),
    ("Circle of Protection: Red", ["protection: red"], True),
    ("Anything", ["[rtr 174★]", "rtr 174", "174★", "anything rtr"], True),
    ("Urza's Tower", ["urza tower mine", "|", "'", "...", "", "(", "-", "or"], False)]
TYPED_IN_THE_PAGE = [*TYPED, ("Darksteel Colossus", ["dark steel colossus", "darksteelcolossus"], True),
                     ("Urza's Tower", ["-urzas tower"], False)]


@pytest.mark.parametrize("version", FORMS)
def test_names_are_found_however_they_are_typed(page, version):
    names = list(dict.fromkeys(name for name, _, _ in TYPED_IN_THE_PAGE))
    opened(page, [record(name, number="174★" if name == "Anything" else "1", at="rtr Return to Ravnica")
                  for name in names], version)
    for name, texts, wanted in TYPED_IN_THE_PAGE:
        for text in texts:
            assert (name in found(page, text)) == wanted, (name, text)


def test_texts_are_compared_as_in_python(page):
    texts = [text for name, typed, _ in TYPED_IN_THE_PAGE for text in [name, *typed]]
    assert page.evaluate("async (texts) => { const { plain } = await import('/index/names.js');"
                         "return texts.map(plain) }", texts) == [plain(text) for text in texts]


@needs_runtime
@pytest.mark.parametrize("text, name", [
    ("lightnig bolt", "Lightning Bolt"), ("bolt lihgtning", "Lightning Bolt"), ("jace belern", "Jace Beleren"),
    ("lightni", "Lightning Bolt"), ("goblim matrn", "Goblin Matron"), ("ornitopter", "Ornithopter"),
    ("lightningbolt", "Lightning Bolt"), ("mogg fanatikr", "Mogg Fanatic"), ("kavotta", "Goblin Matron"),
    ("ligthn", "Lightning Bolt"), ("electromanser t:wizard", "Goblin Electromancer")])
def test_typos_are_forgiven(page, text, name):
    opened(page, CARDS)
    assert found(page, text)[0] == name


@needs_runtime
def test_a_typo_is_said_and_what_is_typed_right_is_taken_as_it_is(page):
    opened(page, CARDS)
    total, names, notes = page.evaluate(ALL, ["lightnig", {}])
    assert (total, set(names)) == (2, {"Lightning Bolt"}) and "“lightnig”" in notes[0]
    assert page.evaluate(ALL, ["lightning", {}])[2] == []
    assert page.evaluate(ALL, ["xyzzyq", {}]) == [0, [], []]
    assert "Lightning Bolt" in found(page, "-lightnig"), "no typo is forgiven in what is not wanted"
    opened(page, [record("Bright Lamp"), record("Blight Lamp")])
    assert found(page, "brigjt") == ["Bright Lamp"], "one typo, and not two"


def test_typed_right_is_found_without_make_web(site, browser):
    page = browser.new_page()
    page.goto(f"{site.address}/style.css")
    as_served(page, "vendor/SearchableMap.js", b"", 404)
    opened(page, CARDS)
    assert found(page, "ornithopter") == ["Ornithopter"]
    total, _, notes = page.evaluate(ALL, ["ornitopter", {}])
    assert total == 0 and "make web" in notes[0]
    page.close()


def test_the_best_match_comes_first(page):
    names = ["Ox of Fire", "Fire", "Bonfire", "Firebolt", "Fire Ox", "Burning Ox"]
    opened(page, [record(name, artist="Ox Fire" if name == "Burning Ox" else "") for name in names])
    assert found(page, "fire") == ["Fire", "Fire Ox", "Firebolt", "Ox of Fire", "Burning Ox", "Bonfire"]
    assert found(page, "ox fire") == ["Fire Ox", "Ox of Fire", "Burning Ox"]
    assert found(page, "fire", descending=True)[-1] == "Fire"


TERMS = [  # what is typed, and the names that are found
    ("t:goblin c:r set:mh1", "Goblin Electromancer, Goblin Matron"),
    ("goblin -matron", "Goblin Electromancer, Mogg Fanatic"), ('a:"matt cavotta"', "Goblin Matron"),
    ("artist:brom or t:saga", "Mogg Fanatic, The Antiquities War"),
    ("(t:goblin or t:saga) -c:r", "The Antiquities War"),
    ("-(t:goblin or t:instant) r<uncommon", "Delver of Secrets, Insectile Aberration, Sink or Swim"),
    ("t:goblin c=r", "Goblin Matron, Mogg Fanatic"), ("c:izzet", "Goblin Electromancer"),
    ("c>=2", "Goblin Electromancer, Sink or Swim"), ("c:m set:mh1", "Goblin Electromancer"),
    ("c:colorless", "Ornithopter"), ("c<=r t:creature", "Goblin Matron, Mogg Fanatic, Ornithopter"),
    ("c>u", "Goblin Electromancer, Sink or Swim"), ("r>=rare", "Jace Beleren, Ornithopter, The Antiquities War"),
    ("r:m", "Jace Beleren"), ("rarity!=common c:r", "Goblin Matron"), ("cn:12", "Ornithopter"),
    ("cn>=12 e:mh1", "Goblin Electromancer, Goblin Matron, Ornithopter"), ("lang:de", "Mogg Fanatic"),
    ("lang:german", "Mogg Fanatic"), ("lang:ja", ""),
    ("lang:any brom", "Mogg Fanatic"), ("is:foil", "Mogg Fanatic"), ("not:nonfoil", "Mogg Fanatic"),
    ("year>=2015", "Goblin Electromancer, Goblin Matron, Ornithopter, Sink or Swim, The Antiquities War"),
    ("year<1997", "Lightning Bolt"), ("date>2011-08 date<2012", "Delver of Secrets, Insectile Aberration"),
    ("frame:1993", "Lightning Bolt, Mogg Fanatic"), ("layout:saga", "The Antiquities War"),
    ("is:dfc", "Delver of Secrets, Insectile Aberration"), ("s:innis", "Delver of Secrets, Insectile Aberration"),
    ('set:"modern hor" t:saga', "The Antiquities War"), ("e:lr", "Jace Beleren"),
    ('!"lightning bolt" e:m10', "Lightning Bolt"), ("!lightning", ""), ("name:fanatik", ""),
    ("name:fanatic", "Mogg Fanatic"), ('"bolt lightning"', ""), ('"lightning bolt" lea', "Lightning Bolt"),
    ("mogg-fanatiker", "Mogg Fanatic"), ("blue rare", "The Antiquities War"), ("red wizard", "Goblin Electromancer"),
    ("delver of secrets insectile", "Delver of Secrets, Insectile Aberration"), ("sink or swim", "Sink or Swim"),
    ("svetlin MH1 12a", "Goblin Electromancer"), ("T:SAGA OR T:thopter", "Ornithopter, The Antiquities War"),
    ("((t:saga", "The Antiquities War"), ("t:saga)) or", "The Antiquities War"), ('a:"matt cav', "Goblin Matron"),
    ("t:saga c:", "The Antiquities War")]


@pytest.mark.parametrize("version", FORMS)
def test_scryfalls_terms_are_answered(page, version):
    opened(page, CARDS, version)
    for text, names in TERMS:
        _, in_order, notes = page.evaluate(ALL, [text, {"sort": "name"}])
        assert (", ".join(dict.fromkeys(in_order)), notes) == (names, []), text


@pytest.mark.parametrize("text, note", [
    ("o:draw t:saga", "This index has no rules text, so o:draw is not searched."),
    ("t:saga mv<=3", "This index has no mana costs, so mv<=3 is not searched."),
    ("-id:r t:saga", "This index has no colour identities, so id:r is not searched."),
    ("t:saga border:black", "This index has no border colours, so border:black is not searched."),
    ("t:saga foo:bar", "No search word is “foo”, so foo:bar is not searched."),
    ("t:saga r:purple", "“purple” is no rarity here, so r:purple is not searched."),
    ("c:purple t:saga", "“purple” is no colour here, so c:purple is not searched."),
    ("year:soon t:saga", "“soon” is no year here, so year:soon is not searched."),
    ('t:saga e:"no such"', "“no such” is no set here, so e:\"no such\" is not searched."),
    ("a>b t:saga", "“>” does not compare artists, so a>b is not searched."),
    ("is:promo t:saga", "This index does not say what is “promo”, so is:promo is not searched.")])
def test_a_term_that_cannot_be_answered_is_named_and_the_rest_is_answered(page, text, note):
    opened(page, CARDS)
    assert page.evaluate(ALL, [text, {}]) == [1, ["The Antiquities War"], [note]]


def test_an_older_export_says_which_fields_it_lacks(page):
    opened(page, [{key: value for key, value in card.items() if key not in ("type_line", "rarity")} for card in CARDS])
    assert found(page, "goblin matron") == ["Goblin Matron"]
    notes = page.evaluate(ALL, ["matron t:goblin", {}])[2]
    assert notes == ["This index has no type lines, so t:goblin is not searched."]


def test_a_border_is_searched_where_the_records_have_it(page):
    opened(page, [{**card, "border_color": "white" if card["set"] == "tmp" else "black"} for card in CARDS])
    assert found(page, "border:white") == ["Mogg Fanatic"]


@pytest.mark.parametrize("sort, first", [
    ("name", ["Delver of Secrets", "Goblin Electromancer", "Goblin Matron"]),
    ("set", ["Delver of Secrets", "Insectile Aberration", "Lightning Bolt"]),
    ("newest", ["Sink or Swim", "The Antiquities War", "Ornithopter"]),
    ("artist", ["Jace Beleren", "Delver of Secrets", "Insectile Aberration"]),
    ("colour", ["Delver of Secrets", "Insectile Aberration", "Jace Beleren"])])
@pytest.mark.parametrize("version", FORMS)
def test_answers_are_sorted_in_both_directions(page, sort, first, version):
    opened(page, CARDS, version)
    names = found(page, "year>0000 or t:saga", sort=sort)
    assert names[:3] == first and len(names) == len(CARDS)
    assert found(page, "year>0000 or t:saga", sort=sort, descending=True) == names[::-1]


def test_the_newest_of_a_name_comes_first_and_numbers_are_numbers(page):
    opened(page, CARDS)
    assert page.evaluate("async () => (await window.cards.search('bolt')).rows") == [1, 0]
    assert found(page, "set:mh1", sort="set") == ["The Antiquities War", "Ornithopter", "Goblin Electromancer",
                                                  "Goblin Matron"]


def test_all_of_20_000_rows_come_page_by_page(page):
    opened(page, [record(f"Goblin {row:05}", number=str(row)) for row in range(20_000)], "2.0")
    pages = page.evaluate("""async () => {
        const pages = [];
        for (let offset = 0, total = 1; offset < total; offset += 700) {
            const answer = await window.cards.search('goblin t:instant', { offset, limit: 700 });
            total = answer.total;
            pages.push(answer.rows);
        }
        return pages;
    }""")
    rows = [row for part in pages for row in part]
    assert sorted(rows) == list(range(20_000)) and all(one < other for one, other in pairwise(rows))
    assert page.evaluate("async () => (await window.cards.search('goblin', { offset: 30000 })).rows") == []
