"""The replies of Scryfall's three hosts, made from the files of a folder.

    reply = api_reply(Served(Path("../shared/sample")), "/bulk-data", {"User-Agent": "me/1", "Accept": "*/*"})

Reads   under the root:
        <type with dashes>.jsonl.gz    the bulk file of a type. unique-artwork.jsonl.gz replaces a missing one
        bulk-data.json                 optional: `updated_at` of bulk files of exactly that size, descriptions
        images/{key}/{front|back}/{a}/{b}/{id}.{ext}    only the key `normal` is needed
Writes  nothing
"""
from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from mirror.faults import JSON_TYPE, Reply, content_type, error_reply

API, DATA, CARDS = "https://api.scryfall.com", "https://data.scryfall.io", "https://cards.scryfall.io"
BULK_IDS = {"oracle_cards": "27bf3214-1271-490b-bdfe-c0be6c23d02e",
            "unique_artwork": "6bbcf976-6369-4401-88fc-3a9e4984c305",
            "default_cards": "e2ef41e3-5778-4bc2-af3f-78eca4dd9c23",
            "all_cards": "922288cb-4bef-45e1-bb30-0c2bd3d3534f"}
# Windows are (left, top, right, bottom) as fractions of the card. They have the target's aspect ratio.
FULL_CARD, INSIDE_BORDER, ART = (0, 0, 1, 1), (0.035, 0.027, 0.965, 0.9725), (0.076, 0.112, 0.924, 0.556)
IMAGE_KEYS = {  # key: (extension, pixels, window)
    "small": ("jpg", (146, 204), FULL_CARD), "thumb": ("webp", (146, 204), FULL_CARD),
    "normal": ("jpg", (488, 680), FULL_CARD), "grid": ("webp", (488, 680), FULL_CARD),
    "large": ("jpg", (672, 936), FULL_CARD), "display": ("webp", (672, 936), FULL_CARD),
    "png": ("png", (745, 1040), FULL_CARD),
    "border_crop": ("jpg", (480, 680), INSIDE_BORDER), "crop": ("webp", (480, 680), INSIDE_BORDER),
    "art_crop": ("jpg", (626, 457), ART), "art": ("webp", (626, 457), ART)}
IMAGE_PREFIXES = tuple(f"/{key}/" for key in IMAGE_KEYS)
# Only these characters are allowed, so "..", "%2e" and further slashes never get into file names.
IMAGE_PATH = re.compile(r"/(\w+)/(front|back)/(\w)/(\w)/([\w-]+)\.(jpg|png|webp)", re.ASCII)
BULK_PATH = re.compile(r"/([a-z-]+)/\1-(\d{14})\.(jsonl\.gz|json)", re.ASCII)
GENERIC_AGENT = re.compile(r"(python-requests|python-urllib|python-httpx|urllib3|curl|go-http-client|java|okhttp)/",
                           re.I)
BULK_LOCK = threading.Lock()
Headers = Mapping[str, str] | Message  # a Message finds a name in upper or lower case


@dataclass(frozen=True)
class Served:
    """What the replies are made from. origin replaces Scryfall's hosts, if it is given. legacy gives bulk data in the
    form before 2026-07-20. printings is a file to answer default_cards with: it need not have pictures."""
    root: Path
    origin: str | None = None
    legacy: bool = False
    printings: Path | None = None


def etag_of(body: bytes) -> str:
    """The strong entity tag of a body."""
    return f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'


def rewrite_hosts_in(body: bytes, origin: str | None) -> bytes:
    """Replace Scryfall's three hosts by `origin`. With None, the body stays as it is."""
    if origin is not None:
        for host in (API, DATA, CARDS):
            body = body.replace(host.encode(), origin.encode())
    return body


@lru_cache(maxsize=8)
def bulk_body(path: Path, version: tuple[int, int], origin: str | None, legacy: bool) -> tuple[bytes, str, int]:
    """For a version of a bulk file: the bytes to send, their ETag, and if legacy their uncompressed size."""
    body, size = path.read_bytes(), 0
    if origin or legacy:
        raw = rewrite_hosts_in(gzip.decompress(body), origin)
        if legacy:
            raw = b"[\n" + b",\n".join(raw.strip().split(b"\n")) + b"\n]"
        body, size = gzip.compress(raw, compresslevel=6, mtime=0), len(raw)
    return body, etag_of(body), size


def load_bulk(served: Served, bulk_type: str) -> tuple[dict[str, Any], Reply] | None:
    """The bulk descriptor of a type and the reply with its file."""
    root, origin, legacy = served.root, served.origin, served.legacy
    name, title = bulk_type.replace("_", "-"), bulk_type.replace("_", " ").title()
    paths = root / f"{name}.jsonl.gz", root / "unique-artwork.jsonl.gz"
    path = served.printings if bulk_type == "default_cards" and served.printings else \
        next(filter(Path.is_file, paths), None)
    if path is None:
        return None
    stat, entry = path.stat(), {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # bulk-data.json is optional
        entries = json.loads((root / "bulk-data.json").read_bytes())["data"]
        entry = {entry["type"]: entry for entry in entries}.get(bulk_type, {})
    with BULK_LOCK:  # otherwise each of many first requests would compress the file
        body, etag, size = bulk_body(path, (stat.st_mtime_ns, stat.st_size), origin, legacy)
    updated_at = datetime.fromtimestamp(stat.st_mtime, timezone.utc).isoformat(timespec="milliseconds")
    if entry.get("compressed_size") == stat.st_size:
        updated_at = entry.get("updated_at", updated_at)
    uri = f"{DATA}/{name}/{name}-{re.sub(r'[^0-9]', '', updated_at)[:14]}.{'json' if legacy else 'jsonl.gz'}"
    descriptor = {"object": "bulk_data", "id": BULK_IDS[bulk_type], "type": bulk_type, "updated_at": updated_at,
                  "uri": f"{API}/bulk-data/{BULK_IDS[bulk_type]}", "name": title,
                  "description": entry.get("description", f"A file of Scryfall card objects: {title}.")}
    headers = {"Content-Type": content_type(uri), "ETag": etag, "Accept-Ranges": "bytes",
               "Last-Modified": formatdate(stat.st_mtime, usegmt=True)}
    if legacy:
        headers["Content-Encoding"] = "gzip"
        descriptor |= {"size": size, "download_uri": uri, "content_type": content_type(uri), "content_encoding": "gzip"}
    else:
        descriptor |= {"jsonl_download_uri": uri, "compressed_size": len(body)}
    return descriptor, Reply(200, headers, body)


def api_reply(served: Served, path: str, headers: Headers) -> Reply:
    """The reply of api.scryfall.com."""
    agent = headers.get("User-Agent", "").strip()
    if not agent or GENERIC_AGENT.match(agent):
        return error_reply(400, "Send a User-Agent that names your application.", subcode="generic_user_agent")
    if not headers.get("Accept", "").strip():
        return error_reply(400, "Send an Accept header.", subcode="missing_accept")
    wanted = path.removeprefix("/bulk-data/")
    types = [t for t in BULK_IDS if path == "/bulk-data" or wanted in (t, BULK_IDS[t])]
    found = [bulk[0] for t in types if (bulk := load_bulk(served, t))]
    if not found and path != "/bulk-data":
        return error_reply(404, f"No object found at {path}.")
    value = {"object": "list", "has_more": False, "data": found} if path == "/bulk-data" else found[0]
    body = rewrite_hosts_in(json.dumps(value, ensure_ascii=False).encode(), served.origin)
    return Reply(200, {"Content-Type": JSON_TYPE, "ETag": "W/" + etag_of(body)}, body)


def bulk_reply(served: Served, path: str) -> Reply:
    """The reply of data.scryfall.io. Only the present version of a bulk file exists."""
    bulk_type = path.split("/")[1].replace("-", "_")
    bulk = load_bulk(served, bulk_type) if bulk_type in BULK_IDS else None
    return bulk[1] if bulk and DATA + path in bulk[0].values() else error_reply(404, "No such bulk file.")


@lru_cache(maxsize=1)
def corner_mask(width: int, height: int) -> Image.Image:
    """A mask, opaque except for a card's round corners. Their radius is 3 mm of the card's width of 63 mm."""
    large = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), width * 12 // 63, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)


@lru_cache(maxsize=256)
def derived_image(normal: Path, mtime_ns: int, key: str) -> bytes:
    """Make the picture of another key from a `normal` picture."""
    extension, size, window = IMAGE_KEYS[key]
    with Image.open(normal) as stored:
        (left, top, right, bottom), (width, height) = window, stored.size
        box = left * width, top * height, right * width, bottom * height
        image = stored.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box)
    out = io.BytesIO()
    if extension == "png":
        image.putalpha(corner_mask(*size))
        image.save(out, "PNG", compress_level=1)  # for speed: a higher level hardly makes a scan smaller
    else:
        image.save(out, {"jpg": "JPEG", "webp": "WEBP"}[extension], quality=85)
    return out.getvalue()


def image_reply(root: Path, path: str, headers: Headers) -> Reply:
    """The reply of cards.scryfall.io: the stored file, or one made from the stored `normal`."""
    if not headers.get("User-Agent", "").strip():
        return error_reply(400, "Send a User-Agent header.", subcode="missing_user_agent")
    match = IMAGE_PATH.fullmatch(path)
    if not match or IMAGE_KEYS[match[1]][0] != match[6]:
        return error_reply(404, "No such image.")
    stored = root / "images" / path[1:]
    normal = root.joinpath("images", "normal", *match.groups()[1:4], match[5] + ".jpg")
    try:
        body = (stored.read_bytes() if stored.is_file()
                else derived_image(normal, normal.stat().st_mtime_ns, match[1]))
    except OSError:
        return error_reply(404, "No such image.")
    return Reply(200, {"Content-Type": content_type(path), "ETag": etag_of(body),
                       "Cache-Control": "public, max-age=31536000, immutable"}, body)


def apply_conditions(reply: Reply, headers: Headers) -> Reply:
    """Turn a 200 into the 304, 206 or 416 that If-None-Match, Range and If-Range require."""
    etag = reply.headers.get("ETag")
    if reply.status != 200 or etag is None:
        return reply
    known = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
    if "*" in known or etag.removeprefix("W/") in known:
        kept = ("ETag", "Cache-Control", "Last-Modified")
        return Reply(304, {name: reply.headers[name] for name in kept if name in reply.headers})
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", "").strip())
    current = headers.get("If-Range") in (None, etag, reply.headers.get("Last-Modified"))
    if not wanted or not current or "Accept-Ranges" not in reply.headers:
        return reply
    size, first = len(reply.body), int(wanted[1])
    last = min(int(wanted[2] or size), size - 1)
    if first >= size:
        return Reply(416, {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"})
    if last < first:
        return reply
    return Reply(206, reply.headers | {"Content-Range": f"bytes {first}-{last}/{size}"}, reply.body[first:last + 1])
