"""Python and JavaScript decide alike: decision.py and web/likeness.js, on the same pictures and frames."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from web_site import Site, alert, as_served, needs_runtime

from mirror.drawn_cards import SIZE, draw_face
from mtg_image_db.embedding import picture_hash
from mtg_image_db.embedding.embedder import Embedder
from mtg_image_db.embedding.models import describe_model
from mtg_image_db.index.reader import read_index
from mtg_image_db.recognition import decision, fitting, namer, retrieval
from mtg_image_db.recognition.corner_refiner import Place
from mtg_image_db.recognition.finder import rectangle

ROWS = range(0, 53, 2)  # cards of the index that are photographed
UNKNOWN_SEEDS = range(910, 918)  # drawn cards that are not in the index
GREY = 7, 11, 30  # of the pictures, two of known cards and one of an unknown one: without colour
FRAME_ERROR = 0.03  # of a card's height: how far each side of a frame may be off
# Measured on the 27 pictures of known cards: similarities are equal to Python's 4 digits, and one margin is 0.16 apart.
# The page cuts the frame out for the model, and Python straightens it. So their cosines differ a little, and sometimes
# the second rival is another card.
SIMILARITY_APART = 0.02
ONE_ROW = {"retrieved": 1, "retrieved_by_art": 0}  # otherwise both ways retrieve most of the 53 rows
OTHER_NUMBERS = {"accepted": 1.1, "retrieved": 53, "retrieved_by_art": 53, "rivals": 1,
                 "sizes": [0.07], "moves": 1, "steps": [0.03], "hopeless": 1.0, "art_steps": [0.001],
                 "art_hopeless": 1.1, "art": [0.1, 0.5, 0.9, 0.9]}


@dataclass(frozen=True)
class Photo:
    """A picture of a card, and the frame in it. No frame: the card fills the picture."""
    path: Path
    known: bool
    frame: dict[str, float] | None

    @property
    def quad(self) -> np.ndarray:
        if self.frame is None:
            return rectangle(*Image.open(self.path).size)
        return rectangle(self.frame["width"], self.frame["height"]) + np.float32([self.frame["x"], self.frame["y"]])


@pytest.fixture(scope="module")
def photos(site, tmp_path_factory) -> list[Photo]:
    """Known cards, then unknown ones. The first two are the cached pictures. The others lie on a table, a little out
    of focus, and the sides of their frames are a little off. Some have no colour."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    cards = [Image.open(site.picture(row)).convert("RGB") for row in ROWS]
    cards += [draw_face(f"Card {seed}", seed, "G") for seed in UNKNOWN_SEEDS]
    made = []
    for number, card in enumerate(cards):
        picture, frame = (card, None) if number < 2 else on_table(card, random)
        path = folder / f"{number}.png"
        if number in GREY:
            picture = picture.convert("L").convert("RGB")
        picture.save(path, compress_level=1)
        made.append(Photo(path, number < len(ROWS), frame))
    return made


def on_table(card: Image.Image, random: np.random.Generator) -> tuple[Image.Image, dict[str, float]]:
    width = int(random.integers(180, 420))
    height = round(width * SIZE[1] / SIZE[0])
    left, top = random.integers(20, 80, 2).tolist()
    table = Image.fromarray(random.normal(128, 40, (height + 110, width + 110)).clip(0, 255).astype(np.uint8))
    table = table.convert("RGB")
    table.paste(card.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    errors = random.uniform(-FRAME_ERROR, FRAME_ERROR, 4) * height
    x, y, right, bottom = (np.array([left, top, left + width, top + height]) + errors).round().tolist()
    photo = table.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 1.5))))
    return photo, {"x": x, "y": y, "width": right - x, "height": bottom - y}


def name_in_page(tab, photo: Photo) -> dict:
    return tab.ask(f"return index.name(file, {{ k: 1, frame: {json.dumps(photo.frame)} }});", photo.path)


def meta_of(site: Site) -> dict:
    return json.loads((site.workspace.out / "meta.json").read_bytes())


@needs_runtime
def test_verdict_similarity_and_margin_are_pythons(tab, site, photos):
    index = read_index(site.workspace.out)
    model = Embedder(describe_model("efficientnet-lite0"), "cpu", "fp32")
    similarities, margins, confidences = [], [], []
    for photo in photos:
        python, *_ = namer.name_cards(retrieval.Photo.of(np.asarray(Image.open(photo.path))),
                                      decision.Question(index, model), [Place(photo.quad)])
        page = name_in_page(tab, photo)
        assert page["accepted"] == python.accepted == photo.known, (photo, page, python)
        if not photo.known:
            continue
        assert page["matches"][0]["record"]["face_id"] == python.matches[0].face_id
        if python.similarity == 1:  # the indexed picture itself, which Python hashes as the build did
            assert python.score > 0.999 and page["similarity"] > 0.8
            continue
        similarities.append(abs(page["similarity"] - python.similarity))
        margins.append(abs(page["margin"] - python.margin))
        confidences.append(abs(page["confidence"] - python.confidence))
    print(f"\nsimilarity apart: most {max(similarities):.4f}, median {np.median(similarities):.4f}; "
          f"margin apart: most {max(margins):.4f}, median {np.median(margins):.4f}; "
          f"confidence apart: most {max(confidences):.4f}, median {np.median(confidences):.4f}")
    # The corners are moved step by step: the last bit of a picture may lead to another place with nearly equal art.
    assert max(similarities) < SIMILARITY_APART and np.quantile(confidences, 0.9) < SIMILARITY_APART
    assert np.quantile(margins, 0.9) < 0.001
    assert np.median(similarities) < 0.001 and np.median(margins) < 0.001 and np.median(confidences) < 0.001


def test_the_numbers_in_meta_json_are_pythons(site):
    assert {key: value for key, value in meta_of(site)["recognition"].items()
            if key not in ("hashes", "reading")} == {
        "accepted": decision.ACCEPTED, "retrieved": retrieval.RETRIEVED,
        "retrieved_by_art": retrieval.RETRIEVED_BY_ART, "rivals": decision.RIVALS, "sizes": list(fitting.SIZES),
        "moves": fitting.MOVES, "steps": list(fitting.STEPS), "hopeless": fitting.HOPELESS,
        "art_steps": list(fitting.ART_STEPS), "art_hopeless": fitting.ART_HOPELESS, "art": list(picture_hash.ART)}


@needs_runtime
def test_the_page_decides_with_every_number_in_meta_json(tab, site, photos):
    photo, meta = photos[5], meta_of(site)

    def answer(changed: dict) -> dict:
        recognition = meta["recognition"] | changed
        as_served(tab.page, "meta.json", json.dumps(meta | {"recognition": recognition}).encode())
        tab.page.reload()
        return name_in_page(tab, photo)

    all_rows, one_row = answer({}), answer(ONE_ROW)
    assert all_rows["accepted"] and one_row["accepted"] and one_row["margin"] == 0
    for key, value in OTHER_NUMBERS.items():
        others, before = (ONE_ROW, one_row) if key in ONE_ROW else ({}, all_rows)
        assert answer(others | {key: value}) != before, f"{key} decides nothing"


@needs_runtime
@pytest.mark.parametrize("key", OTHER_NUMBERS)
def test_an_index_without_a_number_is_to_be_exported_again(tab, site, key):
    meta = meta_of(site)
    del meta["recognition"][key]
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    tab.page.reload()
    tab.page.get_by_role("searchbox").wait_for()
    tab.page.get_by_label("Choose a picture").set_input_files(site.picture(0))
    said = alert(tab)
    assert f"recognition.{key}" in said and "export_for_browser.py --with-model again" in said
    assert tab.names() == []
