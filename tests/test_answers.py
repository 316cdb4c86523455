"""What a user asks for and gets: files, folders, lists and pages in; every card of a photo out, in order."""
from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
from conftest import Workspace
from made_matches import match
from PIL import Image
from test_web_search import TYPED

from mirror.drawn_scenes import scene
from mtg_image_db.artefacts import cache_name
from mtg_image_db.index.name_search import NameSearch
from mtg_image_db.recognition import annotate
from mtg_image_db.recognition.cards import LIKELY, RECOGNISED, UNKNOWN, Card, in_reading_order
from mtg_image_db.recognition.photo_files import PhotoFile, photos_of


def picture(workspace: Workspace, row: int) -> Image.Image:
    return Image.open(workspace.cache / cache_name(workspace.lines("mtg_meta.jsonl")[row]["image_url"]))


def stranger(seed: int) -> Image.Image:
    """A card-shaped picture that no index has: coarse noise in a black border."""
    noise = np.random.default_rng(seed).integers(0, 255, (7, 5, 3), dtype=np.uint8)
    card = Image.new("RGB", (488, 680), "#101010")
    card.paste(Image.fromarray(noise).resize((430, 620), Image.Resampling.NEAREST), (29, 30))
    return card


def card_at(x: float, y: float, state: str = RECOGNISED, turn: float = 0) -> Card:
    corner = np.array([[-30, -40], [30, -40], [30, 40], [-30, 40]]) @ np.array(
        [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [x, y]
    return Card(corner.tolist(), 0, state, state == RECOGNISED, 0.5, 0.9, 0.9, 0.1,
                [match("A Long Name of a Card")])


# Every card, in reading order

def test_unknown_cards_are_listed_beside_the_known_ones(finished, tmp_path):
    known = [3, 12, 27, 40]
    shown = [stranger(1), picture(finished, known[0]), stranger(2), picture(finished, known[1]), stranger(3),
             picture(finished, known[2]), picture(finished, known[3]), stranger(4), stranger(5)]
    photo, quads = scene(shown, "wood", seed=3, share=0.85, turn=3, slant=0.02)
    photo.save(tmp_path / "nine.jpg")
    done = finished.query(tmp_path / "nine.jpg", "--json", find="auto")
    cards = json.loads(done.stdout)["cards"]
    states = [card["state"] for card in cards]
    assert states == [UNKNOWN, RECOGNISED, UNKNOWN, RECOGNISED, UNKNOWN, RECOGNISED, RECOGNISED, UNKNOWN, UNKNOWN]
    assert [card["accepted"] for card in cards] == [state == RECOGNISED for state in states]
    for card, quad in zip(cards, quads, strict=True):
        assert np.abs(np.mean(card["quad"], axis=0) - quad.mean(axis=0)).max() < 30
    assert "1 picture, 9 cards: 4 recognised, 5 unknown" in done.stderr


def test_rows_are_read_from_the_top_and_from_left_to_right():
    places = [(100, 100), (200, 108), (300, 116), (100, 210), (200, 200), (300, 190)]
    cards = [card_at(x, y) for x, y in places]
    for order in ([5, 3, 1, 0, 2, 4], [2, 0, 4, 5, 1, 3]):
        assert in_reading_order([cards[at] for at in order]) == [*cards[:3], cards[4 - 1], cards[4], cards[5]]


def test_a_pile_is_read_downward_and_a_fan_from_left_to_right():
    pile = [card_at(100 + (-1) ** n * 3, 100 + 12 * n) for n in range(6)]
    fan = [card_at(100 + 15 * n, 100 - (-1) ** n * 3) for n in range(6)]
    assert in_reading_order(pile[::-1]) == pile and in_reading_order(fan[::-1]) == fan
    assert in_reading_order([]) == []


# Scores

def test_scores_fall_and_mean_the_same_with_and_without_finding(finished):
    path = finished.pictures()[7]
    found, off = (json.loads(finished.query(path, "--json", "--k", 6, find=find).stdout) for find in ("auto", "off"))
    for answer in (found, off):
        scores = [match["score"] for match in answer["matches"]]
        assert scores[0] == 1 and scores == sorted(scores, reverse=True)
    assert found["matches"][0] == off["matches"][0]
    assert found["cards"][0]["score"] == 1 == found["cards"][0]["similarity"] == found["cards"][0]["confidence"]


# Names

def found(faces: list[str], text: str, number: str = "174★") -> list[str]:
    lines = [json.dumps({"name": name, "set": "rtr", "collector_number": number}).encode() for name in faces]
    return [faces[row] for row in NameSearch(lines).rows(text)]


@pytest.mark.parametrize("name, typed, is_found", TYPED)
def test_names_are_found_as_in_the_page(name, typed, is_found):
    assert {text: found([name], text) == [name] for text in typed} == dict.fromkeys(typed, is_found)


def test_the_best_names_come_first():
    faces = ["Unbolted Door", "Boltwing Marauder", "Lightning Bolt", "Bolt Bend", "Bolt"]
    assert found(faces, "bolt") == ["Bolt", "Boltwing Marauder", "Bolt Bend", "Lightning Bolt", "Unbolted Door"]
    assert found(faces, "rtr bend") == ["Bolt Bend"] and found(faces, " ") == [] == found(faces, "bolt zen")


# Inputs

def test_a_folder_is_its_pictures_in_the_order_of_names(tmp_path):
    for name in ("b.JPG", "a/z.heic", "a/y.txt", "c.avif", ".hidden.jpg", "a/.thumbs/x.jpg.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [photo.path.relative_to(tmp_path).as_posix() for photo in photos_of([tmp_path])] == [
        "a/z.heic", "b.JPG", "c.avif"]


def test_a_list_on_stdin_and_a_picture_that_cannot_be_read(finished, tmp_path):
    good, bad = finished.pictures()[0], tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8 nothing")
    listed = f"{good}\n{bad}\n\n{tmp_path / 'gone.jpg'}\n"
    done = subprocess.run(finished.command("query_index.py", "-", "--json", "--find", "off"), cwd=finished.path,
                          env=finished.environment(), input=listed, text=True, capture_output=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [bool(answer["matches"]) for answer in answers] == [True, False, False]
    assert [line for line in done.stderr.splitlines() if line.startswith("Left out: ")] == [
        f"Left out: {bad}: {answers[1]['error']}", f"Left out: {tmp_path / 'gone.jpg'}: No such file or directory"]


def test_a_folder_without_pictures_is_three_lines(finished, tmp_path):
    done = finished.query(tmp_path, code=1)
    assert "there is no picture to name" in done.stderr and str(tmp_path) in done.stderr


def test_each_page_of_a_tiff_is_a_photo_and_smaller_copies_are_none(finished, tmp_path):
    pages = [picture(finished, row) for row in (5, 9)]
    small = pages[0].resize((61, 85))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    path = tmp_path / "scan.tif"
    pages[0].save(path, save_all=True, append_images=[small, pages[1]], compression="tiff_deflate")
    assert photos_of([path]) == [PhotoFile(path, 1), PhotoFile(path, 3)]
    done = finished.query(path, "--json")
    answers, meta = [json.loads(line) for line in done.stdout.splitlines()], finished.lines("mtg_meta.jsonl")
    assert [(answer["query"], answer["page"]) for answer in answers] == [(str(path), 1), (str(path), 3)]
    assert [answer["matches"][0]["face_id"] for answer in answers] == [meta[5]["face_id"], meta[9]["face_id"]]
    assert f"{path}, page 3" in finished.query(path).stdout


@pytest.mark.parametrize("flags", [["--csv", "photo.jpg"], ["--annotate", "photo.jpg"], ["--html", "./photo.jpg"],
                                   ["--csv", "page", "--html", "page"]])
def test_no_output_replaces_a_photo_or_another_output(finished, tmp_path, flags):
    data = finished.pictures()[0].read_bytes()
    (tmp_path / "photo.jpg").write_bytes(data)
    work = Workspace(tmp_path)
    done = work.query("photo.jpg", "--index-dir", finished.out, *flags, find="auto", code=1)
    assert "a file to write is a picture" in done.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == data and len(list(tmp_path.iterdir())) == 1


# Outlines

def test_names_that_would_cover_each_other_are_listed_below_the_photo():
    photo = np.full((300, 400, 3), 90, np.uint8)
    apart = [card_at(60, 150, UNKNOWN), card_at(330, 150, UNKNOWN)]
    crowd = [card_at(40 + 40 * n, 150, state) for n, state in enumerate((RECOGNISED, LIKELY, UNKNOWN))]
    assert annotate.drawn(photo, apart).size == (400, 300)
    listed = annotate.drawn(photo, crowd)
    assert listed.width == 400 and listed.height > 320 and listed.getpixel((399, listed.height - 1)) == (255, 255, 255)
    assert annotate.drawn(photo, crowd, named=False).size == (400, 300)


@pytest.mark.parametrize("state", [RECOGNISED, LIKELY, UNKNOWN])
def test_each_state_has_its_colour(state):
    drawn = np.asarray(annotate.drawn(np.zeros((200, 200, 3), np.uint8), [card_at(100, 100, state)], named=False))
    outline = annotate.COLOURS[state][0]
    assert (drawn.reshape(-1, 3) == [int(outline[at:at + 2], 16) for at in (1, 3, 5)]).all(axis=1).sum() > 200
