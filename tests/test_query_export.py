"""query_index.py and export_for_browser.py on a finished index."""
from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import time

import numpy as np
import pytest
from conftest import assert_three_lines, drop_hashes
from PIL import Image

import mtg_image_db
from mtg_image_db.artefacts import cache_name
from mtg_image_db.browser.freshness import is_current

LINE = re.compile(r"^(\d+)\. (.+) \[(\S+) (\S+)\] score=(\d\.\d{3}) (https://\S+)$")


def cached(workspace, row: int):
    return workspace.cache / cache_name(workspace.lines("mtg_meta.jsonl")[row]["image_url"])


@pytest.mark.parametrize("find, flags", [("auto", []), ("off", ["--exact"]), ("off", ["--ef-search", "16"])])
def test_a_cached_picture_finds_itself(finished, find, flags):
    meta = finished.lines("mtg_meta.jsonl")
    rows = [0, 7, 20, 50]
    done = finished.query(*(cached(finished, row) for row in rows), "--json", "--k", 3, *flags, find=find)
    for row, line in zip(rows, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        best = answer["matches"][0]
        assert answer["query"] == str(cached(finished, row)) and bool(answer["cards"]) == (find == "auto")
        assert best["score"] == 1 and (best["rank"], best["face_id"]) == (1, meta[row]["face_id"])
        assert {"rank", "score", "name", "set", "collector_number", "scryfall_id", "face_id", "image_url",
                "scryfall_uri"} <= set(best)
        assert [match["rank"] for match in answer["matches"]] == [1, 2, 3]
        scores = [match["score"] for match in answer["matches"]]
        assert scores == sorted(scores, reverse=True)
        for match in answer["matches"]:
            parts = [match[key] for key in ("cosine", "similarity", "art_similarity")]
            assert abs(match["score"] - np.mean(parts)) < 0.001, match


def test_text_is_one_line_a_match(finished):
    done = finished.query(cached(finished, 4), "--k", 4)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all(LINE.match(line) for line in lines), lines
    card = finished.lines("mtg_meta.jsonl")[4]
    assert LINE.match(lines[0]).group(2, 3, 4) == (card["name"], card["set"], card["collector_number"])


def test_a_query_needs_no_cache_no_bulk_file_and_no_network(finished, tmp_path):
    shutil.copytree(finished.out, tmp_path / "elsewhere")
    (tmp_path / "photo.jpg").write_bytes(cached(finished, 9).read_bytes())
    finished.query(tmp_path / "photo.jpg", "--index-dir", tmp_path / "elsewhere")


def test_faces_that_share_a_picture_are_all_named(finished):
    meta = finished.lines("mtg_meta.jsonl")
    row = next(row for row, line in enumerate(meta) if line["same_image_as"])
    for flags in ([], ["--exact"]):
        matches = json.loads(finished.query(cached(finished, row), "--k", 2, "--json", *flags).stdout)["matches"]
        assert {match["face_id"] for match in matches} == {meta[row]["face_id"], meta[row]["same_image_as"]}
        assert min(match["score"] for match in matches) >= 0.99


def test_more_matches_than_rows_is_every_row(finished):
    answer = json.loads(finished.query(cached(finished, 0), "--k", 500, "--json").stdout)
    assert len(answer["matches"]) == 53
    assert len({match["face_id"] for match in answer["matches"]}) == 53


@pytest.mark.fault("odd-pictures")
def test_every_kind_of_picture_can_be_asked_for(finished, tmp_path):
    picture = Image.open(cached(finished, 12))
    modes = {mode: picture.convert(mode) for mode in ("CMYK", "L", "P", "RGBA", "1", "LA")}
    modes["I;16"] = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    for mode, converted in modes.items():
        converted.save(tmp_path / f"{mode.replace(';', '')}.{'jpg' if mode == 'CMYK' else 'png'}")
    picture.convert("RGB").save(tmp_path / "animated.webp", save_all=True, append_images=[picture.rotate(90)])
    paths = sorted(tmp_path.glob("*.*"))
    answers = dict(zip([path.stem for path in paths],
                       map(json.loads, finished.query(*paths, "--json").stdout.splitlines()), strict=True))
    for mode in ("CMYK", "RGBA", "P", "animated"):
        match = answers[mode]["matches"][0]
        assert match["face_id"] == finished.lines("mtg_meta.jsonl")[12]["face_id"] and match["score"] > 0.9, mode
    grey, deep = answers["L"]["matches"][0], answers["I16"]["matches"][0]
    assert grey["face_id"] == deep["face_id"] and abs(grey["score"] - deep["score"]) < 0.01
    assert answers["1"]["matches"] and answers["LA"]["matches"][0]["score"] == grey["score"]


@pytest.mark.fault("odd-pictures")
def test_a_photo_is_turned_upright_by_its_exif(finished, tmp_path):
    picture = Image.open(cached(finished, 12))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    match = json.loads(finished.query(tmp_path / "photo.jpg", "--json").stdout)["matches"][0]
    assert match["face_id"] == finished.lines("mtg_meta.jsonl")[12]["face_id"] and match["score"] > 0.95


def test_transparency_lies_on_white_as_in_scryfalls_jpegs(finished, tmp_path):
    picture = Image.open(cached(finished, 12)).convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 0))
    picture.save(tmp_path / "clear.png")
    Image.new("RGB", picture.size, "white").save(tmp_path / "white.png")
    clear, white = finished.query(tmp_path / "clear.png", tmp_path / "white.png", "--json").stdout.splitlines()
    assert json.loads(clear)["matches"] == json.loads(white)["matches"]


def test_an_unreadable_picture_is_named_and_the_others_answered(finished, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 nothing")
    done = finished.query(tmp_path / "bad.jpg", cached(finished, 0), "--json")
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad["matches"] == [] and bad["error"] and good["matches"]
    assert f"Left out: {tmp_path / 'bad.jpg'}: {bad['error']}" in done.stderr and "ERROR" not in done.stderr
    done = finished.query(tmp_path / "bad.jpg", code=2)
    assert "ERROR: Validation Error: a picture could not be read" in done.stderr and "bad.jpg" in done.stderr


def test_a_closed_pipe_is_no_error(finished):
    query = shlex.join(finished.command("query_index.py", cached(finished, 0), "--k", 50))
    command = f"{query} | true; echo ${{PIPESTATUS[0]}}"
    environment = {key: value for key, value in finished.environment().items() if key != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", command], cwd=finished.path, env=environment, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "0" and "Exception" not in done.stderr


def test_html_is_one_self_contained_page(finished, tmp_path):
    page_path = tmp_path / "page.html"
    finished.query(cached(finished, 0), cached(finished, 1), "--k", 2, "--html", page_path, "--cache", finished.cache)
    page = page_path.read_text()
    sources = re.findall(r"src='([^']+)'", page)
    assert len(sources) == 6 and not re.search(r"<script|<link|@import", page)
    for source in sources:
        Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/jpeg;base64,")))).load()
    finished.query(cached(finished, 0), "--html", page_path, "--cache", tmp_path / "no cache here")
    assert f"src='{finished.lines('mtg_meta.jsonl')[0]['image_url']}'" in page_path.read_text()


@pytest.mark.fault("bulk-lines")
def test_names_cannot_break_out_of_the_page_or_the_terminal(built, tmp_path):
    """The index is data from the network: a name with markup and control characters stays text."""
    meta = built.lines("mtg_meta.jsonl")
    meta[0]["name"], meta[0]["scryfall_uri"] = "<script>alert(1)</script>\x1b[31m\n'x", "javascript:alert(1)"
    path = built.out / "mtg_meta.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in meta))
    manifest = built.manifest()
    manifest["outputs"]["mtg_meta.jsonl"] = {"bytes": path.stat().st_size,
                                             "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (built.out / "build_manifest.json").write_text(json.dumps(manifest))
    done = built.query(cached(built, 0), "--html", tmp_path / "page.html")
    assert "\x1b" not in done.stdout and len(done.stdout.splitlines()) == 1
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page and "href='javascript" not in page


@pytest.mark.fault("damaged-artefact")
@pytest.mark.parametrize("name", ["mtg_cards.faiss", "mtg_meta.jsonl"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "missing"])
def test_artefacts_that_do_not_match_the_manifest_are_refused(built, name, damage):
    path = built.out / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:-10])
    done = built.query(cached_first(built), code=1)
    assert_three_lines(done.stderr, "Validation Error")
    assert name in done.stderr and done.stdout == ""
    if name == "mtg_meta.jsonl":
        assert_three_lines(built.run("export_for_browser.py", code=1).stderr, "Validation Error")


def cached_first(workspace):
    return workspace.pictures()[0]


@pytest.mark.fault("weights")
def test_an_index_of_other_weights_is_refused(built):
    manifest = built.manifest()
    manifest["model_fingerprint"] = "0" * 64
    (built.out / "build_manifest.json").write_text(json.dumps(manifest))
    assert_three_lines(built.query(cached_first(built), code=1).stderr, "Configuration Error")


# Export

def test_export_is_what_the_browser_reads(built):
    done = built.run("export_for_browser.py")
    assert done.stdout == "" and "Exported 53 x 1008" in done.stderr
    meta = json.loads((built.out / "meta.json").read_text())
    data = (built.out / "embeddings.i8bin").read_bytes()
    assert meta["version"] == "1.0" and meta["shape"] == [53, 1008]
    assert {key: meta["quantization"][key] for key in ("dtype", "scale_factor", "original_dtype")} == \
        {"dtype": "int8", "scale_factor": 127, "original_dtype": "float32"} and meta["quantization"]["note"]
    assert len(data) == 53 * 1008 and len(meta["records"]) == 53
    vectors = np.load(built.out / "mtg_embeddings.npy")
    assert np.array_equal(np.frombuffer(data, np.int8).reshape(53, 1008), np.rint(vectors * 127))
    assert meta["records"] == built.lines("mtg_meta.jsonl")
    assert meta["vectors_sha256"] == hashlib.sha256(data).hexdigest()
    assert (meta["model"], meta["fit"], meta["size"]) == ("efficientnet-lite0", "crop", 224)
    assert meta["fidelity"]["recall_at_1"] >= 0.99 and 0.9 <= meta["fidelity"]["recall_at_10"] <= 1


def test_an_export_with_the_model_leaves_the_home_folder_alone(built, tmp_path):
    """ONNX Runtime writes a device id and an event for its maker there, unless its telemetry is off."""
    home = tmp_path / "home"
    home.mkdir()
    built.run("export_for_browser.py", "--with-model", HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"))
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.fault("copied")
def test_a_cache_that_was_copied_without_its_times_is_the_same_cache(built):
    for path in built.pictures():
        os.utime(path)
    done = built.build()
    assert "53 to read" in done.stderr and "0 embedded" in done.stderr, "read again, but not embedded again"
    for number, path in enumerate(built.pictures()):
        os.utime(path, (number, number))
    assert "model.onnx" in built.run("export_for_browser.py", "--with-model").stderr


def test_the_model_of_an_index_of_an_older_version_is_not_exported(built):
    drop_hashes(built, "art_hash")
    done = built.run("export_for_browser.py", "--with-model", code=1)
    assert_three_lines(done.stderr, "Configuration Error")
    assert "older version" in done.stderr and "keeps the vectors" in done.stderr


@pytest.mark.fault("copied")
def test_a_build_with_nothing_new_keeps_files_and_times_and_its_export(built):
    built.run("export_for_browser.py")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in built.out.iterdir()
              if path.name != "build_manifest.json" and not path.name.endswith(".lock")}
    assert "of an earlier build" not in built.build().stderr
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before}
    assert is_current(built.out, built.manifest())


@pytest.mark.fault("copied")
def test_an_export_of_another_build_is_not_current_whatever_its_time(built):
    built.run("export_for_browser.py")
    built.build("--limit", 40)
    later = time.time() + 3600
    os.utime(built.out / "meta.json", (later, later))
    assert not is_current(built.out, built.manifest())


def test_export_writes_elsewhere_and_refuses_what_does_not_match(built, tmp_path):
    built.run("export_for_browser.py", "--output-dir", tmp_path / "web" / "data")
    built.run("export_for_browser.py")
    assert "are of an earlier build" not in built.build().stderr, "nothing has changed"
    assert "are of an earlier build" in built.build("--limit", 40).stderr
    assert {path.name for path in (tmp_path / "web" / "data").iterdir()} == {"embeddings.i8bin", "meta.json",
                                                                            "meta.json.gz"}
    vectors = built.out / "mtg_embeddings.npy"
    vectors.write_bytes(vectors.read_bytes()[:-4])
    done = built.run("export_for_browser.py", "--output-dir", tmp_path / "other", code=1)
    assert_three_lines(done.stderr, "Validation Error")
    assert not (tmp_path / "other").exists()


# From a program

def test_similar_faces_are_others(finished):
    """Also for a row whose very picture another face has."""
    index, meta = mtg_image_db.open_index(finished.out), finished.lines("mtg_meta.jsonl")
    shared = next(row for row, face in enumerate(meta) if face["same_image_as"])
    first = next(row for row, face in enumerate(meta) if face["face_id"] == meta[shared]["same_image_as"])
    for row, twin in ((shared, first), (first, shared), (3, None)):
        similar = index.similar(row, 5)
        assert [match.rank for match in similar] == [1, 2, 3, 4, 5]
        assert meta[row]["face_id"] not in {match.face_id for match in similar}
        assert twin is None or similar[0].face_id == meta[twin]["face_id"]


def test_numbers_out_of_range_are_suite_errors(finished):
    index = mtg_image_db.open_index(finished.out)
    for wrong in (lambda: index.name(cached(finished, 0), k=0), lambda: index.search("a", limit=0),
                  lambda: index.search("a", offset=-1), lambda: index.similar(0, k=0),
                  lambda: mtg_image_db.open_index(finished.out, runtime="tensorflow")):
        with pytest.raises(mtg_image_db.SuiteError):
            wrong()
    with pytest.raises(IndexError):
        index.similar(53)


def test_a_picture_is_named_from_a_path_bytes_or_pixels(finished):
    index, path = mtg_image_db.open_index(str(finished.out)), cached(finished, 9)
    assert len(index) == 53
    for picture in (path, str(path), path.read_bytes(), np.asarray(Image.open(path).convert("RGB"))):
        card = index.name(picture)[0]
        assert card.accepted and card.matches[0].face_id == finished.lines("mtg_meta.jsonl")[9]["face_id"]


@pytest.mark.parametrize("picture, words", [
    ("nowhere.jpg", "nowhere.jpg: No such file"), (b"no picture", "a picture: "),
    (np.zeros((2, 900, 3), np.uint8), "no card's shape")])
def test_what_cannot_be_named_is_a_suite_error(finished, picture, words):
    with pytest.raises(mtg_image_db.SuiteError) as error:
        mtg_image_db.open_index(finished.out).name(picture)
    assert_three_lines(str(error.value), "Validation Error")
    assert words in error.value.details


def test_an_export_without_the_model_says_what_it_removes(built):
    (built.out / "hashes.bin").write_bytes(b"of an earlier export")
    done = built.run("export_for_browser.py")
    assert "Removed from index_out" in done.stderr and "hashes.bin" in done.stderr and "--with-model" in done.stderr
    assert "model.onnx" not in done.stderr and (built.out / "model.onnx").exists(), "that is the build's"
