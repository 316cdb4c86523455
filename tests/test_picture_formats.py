"""Pictures as they come: formats of phones and browsers, damaged metadata, 48 megapixels, mirrors, any name."""
from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import Workspace
from PIL import Image, ImageOps

import mtg_image_db
from mirror.drawn_scenes import scene
from mtg_image_db.artefacts import cache_name
from mtg_image_db.common import PHOTO_PIXELS, InvalidContent, check_picture, open_photo, open_picture

PEAK = """\
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
print(done.stdout, end="")
"""


def card(workspace: Workspace, row: int) -> tuple[dict, Image.Image]:
    face = workspace.lines("mtg_meta.jsonl")[row]
    return face, Image.open(workspace.cache / cache_name(face["image_url"])).convert("RGB")


def encoded(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    if form == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(picture).save(file, quality=90)
    else:
        picture.save(file, form, **options)
    return file.getvalue()


# Formats

@pytest.mark.fault("formats")
def test_formats_of_phones_and_browsers_are_read_whatever_their_name(finished, tmp_path):
    face, picture = card(finished, 3)
    other = picture.resize((244, 340))
    (tmp_path / "phone.heic").write_bytes(encoded(picture, "HEIF"))
    (tmp_path / "browser.avif").write_bytes(encoded(picture, "AVIF"))
    (tmp_path / "saved.jpg").write_bytes(encoded(picture, "AVIF"))
    (tmp_path / "two.jpg").write_bytes(encoded(picture, "MPO", save_all=True, append_images=[other]))
    names = sorted(tmp_path.iterdir())
    answers = [json.loads(line) for line in finished.query(*names, "--json").stdout.splitlines()]
    assert [answer["matches"][0]["face_id"] for answer in answers] == [face["face_id"]] * len(names)


@pytest.mark.fault("formats")
@pytest.mark.parametrize("data, words", [
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
    (b"<!DOCTYPE html><html></html>", "web page"), (b"%PDF-1.7 rest", "a PDF"), (b"\xff\x0a rest", "JPEG XL"),
    (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "a video"), (b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHE", "damaged HEIC picture"),
    (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"), (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw file"),
    (b"PK\x03\x04 rest", "zip archive"), (b"", "empty file"), (b"text", "not a picture")])
def test_what_is_not_read_is_named(data, words):
    for read in (open_picture, check_picture, open_photo):
        with pytest.raises(InvalidContent, match=words):
            read(data)


def test_without_its_package_a_heic_picture_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InvalidContent, match="pip install pillow-heif"):
        open_picture(b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHE")


# Metadata

def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(
        ">I", zlib.crc32(kind + body) if checksum is None else checksum)


def with_chunk(png: bytes, extra: bytes) -> bytes:
    at = png.index(b"IDAT") - 4
    return png[:at] + extra + png[at:]


NOISE = np.random.default_rng(0).bytes(1_500_000)
DAMAGED_CHUNKS = {
    "a large profile": chunk(b"iCCP", b"Scanner\0\0" + zlib.compress(NOISE)),
    "a large text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * 2_000_000)),
    "text that is no text": chunk(b"zTXt", b"a\0\0not packed"),
    "EXIF that is none": chunk(b"eXIf", b"garbage"), "a wrong checksum": chunk(b"tIME", b"\x07\xe8\1\1\0\0\0", 12345),
    "EXIF with a wrong checksum": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0", 1)}


@pytest.mark.fault("metadata")
@pytest.mark.parametrize("damage", DAMAGED_CHUNKS)
def test_damaged_metadata_of_a_png_is_no_damage_of_its_picture(damage):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8))
    png = with_chunk(encoded(picture, "PNG"), DAMAGED_CHUNKS[damage])
    for verify in (False, True):
        assert np.array_equal(open_picture(png, verify), picture)
        check_picture(png, verify)


@pytest.mark.fault("metadata")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0" + struct.pack("<I", 99999),
                                  b"Exif\0\0Exif\0\0II*\0\x08\0\0\0\0\0"])
@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_damaged_exif_turns_nothing(form, exif):
    picture = Image.new("RGB", (60, 40), "red")
    assert open_picture(encoded(picture, form, exif=exif)).size == (60, 40)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture_upright_in_every_format(form, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    picture = Image.new("RGB", (64, 32), "black")
    picture.paste("white", (0, 0, 16, 8))
    data = encoded(picture, form, exif=tags)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    found = open_picture(data)
    assert found.size == upright.size
    assert np.abs(np.asarray(found, int) - np.asarray(upright.convert("RGB"), int)).max() < 8


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_transparency_survives_without_the_other_chunks(mode):
    picture = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 10, 20))
    png = with_chunk(encoded(picture.convert(mode), "PNG"), chunk(b"tIME", b"\x07\xe8\1\1\0\0\0", 1))
    found = open_picture(png)
    assert (found.getpixel((15, 5)), found.getpixel((5, 5))) == ((255, 255, 255), (0, 0, 255))


# Large photos

@pytest.fixture(scope="module")
def large(finished, tmp_path_factory) -> tuple[Path, dict, Image.Image]:
    """A photo of 48 megapixels, as a phone takes it, with a card that covers a sixth of it."""
    face, picture = card(finished, 6)
    photo = Image.effect_noise((1008, 756), 40).convert("RGB").resize((8064, 6048))
    photo.paste(picture.resize((2440, 3400)), (2688, 1512))
    folder = tmp_path_factory.mktemp("large")
    photo.save(folder / "photo.jpg", quality=85)
    picture.save(folder / "card.jpg", quality=92)
    return folder, face, photo


@pytest.mark.fault("large-photo")
def test_a_photo_of_48_megapixels_needs_three_bytes_a_pixel_beside_the_model(finished, large):
    folder, face, _ = large

    def asked(name: str) -> tuple[int, dict]:
        """(peak bytes, answer)"""
        command = finished.command("query_index.py", folder / name, "--json", "--read", "off")
        done = subprocess.run([sys.executable, "-c", PEAK, *command], cwd=finished.path, text=True, check=True,
                              env=finished.environment(), capture_output=True)
        peak, answer = done.stdout.splitlines()
        return int(peak), json.loads(answer)

    small, _ = asked("card.jpg")
    peak, answer = asked("photo.jpg")
    assert answer["matches"][0]["face_id"] == face["face_id"]
    left, top = answer["cards"][0]["quad"][0]
    assert abs(left - 2688) < 60 and abs(top - 1512) < 60, "the corners are in pixels of the file"
    assert peak - small < 3 * 8064 * 6048, f"{peak / 1e6:.0f} MB, {small / 1e6:.0f} MB with a small picture"


@pytest.mark.fault("large-photo")
@pytest.mark.parametrize("form, options", [("JPEG", {}), ("PNG", {"compress_level": 1}), ("TIFF", {}), ("WEBP", {})])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_decoded_at_a_part_of_its_size(form, options, orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    pixels, scale = open_photo(encoded(Image.new("RGB", (5000, 3400), "red"), form, exif=tags, **options))
    assert scale == 0.5 and pixels.shape[0] * pixels.shape[1] <= PHOTO_PIXELS
    assert pixels.shape[:2] == ((1700, 2500) if orientation == 1 else (2500, 1700))


def test_a_photo_that_is_not_large_keeps_every_pixel(tmp_path):
    Image.new("RGB", (4000, 3000)).save(tmp_path / "photo.jpg")
    pixels, scale = open_photo(tmp_path / "photo.jpg")
    assert scale == 1.0 and pixels.shape == (3000, 4000, 3) and pixels.flags.writeable


# Mirrors and names

@pytest.mark.fault("mirrored")
def test_a_card_in_a_mirror_is_recognised_and_said(finished, tmp_path):
    face, picture = card(finished, 9)
    photo, (quad,) = scene([picture], "wood", seed=4)
    ImageOps.mirror(photo).save(tmp_path / "mirrored.jpg", quality=92)
    photo.save(tmp_path / "plain.jpg", quality=92)
    index, page = mtg_image_db.open_index(finished.out), tmp_path / "page.html"
    mirrored, plain = (index.name(tmp_path / name)[0] for name in ("mirrored.jpg", "plain.jpg"))
    assert mirrored.accepted and mirrored.mirrored and not plain.mirrored
    assert mirrored.matches[0].face_id == plain.matches[0].face_id == face["face_id"]
    expected = np.array([[photo.width - x, y] for x, y in quad])
    assert np.linalg.norm(np.array(mirrored.quad) - expected, axis=1).max() < 0.06 * np.ptp(quad[:, 1])
    done = finished.query(tmp_path / "mirrored.jpg", "--html", page, find="auto")
    assert done.stdout.startswith("1 card: 1 recognised\nSeen in a mirror:\n1. ")
    assert page.read_text().count("seen in a mirror") == 1


@pytest.mark.fault("any-name")
def test_a_picture_may_have_a_name_of_any_bytes(finished, tmp_path):
    face, picture = card(finished, 12)
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff.jpg")
    picture.save(name, quality=92)
    page = tmp_path / "page.html"
    done = finished.query(name, "--json", "--html", page)
    assert json.loads(done.stdout)["matches"][0]["face_id"] == face["face_id"]
    assert "caf\\udce9" in page.read_text(encoding="utf-8")
