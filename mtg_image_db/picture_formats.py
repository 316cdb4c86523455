"""Formats of pictures: which are read, what other files are, what of the metadata is needed, and how to get RGB.

    pixels = pixels_of(to_rgb(opened(without_metadata(data))))

Damaged metadata is not a damaged picture: a browser shows it all the same.
Reads and writes  nothing
"""
from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

READABLE = "JPEG, PNG, WEBP, GIF, BMP, TIFF, HEIC or AVIF"
TIFF_SUFFIXES = (".tif", ".tiff")
# Of the files that are looked at in a folder. MPO is the JPEG of cameras with two lenses: its first picture is read.
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", *TIFF_SUFFIXES, ".heic", ".heif",
            ".avif")
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # Pillow's own; HEIF comes from pillow-heif
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_SAVE = ": save it as JPEG or PNG"
# By their first bytes: files that people take for pictures, and that are read by no format above.
_OTHERS = {
    b"%PDF": f"a PDF{_SAVE}", b"8BPS": f"a Photoshop file{_SAVE}", b"\xff\x0a": f"a JPEG XL picture{_SAVE}",
    b"\0\0\0\x0cJXL ": f"a JPEG XL picture{_SAVE}", b"\0\0\0\x0cjP  ": f"a JPEG 2000 picture{_SAVE}",
    b"FUJIFILMCCD-RAW": f"a camera's raw file{_SAVE}", b"\x1aE\xdf\xa3": "a video, not a picture",
    b"PK\x03\x04": "a zip archive, not a picture", b"\x1f\x8b": "a gzip file, not a picture"}
_EXIF_ORIENTATION = 0x0112
_TIFF_KIND, _TIFF_REDUCED = 254, 1  # the tag NewSubfileType, and its bit for a smaller copy of another page
STRIP_ROWS = 1024


def is_heif(data: bytes) -> bool:
    """True for HEIC, the format of many phones."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS and not _is_avif(data)


def kind_of(data: bytes) -> str:
    """What the bytes are, in words, if they are of a kind that is read by none of the READABLE formats. Otherwise
    empty."""
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not data:
        return "empty file"
    if head.startswith(b"<"):
        return "an SVG drawing, not a photo" if b"<svg" in head else "a web page, not a picture"
    for magic, kind in _OTHERS.items():
        if data.startswith(magic):
            return kind
    if data[4:8] == b"ftyp" and not _is_avif(data) and not is_heif(data):
        return f"a camera's raw file{_SAVE}" if data[8:12] == b"crx " else "a video, not a picture"
    return ""


def why_unread(data: bytes, error: Exception) -> str:
    """Why the decoder did not take the bytes, in words."""
    from PIL import UnidentifiedImageError

    if is_heif(data):
        return f"a damaged HEIC picture ({str(error).strip()})"
    if not isinstance(error, UnidentifiedImageError):
        return str(error) or type(error).__name__
    return "an AVIF picture that is damaged, or this Pillow reads no AVIF" if _is_avif(data) else "not a picture"


def _is_avif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and (b"avif" in data[8:40] or b"avis" in data[8:40])  # the list of brands


def without_metadata(data: bytes) -> bytes:
    """A PNG without the chunks that do not change its pixels: Pillow refuses the picture if one of them is damaged or
    large. Orientation (eXIf) and transparency (tRNS) stay. Other formats are returned as they are."""
    if not data.startswith(PNG_MAGIC):
        return data
    data_view = memoryview(data)
    kept, at = [data_view[:8]], 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        needed = kind[:1].isupper()  # a capital letter marks what a reader must understand
        if needed or (kind in (b"tRNS", b"eXIf")
                      and data[end - 4:end] == struct.pack(">I", zlib.crc32(data[at + 4:end - 4]))):
            kept.append(data_view[at:end])
        at = end
    kept.append(data_view[at:])
    return b"".join(kept) if sum(map(len, kept)) < len(data) else data


def opened(data: bytes) -> Image:
    """The picture, not yet decoded. Raises what Pillow raises, and ImportError if HEIC needs pillow-heif."""
    from PIL import Image

    if not is_heif(data):
        return Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
    from pillow_heif import HeifImageFile

    return HeifImageFile(io.BytesIO(data))


def page_numbers(path: Path) -> list[int]:
    """The numbers, from 1, of a TIFF's pages. The smaller copies that some programs add are no pages. Empty if the file
    cannot be read."""
    from PIL import Image

    with contextlib.suppress(Exception), Image.open(path, formats=["TIFF"]) as picture:  # Pillow raises many kinds
        numbers = []
        for number in range(1, getattr(picture, "n_frames", 1) + 1):
            picture.seek(number - 1)
            if not getattr(picture, "tag_v2", {}).get(_TIFF_KIND, 0) & _TIFF_REDUCED:
                numbers.append(number)
        return numbers
    return []


def orientation(picture: Image) -> int:
    """EXIF's number for how the picture is turned, 1 to 8. Damaged EXIF gives 1, which is upright."""
    value = 1
    with contextlib.suppress(Exception):  # Pillow raises many kinds of errors on damaged EXIF
        value = picture.getexif().get(_EXIF_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def turned(picture: Image, number: int) -> Image:
    """The picture made upright. number is its orientation."""
    from PIL.Image import Transpose

    turns = {2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
             5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90}
    return picture.transpose(turns[number]) if number in turns else picture


def to_rgb(picture: Image, shrink: int = 1) -> Image:
    """The picture as RGB, at 1/shrink of its size. Transparency becomes white."""
    from PIL import Image

    if shrink > 1:  # first where it can be: 48 megapixels of RGBA would be copied three times
        direct = picture.mode in ("RGB", "L", "RGBA", "LA", "CMYK") and "transparency" not in picture.info
        return to_rgb(picture.reduce(shrink)) if direct else to_rgb(picture).reduce(shrink)
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's conversion clips instead of scaling
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def pixels_of(picture: Image) -> NDArray[np.uint8]:
    """An RGB picture as a writable array, uint8 [H, W, 3]. Copied in strips: Pillow would copy all of it twice."""
    import numpy as np

    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, STRIP_ROWS):
        strip = picture.crop((0, top, picture.width, min(top + STRIP_ROWS, picture.height)))
        pixels[top:top + STRIP_ROWS] = np.asarray(strip)
    return pixels
