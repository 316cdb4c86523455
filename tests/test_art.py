"""Vectors of the art alone: where it lies on a card, the second vector file, --region art, and similar art."""
from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest
from conftest import Workspace, assert_three_lines, plain_cards, write_bulk
from PIL import Image
from web_site import as_served, needs_runtime

import mtg_image_db
from mtg_image_db import art_windows
from mtg_image_db.art_windows import COMPLETE, USUAL, Window, cut, window_in
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import open_pixels
from mtg_image_db.embedding.checkpoint import SOURCE_DTYPE
from mtg_image_db.embedding.embed_pictures import Embedded
from mtg_image_db.embedding.models import ART_VERSION, describe_model
from mtg_image_db.embedding.preparation import prepare, resize_with_pillow
from mtg_image_db.index.art_vectors import ArtVectors, with_both_vectors
from mtg_image_db.scryfall import art_places
from mtg_image_db.scryfall.art_places import (
    AFTERMATH_TOP,
    ART_CARD,
    CLASS,
    EDGE_TO_EDGE,
    FLIP,
    FULL_ART,
    OLD,
    PLANE,
    ROOM,
    SAGA,
    SIEGE,
    SPLIT,
    window_of,
)

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

@pytest.mark.parametrize("card, window", [
    ({}, None), ({"type_line": "Legendary Planeswalker — Jace"}, None), ({"frame": "1993"}, OLD),
    ({"layout": "saga", "type_line": "Enchantment — Saga"}, SAGA),
    ({"layout": "transform", "type_line": "Enchantment — Saga"}, SAGA),
    ({"layout": "transform", "type_line": "Battle — Siege"}, SIEGE),
    ({"layout": "transform", "type_line": "Creature — Elf"}, None),
    ({"layout": "class"}, CLASS), ({"layout": "case"}, CLASS), ({"layout": "flip"}, FLIP),
    ({"layout": "planar"}, PLANE), ({"layout": "art_series"}, ART_CARD), ({"layout": "split"}, SPLIT),
    ({"layout": "split", "type_line": "Enchantment — Room // Enchantment — Room"}, ROOM),
    ({"layout": "split", "keywords": ["Aftermath"]}, AFTERMATH_TOP),
    ({"layout": "split", "card_faces": [{}, {"oracle_text": "Aftermath (Cast this spell"}]}, AFTERMATH_TOP),
    ({"type_line": "Basic Land — Island", "full_art": True}, FULL_ART), ({"textless": True}, FULL_ART),
    ({"type_line": "Instant", "full_art": True}, EDGE_TO_EDGE), ({"border_color": "borderless"}, EDGE_TO_EDGE),
    ({"frame_effects": ["extendedart"]}, EDGE_TO_EDGE),
    ({"keywords": "Aftermath", "frame_effects": 3, "card_faces": [1], "layout": "split"}, SPLIT)])
def test_each_kind_of_card_has_its_window(card, window):
    usual = {"frame": "2015", "layout": "normal", "type_line": "Instant", "border_color": "black"}
    assert window_of(usual | card, lambda key: (usual | card).get(key, "")) == window


def test_another_place_of_the_art_has_another_version():
    """Vectors of the art are used again as long as ART_VERSION is the same. If this fails, raise it."""
    windows = {name: tuple(value) for module in (art_windows, art_places) for name, value in vars(module).items()
               if isinstance(value, Window)}
    part = cut(np.arange(300 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(300, 200, 3), SIEGE)
    seen = hashlib.sha256(repr(sorted(windows.items())).encode() + part.tobytes()).hexdigest()
    assert (ART_VERSION, seen[:16]) == (1, "8120820890273e37")


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
    assert split and all(window_in(meta[row]) == SPLIT for row in split)
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
    assert f"The art: {made['new_art_embeddings']} embedded" in done.stderr
    assert "vectors of the art, which are kept" in done.stderr
    assert np.array_equal(np.load(built.out / ART)[:20], art)
    (built.out / ART).write_bytes(b"damaged")
    built.run("build_embeddings.py")
    assert np.array_equal(np.load(built.out / ART)[:20], art), "made anew"
    built.run("build_embeddings.py", "--no-with-art")
    assert not (built.out / ART).exists() and ART not in built.manifest()["outputs"]
    assert not list(built.out.glob("art_checkpoint*"))


def test_an_interrupted_build_goes_on_with_the_art_that_it_has(with_art, built):
    """Ctrl-C while the art is embedded. The next build embeds only the rest."""
    process = built.start("build_embeddings.py", "--with-art", "--batch", 1)
    rows = built.out / "art_checkpoint_rows.bin"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130 and "are kept" in said, said
    done = built.run("build_embeddings.py", "--with-art")
    made = built.manifest()["statistics"]
    assert "Continuing an interrupted build: the art of" in done.stderr
    assert made["reused_art_embeddings"] > 0 and made["new_embeddings"] == 0, made
    assert made["reused_art_embeddings"] + made["new_art_embeddings"] >= 52
    assert np.abs(np.load(built.out / ART) - np.load(with_art.out / ART)).max() < 1e-5
    assert not list(built.out.glob("art_checkpoint*"))


def test_what_a_build_that_was_cut_off_left_is_in_no_later_one(built):
    """Neither vectors of the art nor words, and a second name of a file in place leads to no change of it."""
    left = [built.out / f"{name}.next" for name in (ART, "text.onnx", "text_tokenizer.json")]
    for path in left:
        path.write_bytes(b"of another build")
    model = built.out / "model.onnx"
    (built.out / "model.onnx.next").hardlink_to(model)
    before = model.read_bytes()
    built.build("--fit", "pad", "--limit", 5)
    assert not {path.stem for path in left} & built.manifest()["outputs"].keys()
    assert not list(built.out.glob("*.next")) and not (built.out / ART).exists() and model.read_bytes() == before


def test_corrected_data_of_a_card_renew_its_art(with_art, tmp_path, drawn):
    """Scryfall says now that a card is borderless: its art lies elsewhere, though its picture is the same."""
    space = Workspace(tmp_path / "work")
    shutil.copytree(with_art.path, space.path)
    bulk = space.cache / "bulk" / "unique_artwork.jsonl.gz"
    cards = [json.loads(line) for line in gzip.decompress(bulk.read_bytes()).splitlines()]
    rows = [row for row, line in enumerate(space.lines("mtg_meta.jsonl")) if line["layout"] == "normal"][5:6]
    changed = space.lines("mtg_meta.jsonl")[rows[0]]["scryfall_id"]
    for card in cards:
        if card["id"] == changed:
            card["border_color"] = "borderless"
    corrected = write_bulk(tmp_path / "corrected.json", cards)
    space.run("build_embeddings.py", "--bulk-file", corrected)
    made = space.manifest()["statistics"]
    assert (made["new_art_embeddings"], made["new_embeddings"]) == (1, 0), made
    before, after = np.load(with_art.out / ART), np.load(space.out / ART)
    assert np.flatnonzero((before != after).any(axis=1)).tolist() == rows
    assert window_in(space.lines("mtg_meta.jsonl")[rows[0]]) == EDGE_TO_EDGE


def test_a_row_has_both_vectors_of_one_picture():
    """A picture that was replaced between the two, or whose art has no vector, is rejected."""
    def embedded(refs: list[int], digests: list[bytes], reasons: dict[int, str]) -> Embedded:
        sources = np.zeros(len(refs), SOURCE_DTYPE)
        sources["digest"] = digests
        return Embedded(np.array(refs), sources, reasons, 0, 0, 0.0, {})

    card = embedded([0, 1, 2, -1], [b"a", b"b", b"c", b""], {3: "invalid: cut short"})
    art = embedded([0, 1, -1, -1], [b"a", b"other", b"c", b""], {2: "invalid: no vector", 3: "invalid: cut short"})
    both = with_both_vectors(card, ArtVectors(describe_model(MODEL), art, None))
    assert both.refs.tolist() == [0, -1, -1, -1]
    assert both.reasons == {1: "invalid: it changed during the build", 2: "invalid: no vector",
                            3: "invalid: cut short"}


# Similar art

def test_similar_art_is_that_of_the_vectors_of_the_art(with_art):
    index, art = mtg_image_db.open_index(with_art.out), np.load(with_art.out / ART)
    expected = np.argsort(-(art @ art[3]), kind="stable")
    assert index.has_art
    found = index.similar(3, 5)
    meta, seen, rows = with_art.lines("mtg_meta.jsonl"), set(), []
    for row in expected.tolist():
        artwork = meta[row]["illustration_id"] or row
        rows += [row] * (artwork not in seen)
        seen.add(artwork)
    assert [match.row for match in found] == [row for row in rows if row != 3][:5]
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
    name = with_art.lines("mtg_meta.jsonl")[9]["name"]
    assert f"shows {name}: its art is compared." in done.stderr and "The cards most like" in done.stderr


def test_any_other_picture_is_taken_for_art(with_art, tmp_path):
    """The art alone, as Scryfall's art_crop shows it, finds its card."""
    row = 9
    Image.fromarray(cut(picture(with_art, row), USUAL)).save(tmp_path / "art.png")
    done = with_art.run("query_index.py", "--image", tmp_path / "art.png", "--region", "art", "--k", 1, "--json")
    (found,) = json.loads(done.stdout)["matches"]
    assert found["row"] == row and found["cosines"][0] > 0.999
    assert "The complete picture art.png is compared" in done.stderr


def test_each_artwork_is_listed_once(with_art):
    """The drawn cards have one artwork that is used again."""
    index, meta = mtg_image_db.open_index(with_art.out), with_art.lines("mtg_meta.jsonl")
    artworks = [line["illustration_id"] for line in meta]
    twin = next(row for row, artwork in enumerate(artworks) if artworks.count(artwork) == 2)
    for row in (twin, next(row for row, artwork in enumerate(artworks) if artwork != artworks[twin])):
        listed = [artworks[match.row] for match in index.similar(row, len(meta))]
        assert len(listed) == len(set(listed)) == len(set(artworks)) - 1 and artworks[row] not in listed


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
    twins = [row for row, face in enumerate(site.meta) if face["same_image_as"]]
    assert all(row not in art for row in twins)
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

@needs_runtime
def test_a_page_of_such_an_index_embeds_the_art(tab, site):
    """meta.json of an export of --region art names the window that the model sees."""
    meta = json.loads((site.workspace.out / "meta.json").read_bytes())
    meta["version"], meta["region"], meta["embedding"]["window"] = "1.1", "art", list(USUAL[:4])
    as_served(tab.page, "meta.json", json.dumps(meta).encode())
    path = site.picture(9)
    vector = np.array(tab.ask("return Array.from(await index.embed(file));", path), np.float32)
    model, pixels = mtg_image_db.open_index(site.workspace.out).load_model(), open_pixels(path.read_bytes())
    of_art, of_card = (model.embed(model.prepare(shown)[None])[0] for shown in (cut(pixels, USUAL), pixels))
    assert vector @ of_art > 0.999 > 0.9 > vector @ of_card


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
    done = built.run("export_for_browser.py", "--with-art", "--output-dir", tmp_path / "page", code=1)
    assert_three_lines(done.stderr, "Invalid Arguments")
    head = json.loads((tmp_path / "page" / "meta.json").read_text())
    assert (head["region"], head["version"]) == ("art", "1.1") and head["embedding"]["window"] == list(USUAL[:4])
    assert head["embedding"]["models"][0]["cosine"] > 0.99


def test_pictures_of_art_alone_make_an_index_that_names_no_cards(workspace, drawn):
    cards = write_bulk(workspace.path / "cards.json", plain_cards(drawn)[:8])
    flags = "--image-size", "art_crop", "--bulk-file", cards
    assert_three_lines(workspace.run("build_mtg_faiss.py", "--model", MODEL, *flags, code=1).stderr,
                       "Invalid Arguments")
    assert not workspace.cache.exists() or not workspace.pictures(), "it is said before the download"
    done = workspace.run("build_mtg_faiss.py", "--model", MODEL, *flags, "--region", "art", "--printings", "none")
    assert "Indexed 8 of 8" in done.stderr
    assert all(window_in(line) == COMPLETE for line in workspace.lines("mtg_meta.jsonl"))
    path = workspace.pictures()[0]
    found = json.loads(workspace.run("query_index.py", "--image", path, "--k", 1, "--json").stdout)["matches"]
    assert cache_name(found[0]["image_url"]) == path.name and found[0]["cosines"][0] > 0.999
    done = workspace.query(path, code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "names no cards" in done.stderr
