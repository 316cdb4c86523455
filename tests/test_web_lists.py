"""The lists of the page: the same bytes as Python's, read back, kept in the browser, and filled by a camera."""
from __future__ import annotations

import dataclasses

import pytest
from conftest import ROOT
from made_matches import match
from web_site import Tab

from mtg_image_db.recognition.collection import COLLECTION, FORMATS, NONFOIL, Counted
from mtg_image_db.recognition.printing_choice import printing_of

VENDORED = ROOT / "web" / "vendor" / "idb.js"
pytestmark = pytest.mark.skipif(not VENDORED.exists(), reason="web/vendor is not there: make web needs npm")
OPENS = "/alone"  # not the page: that makes a list of its own

CARDS = [Counted(printing_of(match(name, **other)), count) for name, count, other in (
    ("Lightning Bolt", 4, {}),
    ("Jace, the Mind Sculptor", 1, {"set": "wwk", "collector_number": "31", "tcgplayer_id": None}),
    ('Ach! Hans, "Run"', 2, {"rarity": "MYTHIC", "finishes": ["foil"]}),
    ("Lim-Dûl's Vault", 1, {"lang": "zht", "finishes": []}),
    ("稲妻", 3, {"lang": "ja", "card_name": "", "collector_number": "161★", "scryfall_id": "id of 稲妻"}),
    ("Insectile Aberration", 1, {"card_name": "Delver of Secrets // Insectile Aberration", "layout": "transform",
                                 "lang": "zhs", "finishes": ["etched"]}),
    ("Fire", 12, {"card_name": "Fire // Ice", "layout": "split", "set_name": "Pro; Tour {name}", "lang": "de"}),
    ("Treasure", 1, {"set": "tmh2", "layout": "token", "lang": "ph", "finishes": ["nonfoil"], "rarity": ""}))]
# What a person chose, for each of the cards: the other finishes, and every condition.
CHOSEN = [{"finish": finish, "condition": condition, "lang": lang} for finish, condition, lang in zip(
    ["foil", "etched", "foil", "nonfoil", "nonfoil", "etched", "foil", "nonfoil"],
    ["near_mint", "lightly_played", "moderately_played", "heavily_played", "damaged", "near_mint", "damaged",
     "lightly_played"], ["en", "fr", "ja", "zht", "ko", "zhs", "pt", "ru"], strict=True)]


def entries(chosen: list[dict]) -> list[dict]:
    return [{"printing": dataclasses.asdict(card.printing), "count": card.count} | more
            for card, more in zip(CARDS, chosen, strict=True)]


def run(tab: Tab, script: str, **given: object) -> object:
    """Run JavaScript that has the modules of web/collection/ and the given values, in an open page."""
    return tab.page.evaluate("""async given => {
        const { textOf } = await import("/collection/formats.js");
        const { readList } = await import("/collection/imports.js");
        const { createSession, choosePrinting } = await import("/collection/scan_session.js");
        const { openLists } = await import("/collection/lists.js");
        const { entryOf, entryOfCandidate, entryOfPrinting, openKept, printingsOf } = await import("/page/kept.js");
        const formats = (await (await fetch("/meta.json")).json()).collection;
        const lists = window.lists ??= await openLists();
        const refused = (promise) => promise.then(() => "", (error) => error.message);
        """ + "".join(f"const {name} = given.{name};" for name in given) + script + "}", given)


def test_every_list_has_the_bytes_that_python_writes(tab):
    written = run(tab, "return Object.keys(formats.formats).map((name) => [name, textOf(name, formats, entries)]);",
                  entries=entries([{}] * len(CARDS)))
    assert dict(written) == {name: form.text(CARDS) for name, form in FORMATS.items()}
    assert [name for name, _ in written] == list(COLLECTION["formats"])


def test_what_is_exported_is_read_back_as_far_as_the_format_tells_it(tab):
    read = run(tab, """return Object.keys(formats.formats).map((name) => {
        const text = textOf(name, formats, entries);
        const saved = "\\ufeff" + text.replaceAll("\\n", "\\r\\n"); // as a spreadsheet saves it
        return [name, readList(text, formats), readList(saved, formats)];
    });""", entries=entries(CHOSEN))
    for name, again, saved in read:
        assert again == saved and again["format"] == name and again["problems"] == [], name
        form, columns = FORMATS[name], " ".join([*FORMATS[name].columns.values(), FORMATS[name].line])
        for line, card, chosen in zip(again["lines"], CARDS, CHOSEN, strict=True):
            shown = card.printing
            assert (line["count"], line["name"]) == \
                (card.count, card.front_name if "{front_name}" in columns else card.name), name
            for told, value, expected in (
                    ("{set}", line["set"], shown.set), ("{set_name}", line["set_name"], shown.set_name),
                    ("{number}", line["collector_number"], shown.collector_number),
                    ("{scryfall_id}", line["scryfall_id"], shown.scryfall_id),
                    ("{condition}", line["condition"], chosen["condition"]),
                    ("{language", line["lang"], chosen["lang"])):
                is_told = told.lower() in columns.lower()
                assert value == (expected if is_told else "near_mint" if told == "{condition}" else ""), (name, told)
            words = form.finishes
            told = chosen["finish"] if len({*words.values()}) == len(words) else "foil"
            assert line["finish"] == (NONFOIL if chosen["finish"] == NONFOIL else told), name


def test_the_lines_of_a_list_that_cannot_be_read_are_named(tab):
    text = ("Deck\n4 Lightning Bolt\n2x Fire // Ice (APC) 128 *F*\nSol Ring\n\n// lands\n0 Swamp\n1 Who (UNH) 12\n"
            "Sideboard (1)\n1 Hazmat Suit (Used) (UNH) 57 *E*\n")
    shield = ('"sep=,"\r\nFolder Name,Quantity,Card Name,Set Code,Card Number,Condition,Printing,Language,LOW\r\n'
              'a,2,"Jace, the Mind Sculptor",WWK,31,Excellent,Rainbow Foil,Japanese,1.00\r\n'
              'a,1,Jace, the Mind Sculptor,WWK,31,NearMint,Normal,English,1.00\r\n'
              'a,x,Swamp,WWK,31,NearMint,Normal,English,1.00\r\na,1,Swamp,WWK,32,Chewed,Normal,Elvish,1.00\r\n')
    german = "Quantity;Name;Finish;Condition;Language;Edition Code;Collector Number\n3;Swamp;Foil;MP;JP;mh2;484\n"
    listed, table, spreadsheet, strange = run(
        tab, "return texts.map((text) => readList(text, formats));",
        texts=[text, shield, german, "Name,Foil,Price\nSwamp,foil,3\n"])
    assert [(line["count"], line["name"], line["set"], line["collector_number"], line["finish"])
            for line in listed["lines"]] == [
        (4, "Lightning Bolt", "", "", "nonfoil"), (2, "Fire // Ice", "apc", "128", "foil"),
        (1, "Sol Ring", "", "", "nonfoil"), (1, "Who", "unh", "12", "nonfoil"),
        (1, "Hazmat Suit (Used)", "unh", "57", "etched")]
    assert [(problem["line"], problem["text"]) for problem in listed["problems"]] == [(7, "0 Swamp")]
    assert table["format"] == "dragonshield" and [
        (line["name"], line["condition"], line["finish"], line["lang"]) for line in table["lines"]] == [
        ("Jace, the Mind Sculptor", "near_mint", "foil", "ja"), ("Swamp", "near_mint", "nonfoil", "")]
    assert [problem["line"] for problem in table["problems"]] == [4, 5, 6, 6]
    assert spreadsheet["format"] == "archidekt" and spreadsheet["problems"] == [] and spreadsheet["lines"] == [
        {"count": 3, "name": "Swamp", "set": "mh2", "set_name": "", "collector_number": "484", "scryfall_id": "",
         "finish": "foil", "lang": "ja", "condition": "moderately_played"}]
    assert (strange["format"], strange["lines"], len(strange["problems"])) == (None, [], 1)


BOLT, JACE = ({"state": "kept"} | entry for entry in entries(CHOSEN)[:2])
COUNTS = "(await lists.entries(id)).map((entry) => [entry.printing.name, entry.count])"


def test_lists_outlive_the_page_and_show_the_changes_of_another_tab(tab, site):
    with tab.page.context.expect_page() as opened:
        tab.page.evaluate("window.open(location.href)")
    other = Tab(opened.value)
    box = run(tab, """window.heard = 0;
        lists.onChange(() => { window.heard += 1; });
        const id = await lists.create("Box");
        await lists.create("Album");
        await lists.add(id, bolt);
        return id;""", bolt=BOLT)
    assert tab.page.evaluate("window.heard") == 3
    run(other, "await lists.add(id, jace); await lists.add(id, bolt);", id=box, jace=JACE, bolt=BOLT)
    tab.page.wait_for_function("window.heard === 5")
    # Undoing in one tab keeps what the other did: four Bolts of each tab.
    assert run(tab, f"await lists.undo(); return {COUNTS};", id=box) == [["Lightning Bolt", 4],
                                                                         ["Jace, the Mind Sculptor", 1]]
    tab.page.reload()
    other.page.close()
    found = run(tab, "const all = await lists.lists(); return [all, await lists.entries(all[1].id), lists.canUndo()];")
    assert [(one["name"], one["count"], one["waiting"]) for one in found[0]] == [("Album", 0, 0), ("Box", 5, 0)]
    assert {name: found[1][0][name] for name in BOLT} == BOLT and found[2] is False


def test_changes_are_undone_one_by_one_and_equal_cards_become_one(tab):
    said = run(tab, """const id = await lists.create("Box");
        const states = [];
        const note = async () => states.push(await lists.entries(id));
        await note();
        const kept = await lists.add(id, bolt);
        await note();
        const asked = await lists.add(id, { ...bolt, state: "review", count: 1, printing: null });
        await note();
        const waiting = (await lists.lists())[0].waiting;
        const merged = await lists.change(asked, { state: "kept", printing: bolt.printing });
        await note();
        await lists.change(kept, { finish: "etched", count: 1 });
        await note();
        await lists.addAll(id, [jace, bolt, { ...jace, lang: "ja" }]);
        await note();
        await lists.remove(kept);
        await note();
        await lists.removeList(id, "Cards");
        const gone = [await refused(lists.add(id, bolt)), (await lists.lists()).map(({ name }) => name)];
        const undone = [];
        const back = [];
        while (lists.canUndo()) {
          undone.push((await lists.undo()).what);
          back.push(await lists.entries(id));
        }
        return { states, waiting, same: merged === kept, gone, undone, back, left: (await lists.lists()).length,
                 none: await lists.undo() };""", bolt=BOLT, jace=JACE)
    assert [[entry["count"] for entry in state] for state in said["states"]] == [
        [], [4], [1, 4], [5], [1], [1, 4, 1, 1], [1, 4, 1]]
    assert said["waiting"] == 1 and said["same"] and said["gone"] == ["This list was removed.", ["Cards"]]
    assert said["undone"] == ["removeList", "remove", "add", "change", "change", "add", "add", "create"]
    assert said["back"] == [*reversed(said["states"]), []] and said["left"] == 0 and said["none"] is None


def test_there_is_always_a_list_and_undo_brings_the_last_one_back(tab):
    said = run(tab, """const [one, two] = await Promise.all([openKept(), openKept()]); // two tabs
        const names = async () => (await one.lists()).map(({ name, count }) => [name, count]);
        for (const kept of [one, two]) kept.onChange(() => { kept.refresh(); kept.refresh(); });
        const told = [await names(), one.canUndo(), two.canUndo()];
        await one.rename(one.current().id, "Box");
        await one.add(bolt);
        await one.removeList(one.current().id);
        await one.refresh();
        told.push(one.current().name, await names());
        await one.undo();
        await one.refresh();
        await two.refresh();
        told.push(one.current().name, two.current().name, await names());
        const twice = [await one.create("Album"), await one.undo()]; // a list that another one outlives
        return [...told, await names(), two.canUndo()];""", bolt=BOLT)
    assert said == [[["My cards", 0]], False, False, "My cards", [["My cards", 0]], "Box", "Box", [["Box", 4]],
                    [["Box", 4]], False]


def test_one_copy_is_changed_and_the_others_stay(tab):
    sure = BOLT | {"decided": True, "finish": "nonfoil", "lang": "en"}
    other = sure["printing"] | {"scryfall_id": "another", "set": "m10"}
    said = run(tab, """const id = await lists.create("Box");
        const state = async () => (await lists.entries(id))
            .map(({ printing, count, decided }) => [printing.set, count, decided]).sort();
        await lists.add(id, sure);
        const scanned = { ...sure, count: 1, decided: false };
        const first = await lists.add(id, scanned);
        const told = [await lists.add(id, scanned) === first, await state()];
        const read = await lists.changeOne(first, { printing: other, decided: true });
        told.push(read !== first, await state());
        told.push(await lists.changeOne(first, { decided: true }), await state()); // one of those set by hand now
        await lists.undo();
        await lists.undo();
        told.push(await state(), await lists.entry(read));
        await lists.remove(first);
        const steps = [await lists.remove(first), await lists.change(first, { count: 2 }),
                       await lists.changeOne(first, { count: 2 }), (await lists.undo()).what];
        return [...told, steps, await state()];""", sure=sure, other=other)
    set_ = sure["printing"]["set"]
    scanned = [[set_, 2, False], [set_, 4, True]]
    assert said[:4] == [True, scanned, True, [["m10", 1, True], [set_, 1, False], [set_, 4, True]]]
    assert isinstance(said[4], int) and said[5] == [["m10", 1, True], [set_, 5, True]]
    assert said[6:] == [scanned, None, [None, None, None, "remove"], scanned]


def test_an_entry_leads_to_its_face_in_any_export(tab):
    found = run(tab, """const face = { name: "Bolt", face_id: "face", row: 7, image_url: "i" };
        const entry = entryOfPrinting(face, { ...printing, face_id: "face of a printing" });
        const engine = { card: async (id) => ({ row: [...id].length }), printings: async (row) =>
            (row === 4 ? [{ ...printing, scryfall_id: "another" }, { ...printing, released_at: "2020" }] : []) };
        const gone = { ...engine, card: () => Promise.reject(new Error("gone")) };
        const shown = async (from) => (await printingsOf(from, entry.face, entry.printing))
            .map((one) => one.scryfall_id);
        return [entry.face, "row" in entry, entryOfPrinting({}, printing).face, await shown(engine), await shown(gone)];
        """, printing=BOLT["printing"])
    own = BOLT["printing"]["scryfall_id"]
    assert found == ["face", False, None, [own, "another"], [own]]


def test_where_there_is_no_room_a_sentence_says_so_and_nothing_is_lost(tab, site):
    tools = tab.page.context.new_cdp_session(tab.page)
    tools.send("Storage.overrideQuotaForOrigin", {"origin": site.address, "quotaSize": 100_000})
    said = run(tab, """const id = await lists.create("Box");
        await lists.add(id, bolt);
        const large = { ...jace, candidates: ["x".repeat(300_000)] };
        return [await refused(lists.addAll(id, [bolt, large])), """ + COUNTS + """, await navigator.storage.estimate(),
                (await lists.undo()).what, id];""", bolt=BOLT, jace=JACE)
    assert said[0].startswith("There is no room left") and said[1] == [["Lightning Bolt", 4]]
    assert said[2]["quota"] > said[2]["usage"] > 0 and said[3] == "add"
    assert run(tab, f"await lists.add(id, jace); return {COUNTS};", id=said[4], jace=JACE) == [
        ["Jace, the Mind Sculptor", 1]]
    assert run(tab, """IDBFactory.prototype.open = () => { throw new DOMException("denied", "SecurityError"); };
        return refused(openLists());""").startswith("This browser keeps no lists")


def card(name: str, x: float = 0, state: str = "recognised", **other: object) -> dict:
    """A card in a frame, as an answer has it, x pixels from the left."""
    quad = [[x, 0], [x + 63, 0], [x + 63, 88], [x, 88]]
    shown = {"name": name, "illustration_id": f"art of {name}"}
    return {"quad": quad, "state": state, "confidence": 0.7, "by": "art", "matches": [shown], "printings": [shown],
            "printing_decided": False} | other


def events(tab: Tab, frames: list[list[dict]], step: int = 400) -> list[tuple]:
    """(frame, event, name, id) of each event of a session that sees these frames, one each 400 ms."""
    return [tuple(event) for event in run(tab, """const session = createSession();
        return frames.flatMap((cards, at) => session.see(cards, at * step)
            .map(({ type, card, id }) => [at, type, card.matches[0]?.name, id]));""", frames=frames, step=step)]


def test_ten_cards_before_the_camera_with_two_copies_and_an_unknown_one(tab):
    names = ["a", "b", "c", "d", "e", "e", "f", "g", "h", "i"]
    frames = []
    for at, name in enumerate(names):
        seen = [card(name, 3 * at % 7)]
        blurred = [card(name, 9, "likely")]  # while it is laid down, and once while it lies
        frames += [blurred, seen, seen, seen, [], blurred, [], seen, *[[]] * 4]
    frames += [[card("x", 0, "unknown", printings=[])]] * 9 + [[]] * 4
    told = events(tab, frames)
    assert [(kind, name) for _, kind, name, _ in told] == [
        *(("recognised", name) for name in names), ("unknown", "x")]
    assert [at % 12 for at, *_ in told[:10]] == [2] * 10  # with the second frame that names it
    assert len({id for *_, id in told}) == 11


def test_cards_on_a_table_count_once_each_wherever_they_or_the_camera_move(tab):
    table = [card("a"), card("a", 100), card("b", 200, "likely"), card("c", 300)]
    shifted = [one | {"quad": [[x + 70, y] for x, y in one["quad"]]} for one in table]
    twice = [*table, card("a", 5), card("c", 320, "unknown")]  # places that are no cards of their own
    told = events(tab, [table, twice, twice, [], [], table, shifted, shifted, [shifted[0], shifted[3]], *[table] * 5])
    assert sorted((kind, name) for _, kind, name, _ in told) == [
        ("recognised", "a"), ("recognised", "a"), ("recognised", "c"), ("review", "b")]
    # A blur of two slow frames, or of many quick ones, is no second copy.
    for step, lost in ((1500, 2), (100, 9)):
        told = events(tab, [*[[table[0]]] * 2, *[[]] * lost, *[[table[0]]] * 2], step)
        assert [name for _, _, name, _ in told] == ["a"], step
    # A pile: each card lies on the one before, and nothing is ever taken away. Two islands show other pictures.
    island = card("island", matches=[{"name": "island", "illustration_id": "sea"}])
    pile = [card("a"), card("b"), card("a"), card("island"), island]
    told = events(tab, [[one] for one in pile for _ in range(2)])
    assert [name for _, _, name, _ in told] == ["a", "b", "a", "island", "island"]


def test_what_is_unsure_becomes_sure_under_the_same_id_and_a_printing_is_decided_later(tab):
    likely, unknown, sure = card("a", 0, "likely"), card("b", 0, "unknown"), card("a")
    read = card("a", printing_decided=True)
    told = events(tab, [*[[unknown]] * 4, *[[likely]] * 2, *[[sure]] * 3, *[[read]] * 3, *[[likely]] * 6, [read]])
    assert told == [(3, "unknown", "b", 1), (4, "review", "a", 1), (7, "recognised", "a", 1), (9, "printing", "a", 1)]
    assert events(tab, [[read], [read], [read]]) == [(1, "recognised", "a", 1)]
    assert events(tab, [[card("a")], [card("b")], [card("a")], [], [card("a")]]) == []  # no two frames agree


def test_a_card_on_a_likely_one_is_an_event_of_its_own(tab):
    likely, other, glare = card("a", 0, "likely"), card("b", 0, "likely"), card("x", 9, "unknown")
    # The same picture may be clearer later: b was among the matches. And a flicker makes no second review.
    both = likely | {"matches": [*likely["matches"], *other["matches"]]}
    assert events(tab, [*[[both]] * 4, *[[card("b")]] * 3]) == [(3, "review", "a", 1), (5, "recognised", "b", 1)]
    for one in (glare, other):
        told = events(tab, [*[[likely]] * 5, [one], [one], *[[likely]] * 9, *[[card("a")]] * 2])
        assert told == [(3, "review", "a", 1), (17, "recognised", "a", 1)], one["state"]
    for step in (100, 400):
        told = events(tab, [*[[likely]] * 5, *[[other]] * 5, *[[likely]] * 5], step)
        assert [(kind, name) for _, kind, name, _ in told] == [("review", "a"), ("review", "b"), ("review", "a")], step
        assert len({id for *_, id in told}) == 3
        told = events(tab, [*[[likely]] * 5, *[[card("b")]] * 2, *[[card("a")]] * 2], step)
        assert [(kind, name) for _, kind, name, _ in told] == [
            ("review", "a"), ("recognised", "b"), ("recognised", "a")], step
        assert len({id for *_, id in told}) == 3


def test_a_locked_set_or_language_chooses_among_the_printings_of_a_card(tab):
    printings = [{"set": "lea", "lang": "en"}, {"set": "mh1", "lang": "de"}, {"set": "mh1", "lang": "en"}]
    locks = [{}, {"set": "MH1"}, {"set": "mh1", "lang": "en"}, {"set": "xyz"}, {"lang": "de"}, {"lang": "ja"}]
    chosen = run(tab, "return [...locks.map((lock) => choosePrinting(a, lock)), choosePrinting(unknown)];", locks=locks,
                 a=card("a", printings=printings), unknown=card("a", 0, "unknown"))
    assert [printings.index(printing) for printing in chosen[:-1]] == [0, 1, 2, 0, 1, 0] and chosen[-1] is None


def test_a_lock_wins_over_what_is_read_and_a_review_shows_three_cards(tab):
    bolt = BOLT["printing"]
    printings = [bolt | {"scryfall_id": code, "set": code, "collector_number": number, "lang": lang}
                 for code, number, lang in (("lea", "161", "en"), ("mh1", "1", "en"), ("mh1", "2", "en"),
                                            ("lea", "161", "de"), ("m10", "146", "en"))]
    read = card("Lightning Bolt", printings=printings, matches=printings, printing_decided=True)
    locks = [{}, {"set": "mh1"}, {"set": "m10"}, {"lang": "de"}, {"lang": "fr"}, {"set": "xyz"}]
    chosen = run(tab, """return locks.map((lock) => {
        const { printing, lang, decided } = entryOf(read, lock);
        return [printing.set, printing.collector_number, lang, decided];
    });""", read=read, locks=locks)
    assert chosen == [["lea", "161", "en", True], ["mh1", "1", "en", False], ["m10", "146", "en", True],
                      ["lea", "161", "de", True], ["lea", "161", "fr", True], ["lea", "161", "en", True]]
    names = ["a", "a", "b", "a", "c", "d"]
    alike = [printings[0] | {"name": name, "face_id": f"{name}{at}"} for at, name in enumerate(names)]
    waiting, decided = run(tab, """const waiting = entryOf(likely);
        return [waiting, entryOfCandidate(waiting.candidates[1], printings, { set: "m10" })];""",
        likely=read | {"state": "likely", "matches": alike}, printings=printings)
    assert [one["face"] for one in waiting["candidates"]] == ["a0", "b2", "c4"]
    assert (waiting["state"], waiting["decided"]) == ("review", False)
    assert (decided["state"], decided["face"], decided["printing"]["set"], decided["decided"]) == (
        "kept", "b2", "m10", True)
    assert decided["candidates"] == []
