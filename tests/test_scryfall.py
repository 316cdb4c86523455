"""The bulk reader: every form of the file, faces by presence of pictures, nothing held in memory."""
from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import orjson
import pytest
from conftest import ROOT, SHARED

from mtg_image_db.artefacts import cache_name
from mtg_image_db.console import SuiteError
from mtg_image_db.scryfall.card_objects import BulkReport
from mtg_image_db.scryfall.faces import IMAGE_KEYS, Source, read_faces

CARD = "https://cards.scryfall.io/{}/front/a/b/{}.{}?17"


def card(card_id: str = "c1", keys: tuple[str, ...] = ("small", "normal", "large", "png"), **fields) -> dict:
    return {"object": "card", "id": card_id, "name": "A", "set": "s", "collector_number": "12b", "lang": "en",
            "image_uris": {key: CARD.format(key, card_id, "png" if key == "png" else "jpg") for key in keys}, **fields}


def forms(cards: list[dict]) -> dict[str, bytes]:
    lines = "\n".join(json.dumps(each) for each in cards)
    array = "[\n" + ",\n".join(json.dumps(each) for each in cards) + "\n]"
    return {"lines": lines.encode(), "array": array.encode(), "one line": json.dumps(cards).encode(),
            "pretty": json.dumps(cards, indent=2).encode(), "bom": b"\xef\xbb\xbf" + array.encode(),
            "bom lines": b"\xef\xbb\xbf" + lines.encode(),
            "utf-16": lines.encode("utf-16"), "utf-16 array": array.encode("utf-16-le"),
            "objects": "\n".join(json.dumps(each, indent=2) for each in cards).encode(),
            "sorted objects": "".join(json.dumps(each, indent=2, sort_keys=True) for each in cards).encode(),
            "list": json.dumps({"object": "list", "has_more": False, "data": cards}).encode(),
            "own list": json.dumps({"date": "2026", "notes": [{"id": "x"}], "cards": [{"count": 1}, *cards]},
                                   indent=1).encode()}


def tar(data: bytes, mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in (("._bulk.jsonl", b"of macOS"), ("READ.txt", bytes(999_999)), ("cards/bulk.jsonl", data)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cards/", b"")
        archive.writestr("cards/READ.txt", b"about the cards")
        archive.writestr("cards/bulk", data)
    return file.getvalue()


PACKERS = {"gzip": gzip.compress, "gzip twice": lambda data: gzip.compress(gzip.compress(data)),
           "xz": lzma.compress, "bzip2": bz2.compress, "zip": zipped, "tar": lambda data: tar(data, "w"),
           "tar.gz": lambda data: tar(data, "w:gz"), "gzip in zip": lambda data: zipped(gzip.compress(data))}


@pytest.mark.parametrize("form, packer", [
    *((form, None) for form in forms([])), *(("lines", packer) for packer in PACKERS), ("array", "gzip"),
    ("utf-16", "zip"), ("list", "tar.gz")])
def test_every_form_of_the_bulk_file_gives_the_same_faces(tmp_path, bulk_cards, form, packer):
    data = forms(bulk_cards)[form]
    path = tmp_path / "bulk"  # no suffix: the bytes decide
    path.write_bytes(PACKERS[packer](data) if packer else data)
    reference = tmp_path / "reference"
    reference.write_bytes(forms(bulk_cards)["lines"])
    assert list(read_faces(path)) == list(read_faces(reference))


def test_faces_follow_where_the_pictures_are(tmp_path):
    sides = [{"name": "Front", "image_uris": card("f")["image_uris"], "illustration_id": "i1", "artist": "P"},
             {"name": "Back", "image_uris": card("b")["image_uris"], "colors": ["R"]}]
    cards = [card("root", layout="split", card_faces=[{"name": "L"}, {"name": "R"}]),
             {**card("two", layout="never_seen_before", colors=["W"]), "image_uris": None, "card_faces": sides},
             {"object": "card", "id": "none", "name": "No picture"}]
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps(cards))
    faces = list(read_faces(path))
    assert [(face.face_id, face.name) for face in faces] == [("root", "A"), ("two:face:0", "Front"),
                                                             ("two:face:1", "Back")]
    assert (faces[1].illustration_id, faces[1].artist, faces[1].colors) == ("i1", "P", ["W"])
    assert faces[2].colors == ["R"] and faces[2].scryfall_id == "two"


@pytest.mark.fault("bulk-lines")
@pytest.mark.parametrize("own", [{}, {"normal": ""}, {"normal": "N/A"}, {"art_crop": "https://cards.scryfall.io/a.jpg"},
                                 {"normal": "https://c1.scryfall.com/a.jpg"}])
def test_a_place_without_a_usable_picture_hides_no_other(tmp_path, own):
    sides = [{"name": "Front", "image_uris": card("f")["image_uris"]}]
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps([card("empty", image_uris=own, card_faces=sides)]))
    assert [(face.name, face.skip_reason) for face in read_faces(path)] == [("Front", "")]


@pytest.mark.fault("bulk-lines")
def test_what_has_no_usable_picture_is_refused_with_a_reason(tmp_path):
    sides = [{"name": "Front", "image_uris": card("f")["image_uris"]}, {"name": "Back", "image_uris": {"normal": ""}}]
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps([card("empty", image_uris={}, card_faces=sides),
                                card("bare", image_uris={}), card("new", image_uris={"hero": "https://h/a.avif"})]))
    assert [(face.name, face.skip_reason) for face in read_faces(path)] == [
        ("Front", ""), ("Back", "invalid: no picture of a whole card"),
        ("A", "invalid: no picture of a whole card"), ("A", "invalid: no picture of a whole card, only hero")]


@pytest.mark.parametrize("wanted, has, gets", [
    ("normal", ("small", "normal", "png"), "normal"), ("grid", ("small", "normal", "large"), "normal"),
    ("display", ("normal", "large", "png"), "large"), ("normal", ("small", "png"), "png"),
    ("crop", ("small", "border_crop", "png"), "border_crop"), ("png", ("small", "large"), "large"),
    ("thumb", ("small", "normal"), "small")])
def test_a_missing_size_falls_back_to_the_next_larger(tmp_path, wanted, has, gets):
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps([card(keys=has)]))
    report = BulkReport()
    face, = read_faces(path, Source(image_size=wanted), report)
    assert f"/{gets}/" in face.image_url
    assert report.size_fallbacks == (wanted != gets)


def test_cards_without_a_scan_and_other_hosts_are_left_out(tmp_path):
    elsewhere = {"normal": "https://backs.scryfall.io/normal/0/a.jpg?1"}
    cards = [card("a", image_status="missing"), card("b", image_status="placeholder"), card("c", image_status="lowres"),
             card("d", image_uris=elsewhere), card("e", image_uris={"normal": "file:///etc/passwd"}),
             card("f", image_uris={"normal": "http://["}), card("g", image_uris={})]
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps(cards))
    reasons = [face.skip_reason.split(":")[0] for face in read_faces(path)]
    assert reasons == ["placeholder", "placeholder", "", "invalid", "invalid", "invalid", "invalid"]
    included = [face.skip_reason for face in read_faces(path, Source(include_placeholders=True))]
    assert included[:3] == ["", "", ""] and all(included[3:])


def test_limit_counts_usable_faces(tmp_path):
    path = tmp_path / "bulk.json"
    path.write_text(json.dumps([card("a", image_status="missing"), card("b"), card("c"), card("d")]))
    assert [face.scryfall_id for face in read_faces(path, Source(limit=2))] == ["a", "b", "c"]


@pytest.mark.fault("bulk-lines")
def test_one_bad_line_is_skipped_and_reported(tmp_path):
    path = tmp_path / "bulk.jsonl"
    path.write_bytes(b'\n'.join([json.dumps(card("a")).encode(), b'{"object": "card", "id": ', b'"text"',
                                 b'{"object":"error"}', b"x" * (17 << 20), json.dumps(card("b")).encode()]))
    report = BulkReport()
    assert [face.scryfall_id for face in read_faces(path, report=report)] == ["a", "b"]
    assert report.bad_lines == 4 and report.cards == 2


@pytest.mark.fault("bulk-lines")
@pytest.mark.parametrize("fields", [
    {"name": 5}, {"name": None}, {"colors": "W"}, {"colors": [1]}, {"set": {}}, {"artist": []}, {"card_faces": 5},
    {"image_uris": {"normal": 7}}, {"image_uris": {"normal": "https://[bad"}}, {"image_uris": [], "card_faces": [[]]},
    {"name": "\ud800"}, {"image_status": 1}])
@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_malformed_card_harms_no_other(tmp_path, fields, form):
    path = tmp_path / "bulk"
    path.write_bytes(forms([card("a"), card("b", **fields), card("c")])[form])
    faces = list(read_faces(path))
    assert {"a", "c"} <= {face.scryfall_id for face in faces if not face.skip_reason}
    for face in faces:
        assert cache_name(face.image_url) and orjson.dumps(face.metadata())
        assert all(isinstance(value, str) for key, value in face.metadata().items()
                   if key in ("name", "set", "artist", "collector_number", "scryfall_uri"))


@pytest.mark.fault("bulk-damaged")
@pytest.mark.parametrize("packer", ["gzip", "xz", "bzip2", "zip", "tar.gz"])
def test_a_packed_bulk_file_that_is_cut_short_is_an_error_in_three_lines(tmp_path, bulk_cards, packer):
    path = tmp_path / "bulk"
    packed = PACKERS[packer](forms(bulk_cards)["lines"])
    path.write_bytes(packed[:len(packed) // 2])
    with pytest.raises(SuiteError, match="bulk file cannot be read"):
        list(read_faces(path))


@pytest.mark.fault("bulk-damaged")
@pytest.mark.parametrize("data, named", [
    (b'{"object":"list"}\n', "a Scryfall object of type list, not a card"), (b"<!DOCTYPE html>", "a web page"),
    (forms([card()])["array"][:-20], "cut short"), (b"\x28\xb5\x2f\xfd rest", "packed as Zstandard"),
    (b"7z\xbc\xaf\x27\x1c rest", "packed as 7-Zip"), (b'{"a":' + b"[1,2]," * 99, "broken or cut short"),
    (b'{"a": [' + b"1," * 200_000 + b"1]}", "larger than a card"), (b"name,set\nA,lea\n", "line 1: ")])
def test_a_file_that_is_no_bulk_file_is_named_for_what_it_is(tmp_path, data, named):
    path = tmp_path / "bulk"
    path.write_bytes(data)
    with pytest.raises(SuiteError, match="bulk file") as error:
        list(read_faces(path))
    assert named in error.value.details


def test_cache_name_is_the_hash_of_the_whole_url():
    old, new = CARD.format("normal", "x", "jpg"), CARD.format("normal", "x", "jpg") + "8"
    assert cache_name(old) == hashlib.sha1(old.encode()).hexdigest() + ".jpg"
    assert cache_name(old) != cache_name(new)
    assert cache_name("https://h/a.webp?1").endswith(".webp") and cache_name("https://h/a.PNG?1").endswith(".png")


def test_real_cards_of_every_layout_and_language():
    if not SHARED.is_dir():
        pytest.skip("../shared/sample is not there: real Scryfall objects are not part of the repository")
    for size in IMAGE_KEYS:
        faces = list(read_faces(SHARED / "sample" / "edge-cases.jsonl.gz", Source(image_size=size)))
        assert Counter(face.skip_reason for face in faces).keys() == {"", "placeholder"}
        assert all(face.image_url and face.name and face.face_id.startswith(face.scryfall_id) for face in faces)
    placeholders = list(read_faces(SHARED / "sample" / "placeholders.jsonl.gz"))
    assert len(placeholders) >= 60 and all(face.skip_reason == "placeholder" for face in placeholders)


def test_a_file_the_size_of_default_cards_is_read_in_little_memory(tmp_path, bulk_cards):
    line = json.dumps({**bulk_cards[0], "oracle_text": "words " * 800}).encode() + b"\n"
    path = tmp_path / "bulk.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range((640 << 20) // len(line)):
            file.write(line)
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here: the peak of a child process alone cannot be read")
    code = ("import re, sys; from pathlib import Path; from mtg_image_db.scryfall.faces import read_faces;"
            "n = sum(1 for _ in read_faces(Path(sys.argv[1])));"
            "print(n, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()).group(1))")
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    faces, kilobytes = map(int, done.stdout.split())
    assert faces == (640 << 20) // len(line)
    assert kilobytes < 200 * 1024
