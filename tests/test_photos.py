"""Photos of cards: found, straightened, named, and not named where the card is not in the index."""
from __future__ import annotations

import io
import json
from dataclasses import asdict

import cv2
import numpy as np
import orjson
import pytest
from conftest import Workspace, assert_three_lines, drop_hashes
from PIL import Image

import mtg_image_db
from mirror import scene_kinds
from mirror.drawn_cards import draw_face
from mirror.drawn_scenes import TABLES, scene
from mtg_image_db.artefacts import cache_name, file_sha256
from mtg_image_db.embedding.picture_hash import (
    art_hash,
    art_signs,
    art_similarity,
    picture_hash,
    similarity,
    unpack,
)
from mtg_image_db.index.reader import read_index
from mtg_image_db.recognition import places, retrieval
from mtg_image_db.recognition.corner_refiner import Place, refine
from mtg_image_db.recognition.decision import Question
from mtg_image_db.recognition.finder import Pyramid, find_quads, intersection_over_union, overlap, rectangle
from mtg_image_db.recognition.namer import name_cards
from mtg_image_db.recognition.places import find_places, guesses, same_place

SCENES, NAMED_SCENES = 4, 1  # of each kind
KINDS_FOUND = {"slant": 0.9, "crowded": 0.9, "borderless": 0.7, "cut off": 0.9, "covered": 0.7, "glare": 0.7,
               "dim": 0.9, "tiny": 0.9, "another frame": 0.9}  # the least share
EASIER = "slant", "dim", "tiny", "crowded", "another frame"  # make test-long draws them too
CORNERS = 0.06  # of the card's height, by which found corners may be off: the hash tells them no better


def card(workspace: Workspace, row: int) -> tuple[dict, Image.Image]:
    face = workspace.lines("mtg_meta.jsonl")[row]
    return face, Image.open(workspace.cache / cache_name(face["image_url"]))


def ask(workspace: Workspace, *arguments: object) -> list[dict]:
    return [json.loads(line) for line in workspace.query(*arguments, "--json", find="auto").stdout.splitlines()]


def change_meta(workspace: Workspace, meta: list[dict]) -> None:
    path, manifest = workspace.out / "mtg_meta.jsonl", workspace.manifest()
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in meta))
    manifest["outputs"][path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    (workspace.out / "build_manifest.json").write_text(json.dumps(manifest))


def assert_card(found: dict, face: dict, quad: np.ndarray) -> None:
    """The card is accepted, under its name, at its corners, the right way up."""
    assert found["accepted"] and found["matches"][0]["face_id"] == face["face_id"], (found, face["name"])
    away = np.linalg.norm(np.array(found["quad"]) - quad, axis=1).max() / np.linalg.norm(quad[0] - quad[3])
    assert away < CORNERS, (face["name"], away)
    up = quad[:2].mean(axis=0) - quad[2:].mean(axis=0)
    turned = np.degrees(np.arctan2(up[0], -up[1])) - found["rotation"]
    assert abs((turned + 180) % 360 - 180) < 3


@pytest.fixture(scope="module")
def index(finished):
    return mtg_image_db.open_index(finished.out)


@pytest.fixture(scope="module")
def tables(finished, tmp_path_factory) -> list[tuple[str, dict, np.ndarray, dict]]:
    """(what is drawn, the card's metadata, its corners, the answer) for a card on each table, at random angles, one
    that fills the photo, one that the border cuts off, and a scan lying on its side."""
    folder, drawn = tmp_path_factory.mktemp("tables"), []
    looks = [(table, {"table": table}) for table in TABLES]
    looks += [("close", {"table": "wood", "share": 0.97, "turn": 2, "slant": 0.01}),
              ("cut off", {"table": "white", "share": 0.8, "turn": 0, "shift": (0, -0.3)}),
              ("small", {"table": "cloth", "share": 0.2})]
    for number, (what, look) in enumerate(looks):
        face, picture = card(finished, 3 * number)
        photo, (quad,) = scene([picture], seed=number, **look)
        photo.save(folder / f"{number}.jpg", quality=88)
        drawn.append((what, face, quad))
    face, picture = card(finished, 30)
    picture.rotate(90, expand=True).save(folder / "8.jpg", quality=88)
    width, height = picture.size
    drawn.append(("scan", face, np.float32([[0, width], [0, 0], [height, 0], [height, width]])))
    answers = ask(finished, *(folder / f"{number}.jpg" for number in range(len(drawn))))
    return [(*one, answer) for one, answer in zip(drawn, answers, strict=True)]


@pytest.mark.parametrize("what", [*TABLES, "close", "small", "scan"])
def test_a_card_is_found_straightened_and_named(tables, what):
    _, face, quad, answer = next(one for one in tables if one[0] == what)
    (found,) = [found for found in answer["cards"] if found["accepted"]]
    assert_card(found, face, quad)
    assert answer["matches"] == answer["cards"][0]["matches"]


@pytest.mark.long
@pytest.mark.parametrize("nearer, squash", [(1.3, 0.7), (1.5, 0.6), (1.9, 0.6)])
def test_a_card_seen_from_a_low_camera_is_named(finished, index, nearer, squash):
    """It is wider than tall in the photo, and its near side is much longer than its far one."""
    face, picture = card(finished, 12)
    photo, (quad,) = scene([picture], "white", seed=5, turn=8, slant=0.02, nearer=nearer, squash=squash)
    found = index.name(np.asarray(photo))[0]
    assert found.accepted and found.matches[0].face_id == face["face_id"]
    assert intersection_over_union(np.float32(found.quad), quad) > 0.85


@pytest.mark.parametrize("kind, least", [pytest.param(*one, marks=pytest.mark.long if one[0] in EASIER else ())
                                         for one in KINDS_FOUND.items()])
def test_cards_that_are_easily_missed_are_found_and_named(finished, index, kind, least):
    """The share of the cards of which some candidate is at the true place, and of those in the first photo that are
    named. scripts/eval_photos.py --drawn counts more."""
    found, named = [], []
    for seed in range(SCENES if kind != "crowded" else SCENES // 2):  # nine cards in each of those
        cards = [card(finished, (5 * seed + number) % 53) for number in range(scene_kinds.CROWD)]
        photo, quads = scene_kinds.photo_of(kind, [picture for _, picture in cards], seed)
        guessed = guesses(np.asarray(photo))
        found += [max(intersection_over_union(place.quad, quad) for place in guessed) >= 0.7 for quad in quads]
        if seed < NAMED_SCENES:
            names = {one.matches[0].name for one in index.name(np.asarray(photo))}
            named += [face["name"] in names for face, _ in cards[:len(quads)]]
    print(f"\n{kind}: {sum(found)} of {len(found)} found, {sum(named)} of {len(named)} named")
    assert np.mean(found) >= least
    assert np.mean(named) >= (0.5 if kind == "borderless" else 0.9)  # the art of a borderless card is larger


def rough(quad: np.ndarray, seed: int) -> np.ndarray:
    """The corners moved by up to 8% of the card's height."""
    height = np.linalg.norm(quad[0] - quad[3])
    return (quad + np.random.default_rng(seed).uniform(-0.08, 0.08, (4, 2)) * height).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_refiner_finds_the_corners_and_the_top_left(finished, seed):
    """Whichever corner of the rough place comes first."""
    photo, (quad,) = scene([card(finished, 4 * seed)[1]], TABLES[seed], seed=seed)
    for turn in range(4):
        (place,) = refine(Pyramid(np.asarray(photo)), [np.roll(rough(quad, seed), turn, axis=0)])
        assert np.linalg.norm(place.quad - quad, axis=1).max() < 0.08 * np.linalg.norm(quad[0] - quad[3])
        assert place.confidence > 0.6 and place.sure > 0.9


def test_the_refiner_is_not_confident_where_no_card_lies():
    table, _ = scene([Image.new("RGB", (488, 680))], "wood", seed=1, share=0.01)
    quads = [rectangle(200, 280) + np.float32([x, y]) for x in (30, 400) for y in (60, 300)]
    assert max(place.confidence for place in refine(Pyramid(np.asarray(table)), quads)) < 0.2


@pytest.mark.parametrize("source", ["find_corners", "find_quads"])
def test_the_network_and_the_outlines_find_cards_without_each_other(finished, monkeypatch, source):
    monkeypatch.setattr(places, source, lambda photo: [])
    for seed, table in enumerate(TABLES[:3]):
        photo, (quad,) = scene([card(finished, seed)[1]], table, seed=seed)
        assert max(intersection_over_union(place.quad, quad) for place in find_places(np.asarray(photo))) > 0.85


def test_a_place_whose_top_left_is_not_sure_is_tried_in_more_turns(monkeypatch):
    found = [Place(rectangle(63, 88) + np.float32(90 * at), 0.9, sure) for at, sure in enumerate((0.95, 0.7, 0.4))]
    monkeypatch.setattr(places, "find_places", lambda photo: found)
    upright, wide = (guesses(np.zeros(shape, np.uint8)) for shape in ((400, 300, 3), (300, 400, 3)))
    assert [len(upright), len(wide)] == [2 + 1 + 2 + 4, 4 + 1 + 2 + 4]
    assert {tuple(guess.quad[0]) for guess in upright[-4:]} == {tuple(corner) for corner in found[2].quad}
    assert {tuple(guess.quad[0]) for guess in wide[:4]} == {(0, 0), (400, 0), (400, 300), (0, 300)}


def test_guesses_of_one_place_and_cards_of_a_fan_are_told_apart():
    card_place = rectangle(63, 88)
    for other in (rectangle(63, 60), rectangle(40, 40), card_place * np.float32(1.1), card_place + np.float32([4, 6])):
        assert same_place(card_place, other) and same_place(other, card_place)
    for other in (card_place + np.float32([0, 21]), card_place + np.float32([16, 0]), card_place + np.float32([70, 0])):
        assert not same_place(card_place, other)


def test_a_card_that_the_border_cuts_off_is_named(tables):
    _, face, quad, answer = next(one for one in tables if one[0] == "cut off")
    assert quad.min() < -150, "a part of the card is outside the photo"
    found = answer["cards"][0]
    assert found["accepted"] and face["face_id"] in {one["face_id"] for one in found["printings"]}, (found, face)


def test_every_card_of_a_photo_is_named(finished, tmp_path):
    rows = [0, 5, 9, 14, 18, 22, 27, 33, 38]
    cards = [card(finished, row) for row in rows]
    photo, quads = scene([picture for _, picture in cards], "wood", seed=11, share=0.8)
    photo.save(tmp_path / "nine.jpg")
    (answer,) = ask(finished, tmp_path / "nine.jpg")
    for (face, _), quad in zip(cards, quads, strict=True):
        here = [found for found in answer["cards"] if overlap(np.float32(found["quad"]), quad) > 0.8]
        assert len(here) == 1, face["name"]
        assert_card(here[0], face, quad)


def test_a_card_that_is_not_in_the_index_is_not_recognised(finished, tmp_path):
    for number, table in enumerate(("white", "cloth", "clutter")):
        stranger = draw_face("A Stranger", 900_010 + number, "GW")
        scene([stranger], table, seed=number)[0].save(tmp_path / f"{number}.jpg")
    Image.new("RGB", (900, 700), "white").save(tmp_path / "nothing.png")
    photos = [*sorted(tmp_path.glob("*.jpg")), tmp_path / "nothing.png"]
    done = finished.query(*photos, find="auto")
    lines = done.stdout.splitlines()
    assert len(lines) == 4 * len(photos) and lines[2::4] == ["Most like:"] * len(photos)
    assert lines[1::4] == ["1 card: 1 unknown"] * len(photos)
    assert all(line.startswith("1. ") for line in lines[3::4]), "the nearest card is still told"
    assert f"{len(photos)} pictures, {len(photos)} cards: {len(photos)} unknown" in done.stderr


def test_a_card_that_looks_a_little_like_an_indexed_one_is_not_recognised(index, tmp_path):
    """Drawn cards resemble each other: one of these reaches a confidence of 0.30."""
    confidences = []
    for number in (1, 32, 53):
        photo, _ = scene([draw_face("A Stranger", 900_000 + number, "GW")], ("white", "cloth", "clutter")[number % 3],
                         seed=number)
        photo.save(tmp_path / "stranger.jpg")
        cards = index.name(tmp_path / "stranger.jpg")
        assert not any(found.accepted for found in cards)
        confidences += [found.confidence for found in cards]
    assert max(confidences) > 0.28, "the threshold is tested"


def test_printings_of_one_artwork_are_candidates_until_one_is_decided(finished, tables, tmp_path):
    meta = finished.lines("mtg_meta.jsonl")
    twin = next(row for row, face in enumerate(meta) if face["same_image_as"])
    other = next(row for row, face in enumerate(meta) if face["face_id"] == meta[twin]["same_image_as"])
    _, face, _, answer = tables[0]
    alone = answer["cards"][0]
    assert alone["printing_decided"] and alone["printings_known"] == 1, "the list has no other printing"
    assert [one["face_id"] for one in alone["printings"]] == [face["face_id"]]
    scene([card(finished, twin)[1]], "white", seed=2)[0].save(tmp_path / "twin.jpg")
    undecided = ask(finished, tmp_path / "twin.jpg", "--read", "off")[0]["cards"][0]
    assert undecided["accepted"] and not undecided["printing_decided"] and undecided["printings_known"] == 2
    first, second = (face["face_id"] for face in undecided["printings"])
    assert {first, second} == {meta[twin]["face_id"], meta[other]["face_id"]}
    lines = finished.query(tmp_path / "twin.jpg", "--read", "off", find="auto").stdout.splitlines()
    shown = [f"[{meta[row]['set']} {meta[row]['collector_number']}" for row in (twin, other)]
    assert [lines[1].count(one) + lines[2].count(one) for one in shown] == [1, 1]
    assert len(lines) == 3 and lines[2].startswith("   or another printing: [")


def test_a_printing_that_looks_different_is_decided(built, tmp_path):
    """Two faces of one artwork whose pictures differ, as an old frame and a new one do."""
    meta = built.lines("mtg_meta.jsonl")
    meta[0] |= {"name": meta[7]["name"], "illustration_id": "Rötel"}
    meta[7] |= {"illustration_id": "Rötel"}
    change_meta(built, meta)
    scene([card(built, 0)[1]], "white", seed=2)[0].save(tmp_path / "photo.jpg")
    found = ask(built, tmp_path / "photo.jpg")[0]["cards"][0]
    assert found["printing_decided"] and found["matches"][0]["face_id"] == meta[0]["face_id"]
    assert {one["face_id"] for one in found["printings"]} == {meta[0]["face_id"], meta[7]["face_id"]}


def test_annotate_writes_the_photo_with_outlines(finished, tmp_path):
    _face, picture = card(finished, 12)
    photo, (quad,) = scene([picture], "white", seed=4)
    photo.save(tmp_path / "photo.png")
    finished.query(tmp_path / "photo.png", "--annotate", tmp_path / "out.png", find="auto")
    before, after = (np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
                     for name in ("photo.png", "out.png"))
    assert Image.open(tmp_path / "out.png").format == "PNG" and before.shape == after.shape
    changed, reach = np.abs(before - after).max(axis=2) > 20, int(CORNERS * np.linalg.norm(quad[0] - quad[3]))
    for start, end in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        x, y = np.round((start + end) / 2).astype(int)
        assert changed[y - reach:y + reach, x - reach:x + reach].any(), "an outline runs along each side"
    middle = quad.mean(axis=0).astype(int)
    assert not changed[middle[1] - 50:middle[1] + 50, middle[0] - 50:middle[0] + 50].any()


def test_annotate_wants_one_picture_and_a_known_ending(finished, tmp_path):
    photo = finished.pictures()[0]
    done = finished.query(photo, photo, "--annotate", tmp_path / "out.gif", code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")
    for part in ("must end in .jpg, .png, .webp", "--find auto"):
        assert part in done.stderr
    done = finished.query(photo, photo, "--annotate", tmp_path / "out.png", find="auto", code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")
    assert "--annotate takes one picture" in done.stderr and "2 pictures" in done.stderr
    assert not list(tmp_path.glob("out.*"))


def test_html_shows_the_outlined_photo_beside_the_references(finished, tmp_path):
    cards = [card(finished, row) for row in (2, 8)]
    scene([picture for _, picture in cards], "black", seed=6, share=0.8)[0].save(tmp_path / "two.jpg")
    done = finished.query(tmp_path / "two.jpg", "--html", tmp_path / "page.html", "--cache", finished.cache,
                          find="auto")
    lines = done.stdout.splitlines()
    assert lines[0] == "2 cards: 2 recognised"
    assert [line[:23] for line in lines[1::3]] == ["Card 1, recognised, at ", "Card 2, recognised, at "]
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img ") == 3 and page.count("<div class=recognised>") == 2 and lines[0] in page
    for face, _ in cards:
        assert face["name"].replace("'", "&#x27;").replace('"', "&quot;") in page


def test_photo_files_are_read_whole(finished, tmp_path):
    data = io.BytesIO()
    scene([card(finished, 1)[1]], "wood")[0].save(data, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(data.getvalue()[:-4000])
    done = finished.query(tmp_path / "cut.jpg", code=2, find="auto")
    assert_three_lines("\n".join(done.stderr.splitlines()[:-1]), "Validation Error")


def test_where_all_rows_have_one_name_a_stranger_is_not_recognised(built, tmp_path):
    """Hundreds of Forests: no other card is near."""
    change_meta(built, [face | {"name": "Forest"} for face in built.lines("mtg_meta.jsonl")])
    scene([draw_face("A Stranger", 900_000, "GW")], "white", seed=0)[0].save(tmp_path / "stranger.jpg")
    scene([card(built, 0)[1]], "white", seed=0)[0].save(tmp_path / "known.jpg")
    stranger, known = ask(built, tmp_path / "stranger.jpg", tmp_path / "known.jpg", "--exact", "--k", 60)
    assert not any(found["accepted"] for found in stranger["cards"])
    assert known["cards"][0]["accepted"] and known["cards"][0]["margin"] == 0
    assert len(known["matches"]) == 53, "more matches than rows are every row"


@pytest.mark.parametrize("missing", [("art_hash",), ("hash", "art_hash")])
def test_an_index_without_hashes_is_refused(built, missing):
    drop_hashes(built, *missing)
    done = built.query(built.pictures()[0], code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "older version" in done.stderr


def test_a_build_adds_the_art_hashes_to_an_index_of_version_1_1_and_keeps_its_vectors(built):
    """Embedding 54,000 pictures takes hours. Reading them again takes minutes."""
    pictures, vectors = np.load(built.out / "mtg_pictures.npy"), (built.out / "mtg_embeddings.npy").read_bytes()
    drop_hashes(built, "art_hash")
    done = built.build()
    assert f"{len(built.pictures())} to read" in done.stderr and "0 embedded" in done.stderr
    assert np.array_equal(np.load(built.out / "mtg_pictures.npy"), pictures)
    assert (built.out / "mtg_embeddings.npy").read_bytes() == vectors
    assert " 0 to read" in built.build().stderr


@pytest.mark.parametrize("seed", range(3))
def test_a_photo_without_colour_is_decided_by_its_brightness(finished, index, seed):
    face, picture = card(finished, 6 + seed)
    photo, (quad,) = scene([picture], "white", seed=seed)
    found = index.name(np.asarray(photo.convert("L").convert("RGB")))[0]
    assert_card(asdict(found), face, quad)


def test_pictures_without_colour_are_not_alike_for_that():
    """In the channels of colour, all bits of both are 0."""
    art = [np.asarray(draw_face("Any", seed, "GW").crop((37, 76, 450, 378)).convert("L").convert("RGB"))
           for seed in range(8)]
    tinted = [np.clip(np.add(one, [20, 0, -20]), 0, 255).astype(np.uint8) for one in art]
    for pictures in (art, tinted):
        bits = np.stack([art_signs(one) for one in pictures])
        alike = art_similarity(bits, bits)
        assert alike[~np.eye(8, dtype=bool)].max() < 0.25 and np.diag(alike).min() > 0.6


class OneVector:
    """A model that gives every picture the same vector: the embedding tells nothing."""
    input_size = 224

    def __init__(self, dimension: int) -> None:
        self.vector = np.ones(dimension, np.float32) / np.float32(np.sqrt(dimension))

    def embed_photos(self, pictures: list[np.ndarray]) -> np.ndarray:
        return np.tile(self.vector, (len(pictures), 1))


def test_a_card_whose_vector_is_far_is_found_by_its_art(built, monkeypatch):
    """In a large index, many pictures have nearer vectors than the card's. Here, every row has."""
    monkeypatch.setattr(retrieval, "RETRIEVED", 1)
    index = read_index(built.out)
    rows = [row for row in range(0, len(index.metadata), 6) if not index.face(row)["same_image_as"]]
    for row in rows:
        photo, quads = scene([card(built, row)[1]], "wood", seed=row)
        question = Question(index, OneVector(index.nodes.vectors.shape[1]))
        found = name_cards(retrieval.Photo.of(np.asarray(photo)), question, [Place(quad) for quad in quads])
        assert found[0].accepted and found[0].matches[0].face_id == index.face(row)["face_id"]


# The parts

def test_the_hash_is_phash_of_hash_size_16():
    imagehash = pytest.importorskip("imagehash", reason="a package of the development environment")
    for seed in range(5):
        picture = draw_face("Any", seed, "U")
        mine = unpack(picture_hash(np.asarray(picture)))
        theirs = np.where(imagehash.phash(picture, 16).hash.ravel(), 1, -1)
        assert similarity(mine[None], theirs[None].astype(np.float32))[0, 0] > 0.9, "resized by another filter"


def test_a_build_keeps_the_hash_of_every_picture(built):
    before = np.load(built.out / "mtg_pictures.npy")
    for row in (0, 20, 52):
        _, picture = card(built, row)
        assert np.array_equal(before[row]["hash"], picture_hash(np.asarray(picture.convert("RGB"))))
        assert np.array_equal(before[row]["art_hash"], art_hash(np.asarray(picture.convert("RGB"))))
    assert len(np.unique(before["hash"], axis=0)) > 45
    assert len(np.unique(before["art_hash"], axis=0)) > 45
    for path in built.pictures()[:10]:
        path.touch()  # read again
    built.build()
    after = np.load(built.out / "mtg_pictures.npy")
    assert all(np.array_equal(after[name], before[name]) for name in ("hash", "art_hash"))


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (5000, 1), (64, 64)])
def test_any_picture_has_few_candidates(size):
    random = np.random.default_rng(0)
    assert find_quads(np.zeros((size[1], size[0], 3), np.uint8)) == []
    assert len(find_quads(random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))) <= 60


def test_candidates_are_views_of_a_rectangle():
    """A quadrilateral that is none makes its straightening run for minutes: coordinates of 1e9, reflected."""
    photo, _ = scene([draw_face("Any", 3, "R")], "clutter", seed=1)
    for candidate in find_quads(np.asarray(photo)):
        sides = np.roll(candidate.quad, -1, axis=0) - candidate.quad
        after = np.roll(sides, -1, axis=0)
        turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
        lengths = np.linalg.norm(sides, axis=1)
        assert (turns > 0).all() and lengths[0] + lengths[2] < lengths[1] + lengths[3]
        assert 0 < candidate.confidence <= 1 and candidate.quad.dtype == np.float32
        unit = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]])
        depth = np.hstack([unit, np.ones((4, 1))]) @ cv2.getPerspectiveTransform(unit, candidate.quad)[2]
        assert depth.max() < 2.2 * depth.min(), "no corner is much nearer to the camera than another"
