"""Pictures that would decode to more pixels than memory holds."""
from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from network import picture_path
from PIL import Image

from mirror.faults import Fault


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds no pixels: to decode it would fail in another way."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    """A small JPEG whose frame header is changed to say that it is this large."""
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "JPEG")
    return data.getvalue().replace(b"\0\x11\x08\0\x10\0\x10", b"\0\x11\x08" + height.to_bytes(2, "big")
                                   + width.to_bytes(2, "big"))


@pytest.fixture(scope="module")
def bombs(tmp_path_factory) -> list[Path]:
    """A real bomb, 110 kB that decode to 900 million pixels, and two that only claim to be."""
    folder = tmp_path_factory.mktemp("bombs")
    Image.new("1", (30_000, 30_000)).save(folder / "real.png")
    (folder / "claims.png").write_bytes(png_header(10_001, 10_000))  # below Pillow's own limit
    (folder / "claims.jpg").write_bytes(jpeg_header(30_000, 30_000))
    return sorted(folder.iterdir())


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_is_not_cached(workspace, mirror, bombs):
    mirror.faults += [Fault(picture_path(mirror, n), "body", file=str(bomb)) for n, bomb in enumerate(bombs)]
    workspace.download("--limit", 4, "--max-retries", 0)
    failures = workspace.lines("download_failures.jsonl")
    assert [line["error"] for line in failures] == ["too many pixels: more than 100,000,000"] * 3
    assert len(workspace.pictures()) == 1


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_in_the_cache_is_a_rejection(built, bombs):
    for path, bomb in zip(built.pictures(), bombs, strict=False):
        path.write_bytes(bomb.read_bytes())
    assert built.run("scripts/validate_cache.py", code=1).stdout.count("too many pixels: more than 100,000,000") == 3
    built.build()
    reasons = [line["reason"] for line in built.lines("rejected.jsonl") if line["reason"] != "placeholder"]
    assert reasons == ["invalid: too many pixels: more than 100,000,000"] * 3


@pytest.mark.fault("bomb")
def test_a_decompression_bomb_is_no_query(finished, bombs):
    done = finished.query(*bombs, code=2)
    assert done.stderr.count("too many pixels: more than 100,000,000") == 3
