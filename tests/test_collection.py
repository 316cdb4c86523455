"""The lists for collection managers: what query_index.py --csv writes, read back."""
from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from conftest import assert_three_lines
from made_matches import match
from PIL import Image

from mirror.drawn_scenes import scene
from mtg_image_db.artefacts import cache_name
from mtg_image_db.recognition.collection import FORMATS, NAMES, Counted

# The headers of the sites' own export files.
HEADERS = {
    "manabox": "Name,Set code,Set name,Collector number,Foil,Rarity,Quantity,ManaBox ID,Scryfall ID,Purchase price,"
               "Misprint,Altered,Condition,Language,Purchase price currency",
    "moxfield": '"Count","Tradelist Count","Name","Edition","Condition","Language","Foil","Tags","Last Modified",'
                '"Collector Number","Alter","Proxy","Purchase Price"',
    "archidekt": "Quantity,Name,Finish,Condition,Date Added,Language,Purchase Price,Tags,Edition Name,Edition Code,"
                 "Multiverse Id,Scryfall ID,Collector Number",
    "deckbox": "Count,Tradelist Count,Name,Edition,Edition Code,Card Number,Condition,Language,Foil,Signed,"
               "Artist Proof,Altered Art,Misprint,Promo,Textless,Printing Id,Printing Note,Tags,My Price,Cost,Rarity,"
               "Price,TcgPlayer ID,Scryfall ID",
    "dragonshield": "Folder Name,Quantity,Trade Quantity,Card Name,Set Code,Set Name,Card Number,Condition,Printing,"
                    "Language,Price Bought,Date Bought",
    "mtggoldfish": "Card,Set ID,Set Name,Quantity,Foil,Variation,Collector Number,Scryfall ID",
    "topdecked": "QUANTITY,NAME,SETCODE,SETNAME,COLLECTOR NUMBER,FINISH,PRICE,RARITY,ID,ACQUIRED DATE,ACQUIRED PRICE,"
                 "LANG,PRICE SALE,SIGNING,ALTERATION,CONDITION,NOTES,TAGS",
    "cardkingdom": "title,edition,foil,quantity"}
# For each site: the columns of the name, the set, the number, the finish, the language and the condition.
COLUMNS = {
    "manabox": ("Name", "Set code", "Collector number", "Foil", "Language", "Condition"),
    "moxfield": ("Name", "Edition", "Collector Number", "Foil", "Language", "Condition"),
    "archidekt": ("Name", "Edition Code", "Collector Number", "Finish", "Language", "Condition"),
    "deckbox": ("Name", "Edition Code", "Card Number", "Foil", "Language", "Condition"),
    "dragonshield": ("Card Name", "Set Code", "Card Number", "Printing", "Language", "Condition"),
    "mtggoldfish": ("Card", "Set ID", "Collector Number", "Foil", None, None),
    "topdecked": ("NAME", "SETCODE", "COLLECTOR NUMBER", "FINISH", "LANG", "CONDITION"),
    "cardkingdom": ("title", None, None, "foil", None, None)}
COUNT = {"manabox": "Quantity", "moxfield": "Count", "archidekt": "Quantity", "deckbox": "Count",
         "dragonshield": "Quantity", "mtggoldfish": "Quantity", "topdecked": "QUANTITY", "cardkingdom": "quantity"}


BOLT = Counted(match("Lightning Bolt"), 4)
TWO_SIDES = Counted(match("Insectile Aberration", card_name="Delver of Secrets // Insectile Aberration",
                          layout="transform", lang="ja", finishes=["etched"]), 1)
TOKEN = Counted(match('Treasure, "the" Token', set="tmh2", layout="token", lang="zhs", finishes=["foil"]), 2)


def rows(site: str) -> list[dict[str, str]]:
    text = FORMATS[site].text([BOLT, TWO_SIDES, TOKEN])
    assert text.partition("\n")[0] == HEADERS[site] and "\r" not in text and text.endswith("\n")
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("site, bolt, two_sides, token", [
    ("manabox", ("Lightning Bolt", "MH2", "12", "normal", "en", "near_mint"),
     ("Delver of Secrets // Insectile Aberration", "MH2", "12", "etched", "ja", "near_mint"),
     ('Treasure, "the" Token', "TMH2", "12", "foil", "zh_CN", "near_mint")),
    ("moxfield", ("Lightning Bolt", "mh2", "12", "", "English", "Near Mint"),
     ("Delver of Secrets // Insectile Aberration", "mh2", "12", "etched", "Japanese", "Near Mint"),
     ('Treasure, "the" Token', "tmh2", "12", "foil", "Chinese", "Near Mint")),
    ("archidekt", ("Lightning Bolt", "mh2", "12", "Normal", "EN", "NM"),
     ("Delver of Secrets // Insectile Aberration", "mh2", "12", "Etched", "JA", "NM"),
     ('Treasure, "the" Token', "tmh2", "12", "Foil", "CS", "NM")),
    ("deckbox", ("Lightning Bolt", "mh2", "12", "", "English", "Near Mint"),
     ("Delver of Secrets // Insectile Aberration", "mh2", "12", "etched", "Japanese", "Near Mint"),
     ('Treasure, "the" Token', "tmh2", "12", "foil", "Chinese", "Near Mint")),
    ("dragonshield", ("Lightning Bolt", "MH2", "12", "Normal", "English", "NearMint"),
     ("Delver of Secrets", "MH2", "12", "Foil", "Japanese", "NearMint"),
     ('Treasure, "the" Token', "TMH2", "12", "Foil", "Chinese", "NearMint")),
    ("mtggoldfish", ("Lightning Bolt", "MH2", "12", "regular"),
     ("Delver of Secrets // Insectile Aberration", "MH2", "12", "foil_etched"),
     ('Treasure, "the" Token', "TMH2", "12", "foil")),
    ("topdecked", ("Lightning Bolt", "MH2", "12", "nonfoil", "en", "near mint"),
     ("Delver of Secrets // Insectile Aberration", "MH2", "12", "etched", "ja", "near mint"),
     ('Treasure, "the" Token', "TMH2", "12", "foil", "zhs", "near mint")),
    ("cardkingdom", ("Lightning Bolt", "FALSE"), ("Delver of Secrets // Insectile Aberration", "TRUE"),
     ('Treasure, "the" Token', "TRUE"))])
def test_each_site_reads_its_own_columns(site, bolt, two_sides, token):
    for row, expected, count in zip(rows(site), (bolt, two_sides, token), ("4", "1", "2"), strict=True):
        assert tuple(row[column] for column in COLUMNS[site] if column) == expected
        assert row[COUNT[site]] == count


def test_the_ids_and_names_of_sets_are_where_the_sites_look():
    for site, column in (("manabox", "Scryfall ID"), ("archidekt", "Scryfall ID"), ("deckbox", "Scryfall ID"),
                         ("mtggoldfish", "Scryfall ID"), ("topdecked", "ID")):
        assert rows(site)[0][column] == "id of Lightning Bolt"
    for site, column in (("manabox", "Set name"), ("archidekt", "Edition Name"), ("deckbox", "Edition"),
                         ("dragonshield", "Set Name"), ("mtggoldfish", "Set Name"), ("topdecked", "SETNAME"),
                         ("cardkingdom", "edition")):
        assert rows(site)[0][column] == "Modern Horizons 2"
    assert rows("deckbox")[0]["TcgPlayer ID"] == "77"


def test_every_value_of_moxfield_is_quoted():
    line = FORMATS["moxfield"].text([BOLT]).splitlines()[1]
    assert line.startswith('"4","0","Lightning Bolt","mh2"') and line.count('"') == 26


def test_the_text_list_names_set_number_and_finish():
    assert FORMATS["text"].text([BOLT, TWO_SIDES, TOKEN]).splitlines() == [
        "4 Lightning Bolt (MH2) 12", "1 Delver of Secrets // Insectile Aberration (MH2) 12 *E*",
        '2 Treasure, "the" Token (TMH2) 12 *F*']


def test_a_folder_of_photos_becomes_a_list_and_the_rest_is_named(finished, tmp_path):
    """Two photos of one card, one photo of two cards, and an unknown card: the rest."""
    meta, photos = finished.lines("mtg_meta.jsonl"), tmp_path / "photos"
    photos.mkdir()
    back = next(row for row, face in enumerate(meta) if face["face_id"].endswith(":face:1"))
    pictures = [Image.open(finished.cache / cache_name(meta[row]["image_url"])) for row in (2, back)]
    for name, shown, seed in (("a", pictures[:1], 1), ("b", pictures[:1], 2), ("c", pictures, 3)):
        scene(shown, "white", seed=seed)[0].save(photos / f"{name}.jpg")
    other = np.random.default_rng(1).integers(0, 255, (6, 5, 3), np.uint8)
    scene([Image.fromarray(other).resize((488, 680))], "white", seed=4)[0].save(photos / "d.jpg")
    done = finished.query(photos, "--csv", tmp_path / "list.csv", "--format", "manabox", find="auto")
    assert "4 pictures, 5 cards: 4 recognised, 1 unknown" in done.stderr
    listed = list(csv.DictReader((tmp_path / "list.csv").open(newline="")))
    assert [(row["Scryfall ID"], row["Quantity"]) for row in listed] == [
        (meta[2]["scryfall_id"], "3"), (meta[back]["scryfall_id"], "1")]
    assert listed[0]["Set name"] and listed[0]["Rarity"] and " // " in listed[1]["Name"]
    (left,) = csv.DictReader((tmp_path / "list-rest.csv").open(newline=""))
    assert (left["photo"], left["card"], left["state"]) == (str(photos / "d.jpg"), "1", "unknown")
    assert f"does not list are in {tmp_path / 'list-rest.csv'}" in done.stderr


def test_the_plain_list_has_a_line_for_each_card_as_the_json_has(finished, tmp_path):
    path = finished.pictures()[0]
    done = finished.query(path, "--csv", tmp_path / "plain.csv", "--json", find="auto")
    (card,), (row,) = json.loads(done.stdout)["cards"], csv.DictReader((tmp_path / "plain.csv").open(newline=""))
    best = card["matches"][0]
    assert (row["photo"], row["card"], row["state"], row["page"]) == (str(path), "1", "recognised", "")
    assert (float(row["score"]), float(row["confidence"])) == (best["score"], card["confidence"])
    assert [[round(float(x)) for x in corner.split(",")] for corner in row["quad"].split()] == [
        [round(x) for x in corner] for corner in card["quad"]]
    for key in ("scryfall_id", "face_id", "oracle_id", "illustration_id", "tcgplayer_id", "cardmarket_id"):
        assert row[key] == str(best[key]) != "", key
    assert not (tmp_path / "plain-rest.csv").exists()


def test_a_list_that_cannot_be_written_is_told_before_the_work(finished, tmp_path):
    done = finished.query(finished.pictures()[0], "--csv", tmp_path / "no" / "list.csv", find="auto", code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")


def test_every_format_is_tested():
    assert {*HEADERS, "text", "plain"} == set(NAMES)
