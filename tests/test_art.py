"""Vectors of the art alone: where it lies on a card, the second vector file, --region art, and similar art."""
from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from conftest import Workspace, assert_three_lines, plain_cards, write_bulk
from web_site import needs_runtime

import mtg_image_db
from mirror.drawn_cards import SPLIT
from mtg_image_db.art_windows import (
    CLASS,
    COMPLETE,
    EDGE_TO_EDGE,
    FIRST_HALF,
    FULL_ART,
    OLD,
    SAGA,
    SIEGE,
    USUAL,
    Printed,
    cut,
    window_in,
    window_of,
)
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import open_pixels
from mtg_image_db.embedding.checkpoint import Checkpoint
from mtg_image_db.embedding.models import describe_model
from mtg_image_db.embedding.preparation import prepare, resize_with_pillow

ART, MODEL = "mtg_art_embeddings.npy", "efficientnet-lite0"


@pytest.fixture(scope="module")
def with_art(finished, tmp_path_factory) -> Workspace:
    """The finished workspace, built again --with-art, and read only. Nothing but the art is embedded."""
    path = tmp_path_factory.mktemp("art") / "work"
    shutil.copytree(finished.path, path)
    space = Workspace(path)
    space.build("--with-art")
    return space


def picture(space: Workspace, row: int) -> np.ndarray:
    return open_pixels((space.cache / cache_name(space.lines("mtg_meta.jsonl")[row]["image_url"])).read_bytes())


# Where the art lies

@pytest.mark.parametrize("printed, window", [
    (Printed("2015", "normal", "Creature"), None), (Printed("2003", "normal", "Legendary Planeswalker"), None),
    (Printed("1993", "normal", "Instant"), OLD), (Printed("2015", "saga", "Enchantment — Saga"), SAGA),
    (Printed("2015", "class", "Enchantment — Class"), CLASS), (Printed("2015", "transform", "Battle — Siege"), SIEGE),
    (Printed("2015", "transform", "Creature — Elf"), None),
    (Printed("2015", "split", "Instant // Sorcery", keywords=["Aftermath"]), FIRST_HALF),
    (Printed("2015", "normal", "Basic Land — Island", full_art=True), FULL_ART),
    (Printed("2015", "normal", "Instant", border="borderless"), EDGE_TO_EDGE),
    (Printed("2015", "normal", "Instant", effects=["extendedart"]), EDGE_TO_EDGE)])
def test_each_kind_of_card_has_its_window(printed, window):
    assert window_of(printed) == window


def test_a_window_is_cut_upright():
    """A siege is printed across: the right side of what is seen upright is the top of the picture."""
    picture = np.zeros((100, 60, 3), np.uint8)
    picture[10:20, 20:30] = 255  # near the top, a third from the left
    part = cut(picture, SIEGE)
    assert part.shape[1] > part.shape[0] and part.max() == 255
    _, columns = np.nonzero(part[..., 0])
    assert columns.min() > part.shape[1] * 0.7, "near the right"
    assert cut(picture, COMPLETE).shape == picture.shape
    assert cut(np.zeros((1, 1, 3), np.uint8), USUAL).shape == (1, 1, 3)


# The second vectors

def test_the_second_vectors_are_those_of_the_art(with_art, finished):
    """Each row's are the model's own of what its window shows, and the rows are those of the first file."""
    meta, art = with_art.lines("mtg_meta.jsonl"), np.load(with_art.out / ART)
    card = np.load(with_art.out / "mtg_embeddings.npy")
    assert art.shape == card.shape and art.dtype == np.float32
    assert np.abs(np.linalg.norm(art, axis=1) - 1).max() < 1e-5
    assert np.array_equal(card, np.load(finished.out / "mtg_embeddings.npy"))
    split = [row for row, face in enumerate(meta) if face["layout"] == "split"]
    assert split and SPLIT and all(window_in(meta[row]).turns == 1 for row in split)
    model = mtg_image_db.open_index(with_art.out).load_model()
    for row in (0, 20, *split):
        shown = cut(picture(with_art, row), window_in(meta[row]) or USUAL)
        assert art[row] @ model.embed(model.prepare(shown)[None])[0] > 0.999, row
        assert art[row] @ card[row] < 0.9


def test_a_frame_changes_nothing(with_art):
    """A card with the same art in another frame has the same vector of its art."""
    before, spec = picture(with_art, 0), describe_model(MODEL)
    art = cut(before, USUAL)
    after = np.full_like(before, 90)
    top, left = round(USUAL.top * before.shape[0]), round(USUAL.left * before.shape[1])
    after[top:top + art.shape[0], left:left + art.shape[1]] = art
    seen, seen_after = (prepare(card, replace(spec, region="art"), resize_with_pillow) for card in (before, after))
    assert np.array_equal(seen, seen_after)
    assert not np.array_equal(prepare(before, spec, resize_with_pillow), prepare(after, spec, resize_with_pillow))


def test_the_next_build_keeps_the_art_and_can_leave_it_out(built):
    done = built.build("--with-art", "--limit", 20)
    first = built.manifest()["statistics"]["new_art_embeddings"]  # two faces share a picture
    assert 0 < first <= 20 and "for their art: 0 unchanged" in done.stderr
    art = np.load(built.out / ART)
    done = built.run("build_embeddings.py")
    made = built.manifest()["statistics"]
    assert made["reused_art_embeddings"] >= 20 and 0 < made["new_art_embeddings"] <= 33, made
    assert "vectors of the art, which are kept" in done.stderr
    assert np.array_equal(np.load(built.out / ART)[:20], art)
    (built.out / ART).write_bytes(b"damaged")
    built.run("build_embeddings.py")
    assert np.array_equal(np.load(built.out / ART)[:20], art), "made anew"
    built.run("build_embeddings.py", "--no-with-art")
    assert not (built.out / ART).exists() and ART not in built.manifest()["outputs"]
    assert not list(built.out.glob("art_checkpoint*"))


def test_an_interrupted_build_goes_on_with_the_art_that_it_has(with_art, built):
    """The checkpoint of the art is a second one. The next build embeds only the rest."""
    sources, art = np.load(with_art.out / "mtg_pictures.npy"), np.load(with_art.out / ART)
    checkpoint = Checkpoint(built.out, with_art.manifest()["art_fingerprint"], prefix="art_")
    checkpoint.append(sources[:30], art[:30], {"device": "cpu"})
    checkpoint.save()
    checkpoint.close()
    built.build("--with-art")
    made = built.manifest()["statistics"]
    assert made["reused_art_embeddings"] >= 30 and 0 < made["new_art_embeddings"] <= 23, made
    assert np.array_equal(np.load(built.out / ART), art) and not list(built.out.glob("art_checkpoint*"))


# Similar art

def test_similar_art_is_that_of_the_vectors_of_the_art(with_art):
    index, art = mtg_image_db.open_index(with_art.out), np.load(with_art.out / ART)
    expected = np.argsort(-(art @ art[3]), kind="stable")
    assert index.has_art
    found = index.similar(3, 5)
    assert [match.row for match in found] == [row for row in expected.tolist() if row != 3][:5]
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    assert found[0].score == pytest.approx(float(art[3] @ art[found[0].row]), abs=1e-4) == found[0].cosine
    assert [match.row for match in found] != [match.row for match in index.similar(3, 5, "card")]
    with pytest.raises(mtg_image_db.SuiteError, match="no such region"):
        index.similar(3, region="frame")


def test_the_art_of_a_photographed_card_is_its_own(with_art):
    """The card in the picture is recognised, and its neighbours by art follow. Without art in the index, it is said."""
    path = with_art.cache / cache_name(with_art.lines("mtg_meta.jsonl")[9]["image_url"])
    done = with_art.run("query_index.py", "--image", path, "--region", "art", "--k", 4, "--json")
    found = json.loads(done.stdout)["matches"]
    near = mtg_image_db.open_index(with_art.out).similar(9, 3)
    assert [match["row"] for match in found] == [9, *(match.row for match in near)]
    assert "The cards most like" in done.stderr


def test_an_index_without_art_says_so(finished):
    done = finished.run("query_index.py", "--image", finished.pictures()[0], "--region", "art", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "no vectors of the art" in done.stderr and "--with-art" in done.stderr


def test_the_service_and_the_page_show_similar_art(site):
    index = mtg_image_db.open_index(site.workspace.out)
    for query, region in (("", "art"), ("&region=art", "art"), ("&region=card", "card")):
        with urllib.request.urlopen(f"{site.address}/api/cards/4/similar?k=3{query}") as reply:
            rows = [match["row"] for match in json.load(reply)["matches"]]
        assert rows == [match.row for match in index.similar(4, 3, region)], region
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{site.address}/api/cards/4/similar?region=frame")
    assert refused.value.code == 422


@needs_runtime
def test_a_page_finds_the_art_that_python_finds(tab, site):
    index = mtg_image_db.open_index(site.workspace.out)
    found = tab.ask("return { art: await index.like(4, { k: 5 }), card: await index.like(4, { k: 5, region: 'card' }),"
                    "has: index.about.art };", b"")
    assert found["has"]
    art, card = ({match["row"] for match in found[region]} for region in ("art", "card"))
    theirs = [match.row for match in index.similar(4, 6, "art")]
    assert set(theirs[:4]) <= art <= set(theirs), "int8 may change the last of two that are equally near"
    assert art != card
    tab.page.goto(f"{site.address}/#card={site.meta[4]['face_id']}")
    tab.page.get_by_role("heading", name="Similar art").wait_for()


def test_a_parquet_file_has_both_vectors(with_art, tmp_path):
    with_art.run("scripts/export_vectors.py", "--parquet", tmp_path / "cards.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "cards.parquet")
    for column, file in (("vector", "mtg_embeddings.npy"), ("art_vector", ART)):
        assert np.array_equal(np.stack(table[column].to_numpy()), np.load(with_art.out / file)), column
    windows = [window_in(line) for line in with_art.lines("mtg_meta.jsonl")]
    assert [value and tuple(value) for value in table["art_window"].to_pylist()] == windows


# An index of art alone

def test_an_index_of_art_names_cards_by_their_usual_window(built, tmp_path):
    """--region art: cards are named with vectors of the art, and the next build keeps the region."""
    done = built.build("--region", "art", "--limit", 30)
    assert "region art" in done.stderr and built.manifest()["parameters"]["region"] == "art"
    assert built.manifest()["statistics"]["onnx_cosine"] > 0.99
    index = mtg_image_db.open_index(built.out)
    (card,) = index.name(picture(built, 9))
    assert card.accepted and card.matches[0].row == 9 and card.matches[0].cosine > 0.999
    split = next(row for row, face in enumerate(built.lines("mtg_meta.jsonl")) if face["layout"] == "split")
    (card,) = index.name(picture(built, split))  # its art lies elsewhere, but the hash of the usual place finds it
    assert card.accepted and card.matches[0].row == split and card.matches[0].cosine < 0.9
    assert [match.row for match in index.similar(7, 3)] == [match.row for match in index.similar(7, 3, "art")]
    with pytest.raises(mtg_image_db.SuiteError, match="no vectors of the card"):
        index.similar(7, region="card")
    built.run("build_embeddings.py")
    assert built.manifest()["parameters"]["region"] == "art"
    assert_three_lines(built.run("build_embeddings.py", "--with-art", code=1).stderr, "Invalid Arguments")
    built.run("export_for_browser.py", "--with-model", "--output-dir", tmp_path / "page")
    head = json.loads((tmp_path / "page" / "meta.json").read_text())
    assert head["region"] == "art" and head["embedding"]["window"] == list(USUAL[:4])
    assert head["embedding"]["models"][0]["cosine"] > 0.99


def test_pictures_of_art_alone_make_an_index_that_names_no_cards(workspace, drawn):
    cards = write_bulk(workspace.path / "cards.json", plain_cards(drawn)[:8])
    flags = "--image-size", "art_crop", "--bulk-file", cards
    assert_three_lines(workspace.build(*flags, code=1).stderr, "Invalid Arguments")
    done = workspace.run("build_mtg_faiss.py", "--model", MODEL, *flags, "--region", "art", "--printings", "none")
    assert "Indexed 8 of 8" in done.stderr
    assert all(window_in(line) == COMPLETE for line in workspace.lines("mtg_meta.jsonl"))
    path = workspace.pictures()[0]
    found = json.loads(workspace.run("query_index.py", "--image", path, "--k", 1, "--json").stdout)["matches"]
    assert cache_name(found[0]["image_url"]) == path.name and found[0]["cosines"][0] > 0.999
    done = workspace.query(path, code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "names no cards" in done.stderr
