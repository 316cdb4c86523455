"""Bulk files, pictures and artefacts that are not what they should be: a reason in words, never a guess."""
from __future__ import annotations

import gzip
import io
import json
import re

import numpy as np
import pytest
from conftest import USABLE, assert_three_lines, plain_cards, write_bulk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mirror.faults import Fault
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import InvalidContent, check_picture, open_picture
from mtg_image_db.console import SuiteError
from mtg_image_db.scryfall.card_objects import BulkReport
from mtg_image_db.scryfall.faces import read_faces

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])


# Bulk files

@pytest.mark.fault("bulk-damaged")
@pytest.mark.parametrize("kind", ["truncated", "garbage", "short", "status"])
def test_a_damaged_bulk_file_is_fetched_again(workspace, mirror, kind):
    mirror.faults.append(Fault(r"\.jsonl\.gz", kind, times=1, status=502))
    workspace.download("--limit", 2)
    assert len(workspace.pictures()) == 2


@pytest.mark.fault("bulk-damaged")
def test_a_bulk_file_that_stays_damaged_is_an_error_and_the_old_one_stays(workspace, mirror):
    workspace.download("--limit", 1)
    bulk = workspace.cache / "bulk"
    before = {path.name: path.read_bytes() for path in bulk.iterdir()}
    (bulk / "unique_artwork.json").write_text(before["unique_artwork.json"].decode().replace("checked_at\": \"20",
                                                                                             "checked_at\": \"19"))
    mirror.faults += [Fault("/bulk-data", "body", file=str(workspace.path / "descriptor.json")),
                      Fault(r"\.jsonl\.gz", "truncated")]
    descriptor = {"object": "bulk_data", "type": "unique_artwork", "updated_at": "2030-01-01T00:00:00.000+00:00",
                  "jsonl_download_uri": next(r.path for r in mirror.requests if ".jsonl.gz" in r.path)}
    descriptor["jsonl_download_uri"] = "https://data.scryfall.io" + descriptor["jsonl_download_uri"]
    (workspace.path / "descriptor.json").write_text(json.dumps(descriptor))
    done = workspace.download("--limit", 1, code=1)
    assert_three_lines(done.stderr, "Network Error")
    assert "damaged gzip data" in done.stderr and "attempts: 3" in done.stderr
    assert (bulk / "unique_artwork.jsonl.gz").read_bytes() == before["unique_artwork.jsonl.gz"]
    assert not list(bulk.glob("*.part"))


@pytest.mark.fault("bulk-damaged")
def test_a_snapshot_damaged_on_disk_is_named_by_the_build_and_fetched_again_by_the_download(workspace):
    workspace.download("--limit", 1)
    path = workspace.cache / "bulk" / "unique_artwork.jsonl.gz"
    whole = path.read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    done = workspace.build(code=1)
    assert_three_lines(done.stderr, "Validation Error")
    assert str(path.relative_to(workspace.path)) in done.stderr and "download_images.py fetches" in done.stderr
    assert "is damaged: fetching it again" in workspace.download("--limit", 1).stderr
    assert path.read_bytes() == whole


@pytest.mark.fault("bulk-damaged")
@pytest.mark.parametrize("reply", [b"[" * 100_000, b"<html>", b"5", b'{"jsonl_download_uri": "\x1b[31m"}',
                                   b'{"jsonl_download_uri": "https://data.scryfall.io/\\u001b[31m"}', b"x" * (2 << 20)])
def test_a_strange_reply_of_the_api_is_a_network_error(workspace, mirror, reply):
    (workspace.path / "reply").write_bytes(reply)
    mirror.faults.append(Fault("/bulk-data", "body", file=str(workspace.path / "reply")))
    done = workspace.download("--max-retries", 0, code=1)
    assert_three_lines(done.stderr, "Network Error")
    assert not CONTROL.search(done.stderr)


@pytest.mark.fault("bulk-lines")
def test_bad_lines_are_skipped_counted_and_never_shown_raw(workspace, drawn):
    good = plain_cards(drawn)[:4]
    good[0]["name"] = "Two\nlines\x1b[31m and a bell\x07\u202e"
    good[1]["set"], good[1]["collector_number"] = "\x1b]0;title\x07", "../../etc/passwd"
    good[2]["image_uris"]["normal"] = "https://cards.scryfall.io/normal/front/../../../\x1b[31m\nx.jpg?1"
    lines = [json.dumps(card).encode() for card in good]
    bad = [b'{"object": "card", "id": \x1b[31m', b'"text"', b'{"object": "\x1b[2Jset", "id": "x"}',
           b'{"object": "card", "id": "' + b"x" * (50 << 20) + b'"}']
    path = workspace.path / "bulk.jsonl"
    path.write_bytes(b"\n".join([lines[0], bad[0], lines[1], *bad[1:], *lines[2:]]))
    done = workspace.download("--bulk-file", path, "--max-retries", 0)
    assert workspace.download_statistics()["bad_bulk_lines"] == 4
    assert done.stderr.count("Skipped in the bulk file: ") == 4 and not CONTROL.search(done.stderr)
    failure, = workspace.lines("download_failures.jsonl")
    assert failure["scryfall_id"] == good[2]["id"]
    assert {path.name for path in workspace.pictures()} == \
        {cache_name(card["image_uris"]["normal"]) for card in good if card is not good[2]}
    workspace.build("--bulk-file", path)
    assert workspace.manifest()["statistics"]["bad_bulk_lines"] == 4
    for name in ("mtg_meta.jsonl", "rejected.jsonl", "build_manifest.json"):
        assert not CONTROL.search((workspace.out / name).read_text(encoding="utf-8")), name
    assert next(line["name"] for line in workspace.lines("mtg_meta.jsonl")) == good[0]["name"]
    for flags in ([], ["--json"]):
        answer = workspace.query(*workspace.pictures(), "--k", 3, *flags)
        assert not CONTROL.search(answer.stdout + answer.stderr) and "\u202e" not in answer.stdout


@pytest.mark.fault("bulk-lines")
@EXAMPLES
@given(data=st.data())
def test_whatever_the_bytes_the_bulk_reader_gives_faces_or_a_bulk_error(bulk_cards, tmp_path_factory, data):
    """Bytes replaced, cut out and put in, in every form of the file."""
    cards = bulk_cards[:data.draw(st.integers(1, 4), "cards")]
    raw = data.draw(st.sampled_from([b"\n".join(json.dumps(card).encode() for card in cards),
                                     json.dumps(cards).encode()]), "form")
    packed = data.draw(st.booleans(), "gzip")
    mutated = mutate(gzip.compress(raw, mtime=0) if packed else raw, data)
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(mutated)
    report = BulkReport()
    try:
        for face in read_faces(path, report=report):
            assert all(isinstance(getattr(face, name), str) for name in
                       ("name", "scryfall_id", "face_id", "set", "collector_number", "image_url", "skip_reason"))
            assert face.skip_reason or face.image_url.startswith(("https://", "http://"))
            assert re.fullmatch(r"[0-9a-f]{40}\.(jpg|png|webp)", cache_name(face.image_url))
    except SuiteError as error:
        assert "bulk file" in str(error) and not CONTROL.search(str(error))


def mutate(content: bytes, data) -> bytes:
    """Content with a few changes that hypothesis chooses."""
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        at = data.draw(st.integers(0, len(content)), "at")
        length = data.draw(st.integers(0, 40) | st.integers(0, len(content)), "length")
        content = content[:at] + data.draw(st.binary(max_size=40), "new bytes") + content[at + length:]
    return content


# Pictures

@pytest.fixture(scope="module")
def encoded() -> dict[str, bytes]:
    """A picture with detail in every format and several modes."""
    pixels = np.random.default_rng(0).integers(0, 256, (68, 48, 3), np.uint8).repeat(2, 0).repeat(2, 1)
    picture, made = Image.fromarray(pixels), {}
    for name, mode, options in (("JPEG", "RGB", {}), ("JPEG", "CMYK", {}), ("JPEG", "RGB", {"progressive": True}),
                                ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "RGBA", {}), ("WEBP", "RGB", {}),
                                ("WEBP", "RGBA", {"lossless": True}), ("GIF", "P", {}), ("BMP", "RGB", {}),
                                ("TIFF", "RGB", {"compression": "tiff_deflate"})):
        data = io.BytesIO()
        picture.convert(mode).save(data, name, **options)
        made[f"{name} {mode} {sorted(options)}"] = data.getvalue()
    return made


@pytest.mark.fault("no-picture")
@EXAMPLES
@given(data=st.data(), verify=st.booleans())
def test_whatever_the_bytes_open_picture_gives_a_whole_picture_or_a_reason(encoded, data, verify):
    source = encoded[data.draw(st.sampled_from(sorted(encoded)), "format")]
    content = mutate(source, data)
    try:
        picture = open_picture(content, verify)
    except InvalidContent as error:
        assert str(error)
        with pytest.raises(InvalidContent):
            check_picture(content, verify)
    else:
        check_picture(content, verify)  # decodes less, and says the same
        assert picture.mode == "RGB" and 0 < picture.width * picture.height <= 100_000_000
        assert np.asarray(picture).shape == (picture.height, picture.width, 3)


@pytest.mark.fault("no-picture")
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_card_picture_cut_anywhere_is_refused(encoded, name):
    """The formats of Scryfall's pictures; the last bytes of a file may be decoration."""
    for kind in (kind for kind in encoded if kind.startswith(name)):
        source = encoded[kind]
        for length in {*range(0, len(source) - 12, 997), *range(max(0, len(source) - 200), len(source) - 12)}:
            for read in (open_picture, check_picture):
                with pytest.raises(InvalidContent):
                    read(source[:length], verify=True)


@pytest.mark.fault("bomb")
def test_a_bomb_in_the_text_of_a_picture_is_not_unpacked(tmp_path):
    """4 kB that decompress to 4 MB beside the pixels: Pillow would refuse the picture."""
    text = PngInfo()
    text.add_text("Comment", "0" * (4 << 20), zip=True)
    Image.new("RGB", (48, 68)).save(tmp_path / "text.png", pnginfo=text)
    assert open_picture(tmp_path / "text.png").info == {}


@pytest.mark.fault("odd-pictures")
def test_odd_pictures_in_the_cache_are_rows_or_rejections(built):
    """1x1, palette, CMYK, 16-bit, transparent, animated: as a user's own mirror might serve them."""
    paths = built.pictures()
    picture = Image.open(paths[0]).convert("RGB")
    picture.resize((1, 1)).save(paths[1], "PNG")
    picture.resize((1, 400)).save(paths[2], "PNG")
    picture.convert("P").save(paths[3], "GIF")
    picture.convert("CMYK").save(paths[4], "JPEG")
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(paths[5], "PNG")
    picture.convert("RGBA").save(paths[6], "WEBP")
    picture.save(paths[7], "WEBP", save_all=True, append_images=[picture.rotate(90)])
    paths[8].unlink()
    paths[8].mkdir()
    built.build()
    rejected = {line["file"]: line["reason"] for line in built.lines("rejected.jsonl") if line["file"] != ""
                and line["reason"] != "placeholder"}
    assert rejected == {paths[2].name: "invalid: no card's shape: 1 x 400",
                        paths[8].name: "invalid: Is a directory"}
    vectors = np.load(built.out / "mtg_embeddings.npy")
    assert len(vectors) == USABLE - 2 and np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5


@pytest.mark.fault("odd-pictures")
def test_odd_queries_have_an_answer_or_three_lines(finished, tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    answer = json.loads(finished.query(tmp_path / "dot.png", "--json", "--k", 3).stdout)
    assert len(answer["matches"]) == 3
    Image.new("RGB", (1, 400)).save(tmp_path / "line.png")
    done = finished.query(tmp_path / "line.png", code=2)
    assert "no card's shape" in done.stderr
    assert f"Left out: {tmp_path / 'line.png'}: no card's shape" in finished.query(tmp_path).stderr


@pytest.mark.fault("nothing")
def test_no_face_is_an_end_in_three_lines(workspace, drawn):
    cards = [{**card, "image_status": "missing"} for card in plain_cards(drawn)[:3]]
    path = write_bulk(workspace.path / "mine", cards)
    scripts = (["download_images.py"], ["build_embeddings.py"],
               ["build_mtg_faiss.py", "--model", "efficientnet-lite0"])  # asks for the model before the pictures
    for script in scripts:
        assert_three_lines(workspace.run(*script, "--bulk-file", path, code=2).stderr, "Validation Error")
    path.write_text("")
    for script in scripts:
        assert_three_lines(workspace.run(*script, "--bulk-file", path, code=2).stderr, "Validation Error")
    assert not (workspace.out / "mtg_cards.faiss").exists()
