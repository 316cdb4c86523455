"""The whole pipeline on 1,537 real card pictures, where they are at hand, through the mirror over HTTP."""
from __future__ import annotations

import json
import time

import numpy as np
import pytest
from conftest import SHARED, Workspace

from mirror.scryfall_mirror import Mirror
from mtg_image_db.index.reader import read_index

SAMPLE = SHARED / "sample"
PICTURES, PHOTOS = 1537, 22

pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="../shared/sample is not there: real card pictures are "
                                                            "not part of the repository")


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Workspace:
    """The sample downloaded, validated and built with the offline model; figures.json has the seconds."""
    space, seconds = Workspace(tmp_path_factory.mktemp("real")), {}

    def timed(stage: str, *command: object) -> None:
        started = time.monotonic()
        space.run(*command)
        seconds[stage] = round(time.monotonic() - started, 1)

    with Mirror(SAMPLE, printings=SAMPLE / "printings.jsonl.gz") as mirror:
        space.api_url = mirror.url
        timed("download", "download_images.py")
    timed("validate", "scripts/validate_cache.py")
    timed("build", "build_embeddings.py", "--model", "efficientnet-lite0")
    timed("rebuild", "build_embeddings.py", "--model", "efficientnet-lite0")
    timed("export", "export_for_browser.py")
    print(f"\nseconds: {seconds}")
    return space


def test_every_real_card_is_downloaded_and_indexed(real):
    done = real.manifest()
    assert done["download"]["statistics"]["faces"] == PICTURES and len(real.pictures()) == PICTURES
    assert done["statistics"]["successful_embeddings"] == PICTURES
    assert (done["statistics"]["new_embeddings"], done["statistics"]["failed_embeddings"]) == (0, 0)
    print(f"\nquality: {done['quality']}, seconds: {done['statistics']['seconds']}")
    assert done["quality"]["self_recall_at_1"] >= 0.999 and done["quality"]["recall_at_10"] >= 0.99
    rows = sum(line["face_id"].endswith(":face:1") for line in real.lines("mtg_meta.jsonl"))
    assert rows == 37
    vectors = np.load(real.out / "mtg_embeddings.npy")
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


def test_the_true_printing_of_a_photographed_card_is_listed_without_its_picture(real):
    """Real printings of 2019, of artworks whose picture often is of another printing. Two of the cards have a made-up
    artwork in the sample."""
    index, rows = read_index(real.out), real.lines("mtg_meta.jsonl")
    assert real.manifest()["statistics"]["artworks_with_printings"] > 950
    true = [json.loads(line) for line in (SAMPLE / "photo_printings.jsonl").read_text().splitlines()]
    known = [card for card in true if "set" in card]
    listed = 0
    for card in known:
        found = {(printing.set, printing.collector_number) for row, face in enumerate(rows)
                 if face["name"] == card["name"] for printing in index.printings_of(row)}
        listed += (card["set"], card["collector_number"]) in found
    print(f"\ntrue printings: {listed} of {len(known)} are listed")
    assert listed >= len(known) - 2


@pytest.mark.long
def test_second_scans_of_the_cards_are_named(real):
    scans = [json.loads(line) for line in (SAMPLE / "alt_scans.jsonl").read_text().splitlines()]
    found = real.query(*(SAMPLE / scan["file"] for scan in scans), "--json")
    right = [json.loads(line)["matches"][0]["scryfall_id"] == scan["card_id"]
             for line, scan in zip(found.stdout.splitlines(), scans, strict=True)]
    print(f"\nalternative scans: recall@1 {np.mean(right):.3f} of {len(right)}")
    assert np.mean(right) >= 0.97


@pytest.mark.long
def test_both_runtimes_name_real_photos_alike(real):
    lines = [json.loads(line) for line in (SAMPLE / "photos.jsonl").read_text().splitlines()]
    photos = [SAMPLE / line["file"] for line in lines if line["kind"] != "partial_cards"][::24]
    theirs, ours = (
        [[(card["state"], card["matches"][0]["face_id"]) for card in json.loads(line)["cards"]
          if card["state"] != "unknown"]
         for line in real.query(*photos, "--json", "--read", "off", "--runtime", runtime,
                                find="auto").stdout.splitlines()]
        for runtime in ("torch", "onnx"))
    assert theirs == ours and sum(map(len, ours)) >= 3


def test_photos_are_named(real, tmp_path):
    """A part of the photos and negatives; all of them are for scripts/eval_photos.py by hand."""
    done = real.run("scripts/eval_photos.py", SAMPLE, "--index-dir", real.out, "--limit", PHOTOS, "--json",
                    "--save-failures", tmp_path)
    rates = json.loads(done.stdout)["rates"]
    one_card = next(rows for name, rows in rates.items() if name.startswith("one card"))
    print(f"\nphotos of one card: {one_card}\nall photos: {rates['all']}")
    named, right, wrong = one_card["named first"], *(rates["all"][row] for row in (
        "recognised cards that are right", "unknown, but recognised"))
    listed, too_many = rates["all"]["cards listed, of those there"], rates["all"]["listed cards that are too many"]
    assert listed["count"] >= 0.6 * listed["total"] and too_many["count"] <= 0.2 * too_many["total"]
    assert named["total"] >= 5 and named["count"] >= named["total"] - 1
    assert right["total"] >= 5 and right["count"] == right["total"]
    assert wrong["total"] >= 8 and wrong["count"] == 0
    assert any(tmp_path.glob("partial_cards-*.jpg")), "covered cards are not all named"
