"""The tools behind the finder: its training, and the indexes of many sizes that it is measured with."""
from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from conftest import ROOT, Workspace, assert_three_lines, read_bulk
from PIL import Image

from benchmarks.gallery import donors, recombinations
from mtg_image_db.artefacts import cache_name
from mtg_image_db.recognition import corner_net, corner_refiner
from mtg_image_db.recognition.corner_net import SIDE, STRIDE, TURNS
from mtg_image_db.recognition.corner_refiner import HIGH, WIDE


@pytest.mark.long
@pytest.mark.parametrize("network, pixels, answer", [
    ("finder", (1, 3, SIDE, SIDE), (1, 9 * TURNS, SIDE // STRIDE, SIDE // STRIDE)),
    ("refiner", (5, 3, HIGH, WIDE), (5, 13))])
def test_training_writes_a_network_that_opencv_reads(finished, tmp_path, network, pixels, answer):
    """With batches of 8 from a pool of 16. The refiner would draw 1,000 samples before its first step."""
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from mirror import corner_training, refiner_training\n"
        "for module in corner_training, refiner_training:\n"
        "    module.BATCH, module.POOL = 8, 16\n")
    done = finished.run("scripts/train_finder.py", "--cache", finished.cache, "--network", network,
                        "--out", tmp_path / "net.onnx", "--steps", 2, PYTHONPATH=str(tmp_path / "few"))
    assert "Step 2 of 2: corners off by" in done.stderr
    assert (tmp_path / "net.onnx").stat().st_size < 4e6, "it is part of the package"
    assert str(ROOT).encode() not in (tmp_path / "net.onnx").read_bytes(), "a path of this machine"
    trained = cv2.dnn.readNetFromONNX(str(tmp_path / "net.onnx"))
    trained.setInput(np.zeros(pixels, np.float32))
    assert trained.forward().shape == answer


@pytest.mark.parametrize("weights", [corner_net.WEIGHTS, corner_refiner.WEIGHTS], ids=lambda path: path.name)
def test_the_weights_tell_nothing_of_the_machine_that_made_them(weights):
    assert not re.search(rb"stack_trace|site-packages|\.py\b", weights.read_bytes())


def test_training_without_pictures_is_three_lines(tmp_path):
    (tmp_path / "empty").mkdir()
    done = Workspace(tmp_path).run("scripts/train_finder.py", "--cache", tmp_path / "empty", "--out", tmp_path / "n",
                                   "--network", "finder", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    done = Workspace(tmp_path).run("scripts/train_finder.py", "--out", tmp_path / "no" / "n", "--network", "finder",
                                   code=1)
    assert "the folder" in done.stderr and "does not exist" in done.stderr, "before 50 minutes of work"


@pytest.mark.parametrize("line, wrong", [
    ('{"file": "a.jpg", ', "line 2: no JSON"), ('{"kind": "table"}', "line 2: no file"),
    ('{"file": "a.jpg"}', "line 2: no kind"),
    ('{"file": "a.jpg", "kind": "table", "instances": [{"name": "A"}]}', "line 2: an instance needs name and quad")])
def test_an_incomplete_line_of_photos_is_named(finished, tmp_path, line, wrong):
    (tmp_path / "photos.jsonl").write_text(json.dumps({"file": "a.jpg", "kind": "table"}) + f"\n{line}\n")
    done = finished.run("scripts/eval_photos.py", tmp_path, "--index-dir", finished.out, code=1)
    assert_three_lines(done.stderr, "Validation Error")
    assert wrong in done.stderr


def test_photos_are_counted_with_the_fewest_keys(finished, tmp_path):
    """Without unknown, incomplete and negatives.jsonl. A name that the index lacks is told."""
    face = finished.lines("mtg_meta.jsonl")[12]
    shutil.copyfile(finished.cache / cache_name(face["image_url"]), tmp_path / "a.jpg")
    width, height = Image.open(tmp_path / "a.jpg").size
    quad = [[0, 0], [width, 0], [width, height], [0, height]]
    lines = [{"file": "a.jpg", "kind": "scan", "cards": [face["name"]],
              "instances": [{"name": name, "quad": quad}]} for name in (face["name"], "Spore Frogg")]
    (tmp_path / "photos.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = finished.run("scripts/eval_photos.py", tmp_path, "--index-dir", finished.out, "--hold-out", "--json")
    rates = json.loads(done.stdout)["rates"]["scan"]
    assert (rates["named first and recognised"]["count"], rates["named first and recognised"]["total"]) == (1, 2)
    assert (rates["cards listed, of those there"]["count"], rates["removed, but recognised"]["count"]) == (2, 0)
    assert "1 of 2 cards in instances, such as Spore Frogg" in done.stderr


@pytest.mark.long
def test_a_gallery_grows_and_no_card_of_a_photo_gives_a_part(drawn, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(drawn, source)
    cards = read_bulk(source)
    shown = [card["name"] for card in cards[20:24]]
    (source / "photos.jsonl").write_text(json.dumps({"file": "a.jpg", "cards": shown}) + "\n")
    names = {card["name"] for card in donors(cards, source / "photos.jsonl")}
    assert len(names) >= 20 and not names & set(shown)
    work = Workspace(tmp_path)
    done = work.run("benchmarks/gallery.py", source, "--out", tmp_path / "out", "--faces", 58, 56)
    assert "The index of 58 faces is in" in done.stderr
    small, large = ([json.loads(line)["name"] for line in (tmp_path / "out" / size / "mtg_meta.jsonl").open()]
                    for size in ("56", "58"))
    assert len(small) == 54 and len(large) == 56 and set(small) < set(large), "two faces have placeholders"
    assert {name for name in large if name.startswith("Recombined")} >= {"Recombined 0", "Recombined 1"}
    assert_three_lines(work.run("benchmarks/gallery.py", source, "--out", tmp_path / "out", "--faces", 3,
                                code=1).stderr, "Invalid Arguments")


def test_a_larger_gallery_begins_with_the_smaller_one():
    assert list(recombinations(40, 30, seed=1))[:10] == list(recombinations(10, 30, seed=1))
    assert all(len({parts.frame, parts.art, parts.text}) == 3 for parts in recombinations(200, 5, seed=2))
