"""What is printed on a card decides: its collector line tells its printing, its title names a card that is covered."""
from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace, assert_three_lines, read_bulk
from PIL import Image, ImageDraw, ImageFont

import mtg_image_db
from mirror import drawn_scenes
from mtg_image_db.locks import hold
from mtg_image_db.recognition.finder import Pyramid, rectangle
from mtg_image_db.recognition.letters import ALPHABET, fits_of, text_of
from mtg_image_db.recognition.printed_lines import scored
from mtg_image_db.recognition.printing_choice import ABSENT, Choice, Printing, choose
from mtg_image_db.recognition.titles import letters_of

# Drawn cards by their running number, see drawn_cards.py. The index calls the pictures of the first two another
# printing than what stands on them. A promotion has the same line as the second.
DECIDED, TWIN, COVERED, FRONT, NAMED_IN_RULES = 37, 34, 31, 29, 33
SIZE = 488, 680


def made_printings(card: dict) -> list[dict]:
    """The true printing of a card, two others, and of TWIN a promotion."""
    number = card["collector_number"]
    made = [(card["set"], number, card["released_at"], False), ("qmx", "12", "2024-01-01", False),
            ("qmy", str(int(number) + 1), "2025-01-01", False), (f"p{card['set']}", f"{number}p", "2026-01-01", True)]
    return [card | {"id": card["id"][:-2] + f"{at:02d}", "set": code, "set_name": f"The set {code}", "promo": promo,
                    "collector_number": collector, "released_at": released, "border_color": "black"}
            for at, (code, collector, released, promo) in enumerate(made)]


@pytest.fixture(scope="session")
def read_space(finished, drawn) -> Workspace:
    """The finished index with several printings of two artworks. Shared by every process of the tests: read only."""
    base = finished.path.parent / "reading"
    space = Workspace(base)
    with hold(base.with_suffix(".lock"), wait=float("inf")):
        if not (space.out / "build_manifest.json").exists():
            shutil.copytree(finished.path, base, dirs_exist_ok=True)
            cards = read_bulk(drawn)
            printings = [*cards, *made_printings(cards[DECIDED])[:3], *made_printings(cards[TWIN])]
            for number in (DECIDED, TWIN):
                printings.remove(cards[number])
                cards[number] = cards[number] | {"set": "qmz", "collector_number": "7", "released_at": "2018-01-01"}
            for kind, listed in (("unique_artwork", cards), ("default_cards", printings)):
                packed = gzip.compress("".join(json.dumps(card) + "\n" for card in listed).encode())
                (base / "image_cache" / "bulk" / f"{kind}.jsonl.gz").write_bytes(packed)
            space.build()
    return space


@pytest.fixture
def picture_of(drawn, bulk_cards) -> Callable[[int], Image.Image]:
    def picture(number: int) -> Image.Image:
        card_id = bulk_cards[number]["id"]
        return Image.open(drawn / "images" / "normal" / "front" / card_id[0] / card_id[1] / f"{card_id}.jpg")
    return picture


def photo_of(pictures: list[Image.Image], path: Path, **how: object) -> Path:
    photo, _ = drawn_scenes.scene(pictures, **({"turn": 3, "seed": 4, "share": 0.7} | how))
    photo.save(path, quality=92)
    return path


def fan(behind: Image.Image, front: Image.Image, path: Path, seen: float, turn: int = 0) -> Path:
    """A photo of two cards of which the front one leaves this share of the other's height to be seen."""
    table = Image.new("RGB", (900, 1300), "#7a5a3a")
    for picture, left, top in ((behind, 150, 120), (front, 170, 120 + round(seen * 836))):
        table.paste(picture.resize((600, 836), Image.Resampling.LANCZOS), (left, top))
    table.rotate(-turn, expand=True).save(path, quality=92)
    return path


def cards_in(space: Workspace, photo: Path, *flags: object) -> list[dict]:
    done = space.run("query_index.py", photo, "--json", *flags)
    return json.loads(done.stdout)["cards"]


def recognised(cards: list[dict]) -> dict:
    """The only recognised card. A table may have unknown places."""
    card, = (card for card in cards if card["accepted"])
    return card


def name_of(card: dict) -> str:
    return card["matches"][0]["name"]


# The printing

def test_the_collector_line_decides_the_printing(picture_of, read_space, bulk_cards, tmp_path):
    photo, true = photo_of([picture_of(DECIDED)], tmp_path / "photo.jpg"), bulk_cards[DECIDED]
    card = recognised(cards_in(read_space, photo))
    assert card["printing_decided"] and card["printings_known"] == 3, card["printings"]
    first = card["printings"][0]
    assert (first["set"], first["collector_number"], first["lang"]) == (true["set"], true["collector_number"], "en")
    assert "EN" in first["read"] and f"{int(true['collector_number']):03d}/185" in first["read"]
    scores = [printing["score"] for printing in card["printings"]]
    assert scores == sorted(scores, reverse=True) and scores[0] > 1.5 and scores[1] < 0.8
    assert card["matches"][0]["set"] == "qmz", "the match stays the indexed face"
    text = read_space.run("query_index.py", photo).stdout
    assert f"[{true['set']} {true['collector_number']}] score=" in text and '\n   read "' in text


def test_the_list_for_a_collection_has_the_decided_printing(picture_of, read_space, bulk_cards, tmp_path):
    photo_of([picture_of(DECIDED), picture_of(TWIN)], tmp_path / "photo.jpg", share=0.8)
    listed = tmp_path / "cards.csv"
    done = read_space.run("query_index.py", tmp_path / "photo.jpg", "--csv", listed, "--format", "manabox")
    rows = {row["Name"]: row for row in csv.DictReader(listed.read_text().splitlines())}
    for number in (DECIDED, TWIN):
        row, true = rows[bulk_cards[number]["name"]], made_printings(bulk_cards[number])[0]
        assert (row["Set code"], row["Collector number"]) == (true["set"].upper(), true["collector_number"])
        assert (row["Scryfall ID"], row["Set name"]) == (true["id"], true["set_name"])
    assert "whose printing is not sure: 1 of 2" in done.stderr


def test_a_promotion_with_the_same_line_is_a_tie(picture_of, read_space, bulk_cards, tmp_path):
    card = recognised(cards_in(read_space, photo_of([picture_of(TWIN)], tmp_path / "photo.jpg")))
    assert card["accepted"] and not card["printing_decided"]
    plain, promotion = card["printings"][:2]
    assert plain["set"] == bulk_cards[TWIN]["set"] and promotion["set"] == f"p{plain['set']}" and promotion["promo"]
    assert plain["score"] == pytest.approx(promotion["score"], abs=0.1)


def test_without_reading_the_newest_printing_is_named_and_nothing_is_decided(picture_of, read_space, tmp_path):
    card = recognised(cards_in(read_space, photo_of([picture_of(DECIDED)], tmp_path / "photo.jpg"), "--read", "off"))
    assert card["accepted"] and not card["printing_decided"] and card["printings_known"] == 3
    assert card["printings"][0]["set"] == "qmy", "the newest"
    assert {printing["read"] for printing in card["printings"]} == {""}


def test_a_line_that_cannot_be_read_decides_nothing(picture_of, read_space, tmp_path):
    picture = picture_of(DECIDED)
    ImageDraw.Draw(picture).rectangle((0, 640, 488, 680), "#15130f")
    card = recognised(cards_in(read_space, photo_of([picture], tmp_path / "photo.jpg")))
    assert card["accepted"] and not card["printing_decided"] and card["printings"][0]["set"] == "qmy"


def test_the_language_is_read(picture_of, read_space, tmp_path):
    picture = picture_of(DECIDED)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 659, 120, 674), "#15130f")
    draw.text((30, 666), "QMB - DE", "#d6d2ca", ImageFont.load_default(14), anchor="lm")
    card = recognised(cards_in(read_space, photo_of([picture], tmp_path / "photo.jpg")))
    assert card["printings"][0]["lang"] == "de" and card["printing_decided"]


# Titles

@pytest.mark.parametrize("turn", [0, 90, 180])
def test_a_covered_card_is_named_by_its_title(picture_of, read_space, bulk_cards, tmp_path, turn):
    photo = fan(picture_of(COVERED), picture_of(FRONT), tmp_path / "fan.jpg", seen=0.2, turn=turn)
    cards = {name_of(card): card for card in cards_in(read_space, photo) if card["state"] != "unknown"}
    assert set(cards) == {bulk_cards[number]["name"] for number in (COVERED, FRONT)}
    title = cards[bulk_cards[COVERED]["name"]]
    assert title["state"] == "likely" and not title["accepted"] and not title["printing_decided"]
    assert title["by"] == "title" and cards[bulk_cards[FRONT]["name"]]["by"] == "art"
    assert abs((title["rotation"] - turn + 180) % 360 - 180) < 10
    if turn == 0:
        assert bulk_cards[COVERED]["name"] not in [
            name_of(card) for card in cards_in(read_space, photo, "--read", "off") if card["state"] != "unknown"]
        assert "   known by its title alone" in read_space.run("query_index.py", photo).stdout


def test_title_and_art_together_recognise_a_card(picture_of, read_space, bulk_cards, tmp_path):
    picture = picture_of(NAMED_IN_RULES)
    ImageDraw.Draw(picture).rectangle((34, 72, 307, 380), "#777")  # two thirds of its art are covered
    photo = photo_of([picture], tmp_path / "photo.jpg")
    card = recognised(cards_in(read_space, photo))
    assert name_of(card) == bulk_cards[NAMED_IN_RULES]["name"] and card["by"] == "title and art"
    assert 0.22 <= card["confidence"] < 0.36
    assert not [card for card in cards_in(read_space, photo, "--read", "off") if card["accepted"]]


def test_a_title_with_other_art_recognises_nothing(picture_of, read_space, bulk_cards, tmp_path):
    picture, other = picture_of(NAMED_IN_RULES), Image.effect_noise(SIZE, 90).convert("RGB")
    picture.paste(other.crop((34, 72, 454, 372)), (34, 72))
    cards = cards_in(read_space, photo_of([picture], tmp_path / "photo.jpg"))
    assert not [card for card in cards if card["accepted"]]
    assert [(name_of(card), card["by"]) for card in cards if card["state"] == "likely"] == [
        (bulk_cards[NAMED_IN_RULES]["name"], "title")]


def test_a_name_on_paper_is_no_card(read_space, bulk_cards, tmp_path):
    paper = Image.new("RGB", (900, 1200), "#e8e4da")
    draw = ImageDraw.Draw(paper)
    for at, number in enumerate((COVERED, FRONT, TWIN)):
        draw.text((120, 200 + 300 * at), bulk_cards[number]["name"], "#181512", ImageFont.load_default(48))
    paper.save(tmp_path / "list.png")
    assert not [card for card in cards_in(read_space, tmp_path / "list.png") if card["state"] != "unknown"]


def test_a_name_in_the_rules_text_is_no_card(picture_of, read_space, bulk_cards, tmp_path):
    picture = picture_of(NAMED_IN_RULES)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((40, 460, 448, 600), "#efe9da")
    draw.text((46, 500), bulk_cards[COVERED]["name"], "#181512", ImageFont.load_default(17))
    photo = photo_of([picture, Image.new("RGB", SIZE, "#998877")], tmp_path / "photo.jpg", share=0.8)
    assert bulk_cards[COVERED]["name"] not in map(name_of, cards_in(read_space, photo))


def test_a_card_with_the_title_of_another_one_is_not_sure(picture_of, read_space, bulk_cards, tmp_path):
    picture = picture_of(NAMED_IN_RULES)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((34, 72, 265, 380), "#777")  # so its art is recognised, but not surely
    draw.rectangle((34, 34, 330, 64), "#e6dcc8")
    draw.text((40, 49), bulk_cards[COVERED]["name"], "#181512", ImageFont.load_default(23), anchor="lm")
    photo = photo_of([picture, Image.new("RGB", SIZE, "#998877")], tmp_path / "photo.jpg", share=0.8)
    name = bulk_cards[NAMED_IN_RULES]["name"]
    assert {name_of(card): card["state"] for card in cards_in(read_space, photo, "--read", "off")}[name] == "recognised"
    assert {name_of(card): card["state"] for card in cards_in(read_space, photo)}[name] == "likely"


# What a line decides, with a reader that gives what is said

class Reader:
    """Reads these texts on the strips, one after the other, and nothing on the others."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def read(self, strips: list) -> list[np.ndarray]:
        read = [letters(text) for text in self.texts]
        width = max(map(len, read))
        return [np.vstack([columns, np.tile(columns[-1:], (width - len(columns), 1))])
                for columns in [*read, *[letters("")] * (len(strips) - len(read))]]


def printing(code: str, number: str, **changes: object) -> Printing:
    facts = {"name": "A", "set": code, "collector_number": number, "lang": "en", "layout": "normal",
             "released_at": "2019-01-01", "scryfall_id": code + number, "face_id": f"{code}-{number}-{changes}"}
    return Printing(0.0, "", None, **(ABSENT | facts | changes))


def chosen(texts: list[str], *listed: Printing) -> Choice:
    photo, quad = Pyramid(np.zeros((680, 488, 3), np.uint8)), rectangle(488, 680)
    return choose(scored(listed, quad, photo, Reader(*texts)), listed=True)


MH1 = printing("mh1", "17")


@pytest.mark.parametrize(("texts", "others", "decided"), [
    (["017/254 C", "MH1-EN"], [printing("dom", "20")], True),
    (["017/254 C", "2X2-EN"], [printing("dom", "20")], False),  # a newer card than the list knows
    (["200/254 C", "MH1-EN"], [printing("dom", "20")], False),
    (["C 0017", "MH1-EN"], [printing("mh1", "170"), printing("mh1", "1")], True),
    (["017/254 C", "MH1-EN"], [printing("pmh1", "17p", promo=True, released_at="2020-01-01")], False),
    (["017/254 C", "MH1-EN"], [printing("plst", "MH1-17", released_at="2021-01-01")], False),
    (["017/254 C", "MH1-DE"], [printing("mh1", "17", lang="ja")], False),
])
def test_a_printing_is_decided_if_number_and_set_fit_it_alone(texts, others, decided):
    choice = chosen(texts, *others, MH1)
    first = choice.printings[0]
    assert choice.decided == decided and (first.set, first.collector_number) == ("mh1", "17")


def test_the_language_on_the_card_tells_apart_what_exists_in_several():
    german = printing("mh1", "17", lang="de")
    choice = chosen(["017/254 C", "MH1-DE"], MH1, german)
    assert choice.decided and choice.printings[0].lang == "de"
    assert chosen(["017/254 C", "MH1-FR"], MH1, printing("dom", "20")).printings[0].lang == "fr"


def test_older_cards_are_told_by_year_and_number():
    old, older = printing("10e", "17", released_at="2007-07-13"), printing("9ed", "20", released_at="2005-07-29")
    read = ["(c) 1993-2007 Wizards", "Coast 17/383"]
    choice = chosen(read, older, old)
    assert choice.decided and choice.printings[0].set == "10e" and "2007" in choice.printings[0].read
    foil = printing("10e", "17\u2605", released_at="2007-07-13")
    assert not chosen(read, old, foil).decided, "both have the same line"


def test_without_a_reading_pictures_decide_only_if_there_is_one_of_each():
    alike = [replace(MH1, similarity=0.9, score=0.1), replace(printing("dom", "20"), similarity=0.5, score=0.4)]
    assert choose(alike, listed=True) == Choice(alike, True)
    read = [replace(alike[0], score=0.4), replace(alike[1], score=2.0)]
    assert choose(read, listed=True) == Choice(read[::-1], True), "what was read is stronger"
    unseen = printing("m20", "1", released_at="2020-01-01")
    assert not choose([*alike, unseen], listed=True).decided


def test_the_usual_printing_comes_first_if_nothing_tells():
    unusual = [printing("art", "1", layout="art_series"), printing("wc97", "2", border_color="gold"),
               printing("plst", "MH1-17"), printing("pm20", "3", promo=True)]
    newer = [replace(other, released_at="2022-01-01") for other in unusual]
    choice = choose([*newer, MH1, printing("old", "4", released_at="2001-01-01")], listed=True)
    assert not choice.decided and [found.set for found in choice.printings[:2]] == ["mh1", "old"]
    assert choose([MH1], listed=True).decided and not choose([MH1], listed=False).decided


# Everywhere

def test_programs_get_what_was_read(picture_of, read_space, bulk_cards, tmp_path):
    photo = photo_of([picture_of(DECIDED)], tmp_path / "photo.jpg")
    card, = (card for card in mtg_image_db.open_index(read_space.out).name(photo) if card.accepted)
    assert card.printing_decided and card.printing.set == bulk_cards[DECIDED]["set"] and card.by == "art"
    card, = (card for card in mtg_image_db.open_index(read_space.out, read="off").name(photo) if card.accepted)
    assert not card.printing_decided
    with pytest.raises(mtg_image_db.SuiteError, match="no such way to read"):
        mtg_image_db.open_index(read_space.out, read="always")


def test_without_the_networks_the_error_says_what_to_do(picture_of, read_space, tmp_path):
    (tmp_path / "blocked" / "rapidocr").mkdir(parents=True)
    (tmp_path / "blocked" / "rapidocr" / "__init__.py").write_text("")
    # This card has one printing and is recognised: the error comes before anybody knows what has to be read.
    photo, blocked = photo_of([picture_of(NAMED_IN_RULES)], tmp_path / "photo.jpg"), str(tmp_path / "blocked")
    done = read_space.run("query_index.py", photo, code=1, PYTHONPATH=blocked)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "--read off" in done.stderr
    assert read_space.run("query_index.py", photo, "--read", "off", PYTHONPATH=blocked).stdout


def letters(text: str, doubt: dict[int, str] | None = None) -> np.ndarray:
    """What a network gives that is sure of a text, but for the letters at some positions."""
    columns = np.full((2 * len(text) + 1, len(ALPHABET)), np.log(1e-6), np.float32)
    columns[0::2, 0] = 0
    for at, letter in enumerate(text):
        columns[2 * at + 1, ALPHABET.index(letter)] = 0
        for other in (doubt or {}).get(at, ""):
            columns[2 * at + 1, [ALPHABET.index(letter), ALPHABET.index(other)]] = np.log([0.6, 0.4])
    return columns


def test_a_known_text_is_compared_with_what_the_network_held_for_possible():
    strips = [letters("MHI-EN", {2: "1"}), letters("ABCDEF")]
    assert [text_of(strip) for strip in strips] == ["MHI-EN", "ABCDEF"]
    fits = fits_of(strips, ["MH1", "MHI", "M20", "BCD", "€"])
    assert fits[0, 0] == pytest.approx((0.4 / 0.6) ** (1 / 3), abs=0.01) and fits[0, 1] == pytest.approx(1)
    assert fits[0, 2] < 0.05 and fits[1, 3] == pytest.approx(1) and (fits[:, 4] == 0).all()


@pytest.mark.parametrize(("text", "number", "fits"), [("017/254 C", "017", True), ("117/254", "17", False),
                                                      ("170/254", "17", False), ("C 0017", "0017", True),
                                                      ("C 0017", "001", False), ("022", "022", True)])
def test_a_number_fits_alone_only(text, number, fits):
    assert (fits_of([letters(text)], [number], alone=True)[0, 0] > 0.9) == fits


def test_names_are_compared_without_accents_and_capitals():
    assert letters_of("Æther Vial's, Jötun") == "aethervialsjotun"
