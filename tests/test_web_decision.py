"""Python and JavaScript name the cards of a photo alike: namer.py and web/recognition/namer.js, on the same photos."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from web_site import Site, in_worker, needs_runtime

from mirror.drawn_scenes import scene
from mtg_image_db.common import open_photo
from mtg_image_db.embedding import picture_hash
from mtg_image_db.index.reader import ModelOptions, open_both
from mtg_image_db.recognition import decision, fitting, retrieval
from mtg_image_db.recognition.namer import name_photo

OPENS = "/alone"
SIZE = 480, 640
# (Rows of the cards, table, the rest of the scene). The second photo has no colour and cuts its card off, the third
# shows several cards.
SCENES = [([3], "wood", {}), ([9], "black", {"shift": (0.25, 0.0), "share": 0.8}),
          ([5, 21], "cloth", {"share": 0.8})]
GREY, MIRRORED, SCAN = 1, 0, 12  # of the scenes: the first one is shown in a mirror too. The row of an indexed picture
# Similarities and corners (in pixels): places that differ by some hundredths of a pixel may end a step apart. From the
# same places, similarities of cards in 78 photos differ by 0.0002 at most.
USUALLY_APART, MOST_APART = 0.01, 0.2  # of similarities
NEAR = 8
OTHER_NUMBERS = {"accepted": 1.1, "retrieved": 53, "retrieved_by_art": 53, "rivals": 1,
                 "sizes": [0.07], "moves": 1, "steps": [0.03], "hopeless": 1.0, "art_steps": [0.001],
                 "art_hopeless": 1.1, "art": [0.1, 0.5, 0.9, 0.9]}
ONE_ROW = {"retrieved": 1, "retrieved_by_art": 0}  # otherwise both ways retrieve most of the 53 rows
# The page runs this in a worker too: what a page cannot ask for through search.js.
WORKER = """
import { openCardIndex } from "./index/card_index.js";
import { readDecision } from "./recognition/decision.js";
import { openEmbedder } from "./recognition/embedder.js";
import { nameCards } from "./recognition/namer.js";
import { loadOpenCv } from "./recognition/opencv.js";
import { photoOf } from "./recognition/pictures.js";

async function opened() {
    const index = await openCardIndex(new URL("./", location.href).href);
    const { embedding, size, fit } = index.meta;
    const file = new Uint8Array(await (await fetch(embedding.models[0].file)).arrayBuffer());
    await Promise.all([index.loadHashes(), loadOpenCv()]);
    return { index, model: await openEmbedder(file, { size, fit, mean: embedding.mean, std: embedding.std }) };
}
const opening = opened();

async function answer(pixels, { quad, changed }) {
    const { index, model } = await opening;
    const answers = [];
    for (const numbers of changed) {
        const photo = photoOf(pixels);
        try {
            const decision = readDecision({ ...index.meta.recognition, ...numbers });
            // No matches are asked for, so that one row may be retrieved.
            const [card] = await nameCards(photo, { index, model, decision, k: 0 }, [{ quad, confidence: 1, sure: 1 }]);
            answers.push(card);
        } catch (error) {
            answers.push(error.message);
        }
        photo.close();
    }
    return answers;
}
"""


@pytest.fixture(scope="module")
def photos(site, tmp_path_factory) -> list[tuple[Path, list[np.ndarray]]]:
    """Photos, and the corners of their cards. The first is drawn, and so on as in SCENES. Then one in a mirror, and an
    indexed picture."""
    folder, made = tmp_path_factory.mktemp("photos"), []
    for number, (rows, table, options) in enumerate(SCENES):
        cards = [Image.open(site.picture(row)) for row in rows]
        photo, quads = scene(cards, table, seed=number + 1, **{"size": SIZE, **options})
        made.append((photo.convert("L").convert("RGB") if number == GREY else photo, quads))
    made += [(ImageOps.mirror(made[MIRRORED][0]), []), (Image.open(site.picture(SCAN)).convert("RGB"), [])]
    for number, (photo, _) in enumerate(made):
        photo.save(folder / f"{number}.png", compress_level=1)
    return [(folder / f"{number}.png", quads) for number, (_, quads) in enumerate(made)]


@pytest.fixture(scope="module")
def question(site) -> decision.Question:
    return decision.Question(*open_both(site.workspace.out, False, ModelOptions()), k=2)


def recognition_of(site: Site) -> dict[str, Any]:
    return json.loads((site.workspace.out / "meta.json").read_bytes())["recognition"]


@needs_runtime
def test_cards_are_named_as_python_names_them(tab, photos, question):
    seen, apart = [], []
    for path, _ in photos:
        answer = tab.ask("return index.name(file, { k: 2, read: false });", path)
        assert (answer["width"], answer["height"]) == Image.open(path).size
        assert answer["cards"]
        # What is listed as unknown depends on places near a threshold.
        found = [card for card in answer["cards"] if card["state"] != "unknown"]
        expected = [asdict(card) for card in name_photo(np.asarray(Image.open(path)), question)
                    if card.state != "unknown"]
        for card, python in zip(found, expected, strict=True):
            assert card.keys() == python.keys()
            assert [match.keys() for match in card["matches"]] == [match.keys() for match in python["matches"]]
            same = "state", "accepted", "mirrored", "by", "printing_decided", "printings_known"
            assert [card[key] for key in same] == [python[key] for key in same], (path, card, python)
            assert card["matches"][0]["face_id"] == python["matches"][0]["face_id"]
            assert card["matches"][0]["row"] == python["matches"][0]["row"]
            assert [one["face_id"] for one in card["printings"]] == [one["face_id"] for one in python["printings"]]
            apart += [abs(card[key] - python[key]) for key in ("confidence", "score", "similarity")]
            assert np.median(np.abs(np.subtract(card["quad"], python["quad"]))) < NEAR  # most of a cut-off card's too
            assert abs(card["rotation"] - python["rotation"]) <= 1
        seen.append({(card["matches"][0]["row"], card["mirrored"]) for card in found if card["accepted"]})
    # A corner that is 0.1 pixels off may lead the fit to other corners: seldom, and never far.
    assert np.median(apart) < USUALLY_APART and max(apart) < MOST_APART, sorted(apart)[-5:]
    assert seen == [*({(row, False) for row in rows} for rows, *_ in SCENES),
                    {(row, True) for row in SCENES[MIRRORED][0]}, {(SCAN, False)}]


@needs_runtime
def test_corners_that_a_person_has_set_are_where_the_card_is(tab, photos):
    path, quads = photos[2]
    for quad in quads:  # each card of the photo, whatever corner comes first, and in either direction
        corners = np.roll(quad, 1, axis=0).tolist()
        one, other = (tab.ask(f"return index.name(file, {{ k: 1, read: false, quad: {json.dumps(given)} }});", path)
                      for given in (corners, corners[::-1]))
        assert len(one["cards"]) == len(other["cards"]) == 1
        assert one["cards"][0]["state"] == "recognised"
        assert np.abs(np.subtract(one["cards"][0]["quad"], quad)).max() < 12
        assert one["cards"][0]["matches"] == other["cards"][0]["matches"]


@needs_runtime
def test_a_frame_of_a_camera_gives_the_card_and_so_does_the_next_one(tab, site, photos):
    path, (quad,) = photos[0]
    first, second = tab.ask(
        "const one = await index.name(file, { camera: true });"
        "return [one, await index.name(file, { camera: true, near: one.cards.map(({ quad }) => quad) })];", path)
    for answer in (first, second):
        card, = answer["cards"]
        assert card["state"] == "recognised" and card["matches"][0]["row"] == SCENES[0][0][0]
        assert np.abs(np.subtract(card["quad"], quad)).max() < 12


@pytest.mark.long
@needs_runtime
def test_a_large_photo_is_named_in_its_own_pixels(tab, photos, tmp_path):
    large, (path, (quad,)) = tmp_path / "large.png", photos[0]
    Image.open(path).resize((3600, 4800)).save(large, compress_level=1)
    assert open_photo(large)[1] == 0.5
    answer = tab.ask("return index.name(file, { camera: true });", large)  # it looks at fewer places
    card, = answer["cards"]
    assert (answer["width"], answer["height"]) == (3600, 4800)
    assert card["accepted"] and card["matches"][0]["row"] == SCENES[0][0][0]
    assert np.abs(np.subtract(card["quad"], quad * 4800 / SIZE[1])).max() < 12 * 4800 / SIZE[1]


def test_the_numbers_in_meta_json_are_pythons(site):
    assert {key: value for key, value in recognition_of(site).items() if key in OTHER_NUMBERS} == {
        "accepted": decision.ACCEPTED, "retrieved": retrieval.RETRIEVED,
        "retrieved_by_art": retrieval.RETRIEVED_BY_ART, "rivals": decision.RIVALS, "sizes": list(fitting.SIZES),
        "moves": fitting.MOVES, "steps": list(fitting.STEPS), "hopeless": fitting.HOPELESS,
        "art_steps": list(fitting.ART_STEPS), "art_hopeless": fitting.ART_HOPELESS, "art": list(picture_hash.ART)}


@needs_runtime
def test_every_number_in_meta_json_decides_and_a_missing_one_is_said(tab, photos):
    path, (quad,) = photos[0]
    changes = [{}, ONE_ROW, *((ONE_ROW if key in ONE_ROW else {}) | {key: value}
                              for key, value in OTHER_NUMBERS.items()), *({key: None} for key in OTHER_NUMBERS)]
    rough = np.add(quad, [[-8, 6], [10, 4], [6, -10], [-4, -8]])
    all_rows, one_row, *others = in_worker(tab, WORKER, Image.open(path), {"quad": rough.tolist(), "changed": changes})
    assert all_rows["accepted"] and one_row["accepted"] and one_row["margin"] == 0
    for key, answer in zip(OTHER_NUMBERS, others[:len(OTHER_NUMBERS)], strict=True):
        assert answer != (one_row if key in ONE_ROW else all_rows), f"{key} decides nothing"
    for key, said in zip(OTHER_NUMBERS, others[len(OTHER_NUMBERS):], strict=True):
        assert f"recognition.{key}" in said and "export_for_browser.py --with-model again" in said
