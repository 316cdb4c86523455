"""A local mirror of Scryfall over HTTP/1.1, for tests, the demo and work by hand.

    python mirror/scryfall_mirror.py --root ../shared/sample --port 8765

One origin serves, by path alone, what api.scryfall.com, data.scryfall.io and cards.scryfall.io serve: bulk
descriptors, bulk files and card images. It can also misbehave on demand (mirror_faults.py).
Reads   under the root:
        <type with dashes>.jsonl.gz    the bulk file of a type; unique-artwork.jsonl.gz stands in for any
        bulk-data.json                 optional: `updated_at` of bulk files of exactly that size, descriptions
        images/{key}/{front|back}/{a}/{b}/{id}.{ext}    only the key `normal` is needed
Writes  nothing
"""
from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import random
import re
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import formatdate
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mirror.faults import JSON_TYPE, Fault, Reply, apply_fault, content_type, draw_fault, error_reply, reset, send_part

API, DATA, CARDS = "https://api.scryfall.com", "https://data.scryfall.io", "https://cards.scryfall.io"
BULK_IDS = {"oracle_cards": "27bf3214-1271-490b-bdfe-c0be6c23d02e",
            "unique_artwork": "6bbcf976-6369-4401-88fc-3a9e4984c305",
            "default_cards": "e2ef41e3-5778-4bc2-af3f-78eca4dd9c23",
            "all_cards": "922288cb-4bef-45e1-bb30-0c2bd3d3534f"}
# Windows are (left, top, right, bottom) as fractions of the card, of the target's aspect ratio.
WHOLE, INSIDE_BORDER, ART = (0, 0, 1, 1), (0.035, 0.027, 0.965, 0.9725), (0.076, 0.112, 0.924, 0.556)
IMAGE_KEYS = {  # key: (extension, pixels, window)
    "small": ("jpg", (146, 204), WHOLE), "thumb": ("webp", (146, 204), WHOLE),
    "normal": ("jpg", (488, 680), WHOLE), "grid": ("webp", (488, 680), WHOLE),
    "large": ("jpg", (672, 936), WHOLE), "display": ("webp", (672, 936), WHOLE),
    "png": ("png", (745, 1040), WHOLE),
    "border_crop": ("jpg", (480, 680), INSIDE_BORDER), "crop": ("webp", (480, 680), INSIDE_BORDER),
    "art_crop": ("jpg", (626, 457), ART), "art": ("webp", (626, 457), ART)}
IMAGE_PREFIXES = tuple(f"/{key}/" for key in IMAGE_KEYS)
# Strict characters keep "..", "%2e" and further slashes out of file names.
IMAGE_PATH = re.compile(r"/(\w+)/(front|back)/(\w)/(\w)/([\w-]+)\.(jpg|png|webp)", re.ASCII)
BULK_PATH = re.compile(r"/([a-z-]+)/\1-(\d{14})\.(jsonl\.gz|json)", re.ASCII)
GENERIC_AGENT = re.compile(r"(python-requests|python-urllib|python-httpx|urllib3|curl|go-http-client|java|okhttp)/",
                           re.I)
BULK_LOCK = threading.Lock()


@dataclass(frozen=True)
class Request:
    """A request as it was received, header names in Title-Case; status 0 is a reset connection."""
    time_monotonic: float
    method: str
    path: str
    headers: dict[str, str]
    status: int


def etag_of(body: bytes) -> str:
    """Strong entity tag of a body."""
    return f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'


def rewrite_hosts_in(body: bytes, origin: str | None) -> bytes:
    """Scryfall's three hosts replaced by `origin`; None leaves the body as it is."""
    for host in (API, DATA, CARDS) if origin else ():
        body = body.replace(host.encode(), origin.encode())
    return body


@lru_cache(maxsize=8)
def bulk_body(path: Path, version: tuple[int, int], origin: str | None, legacy: bool) -> tuple[bytes, str, int]:
    """The bytes to send for a version of a bulk file, their ETag and, if legacy, their uncompressed size."""
    body, size = path.read_bytes(), 0
    if origin or legacy:
        raw = rewrite_hosts_in(gzip.decompress(body), origin)
        if legacy:
            raw = b"[\n" + b",\n".join(raw.strip().split(b"\n")) + b"\n]"
        body, size = gzip.compress(raw, compresslevel=6, mtime=0), len(raw)
    return body, etag_of(body), size


def load_bulk(root: Path, bulk_type: str, origin: str | None, legacy: bool) -> tuple[dict, Reply] | None:
    """The bulk descriptor of a type and the reply with its file, in today's form or that of before 2026-07-20."""
    name, title = bulk_type.replace("_", "-"), bulk_type.replace("_", " ").title()
    paths = root / f"{name}.jsonl.gz", root / "unique-artwork.jsonl.gz"
    path = next(filter(Path.is_file, paths), None)
    if path is None:
        return None
    stat, entry = path.stat(), {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # bulk-data.json is optional
        entries = json.loads((root / "bulk-data.json").read_bytes())["data"]
        entry = {entry["type"]: entry for entry in entries}.get(bulk_type, {})
    with BULK_LOCK:  # else each of many first requests would compress the file
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


def api_reply(root: Path, path: str, headers: Mapping[str, str], origin: str | None, legacy: bool) -> Reply:
    """What api.scryfall.com answers."""
    agent = headers.get("User-Agent", "").strip()
    if not agent or GENERIC_AGENT.match(agent):
        return error_reply(400, "Send a User-Agent that names your application.", subcode="generic_user_agent")
    if not headers.get("Accept", "").strip():
        return error_reply(400, "Send an Accept header.", subcode="missing_accept")
    wanted = path.removeprefix("/bulk-data/")
    types = [t for t in BULK_IDS if path == "/bulk-data" or wanted in (t, BULK_IDS[t])]
    found = [bulk[0] for t in types if (bulk := load_bulk(root, t, origin, legacy))]
    if not found and path != "/bulk-data":
        return error_reply(404, f"No object found at {path}.")
    value = {"object": "list", "has_more": False, "data": found} if path == "/bulk-data" else found[0]
    body = rewrite_hosts_in(json.dumps(value, ensure_ascii=False).encode(), origin)
    return Reply(200, {"Content-Type": JSON_TYPE, "ETag": "W/" + etag_of(body)}, body)


def bulk_reply(root: Path, path: str, origin: str | None, legacy: bool) -> Reply:
    """What data.scryfall.io answers: only the present version of a bulk file exists."""
    bulk_type = path.split("/")[1].replace("-", "_")
    bulk = load_bulk(root, bulk_type, origin, legacy) if bulk_type in BULK_IDS else None
    return bulk[1] if bulk and DATA + path in bulk[0].values() else error_reply(404, "No such bulk file.")


@lru_cache(maxsize=1)
def corner_mask(width: int, height: int) -> Image.Image:
    """Opaque but for the rounded corners of a card, which have 3 mm of its 63 mm as radius."""
    large = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), width * 12 // 63, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)


@lru_cache(maxsize=256)
def derived_image(normal: Path, mtime_ns: int, key: str) -> bytes:
    """A `normal` image made into that of another key."""
    extension, size, window = IMAGE_KEYS[key]
    with Image.open(normal) as stored:
        box = tuple(f * n for f, n in zip(window, stored.size * 2, strict=True))
        image = stored.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box)
    out = io.BytesIO()
    if extension == "png":
        image.putalpha(corner_mask(*size))
        image.save(out, "PNG", compress_level=1)  # speed: a scan hardly compresses further
    else:
        image.save(out, {"jpg": "JPEG", "webp": "WEBP"}[extension], quality=85)
    return out.getvalue()


def image_reply(root: Path, path: str) -> Reply:
    """What cards.scryfall.io answers: the stored file, else one made from the stored `normal`."""
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


def apply_conditions(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """A 200 turned into the 304, 206 or 416 that If-None-Match, Range and If-Range ask for."""
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


class _Server(socketserver.ThreadingTCPServer):  # http.server's asks the resolver for its name, which can take seconds
    daemon_threads = allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, mirror: Mirror) -> None:
        self.mirror, self.connections = mirror, set()
        super().__init__((mirror.host, mirror.port), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "scryfall-mirror", ""
    wbufsize = 1 << 16  # header and body of a small reply leave in one packet

    def do_GET(self) -> None:
        mirror, received = self.server.mirror, time.monotonic()
        reply = mirror.reply_to(self.path, self.headers)
        if reply.delivery != "reset":  # kept in the buffer until the body follows: the latency is all the work's
            self._prepare_head(reply)
        mirror.pause(mirror.latency - (time.monotonic() - received))
        headers = {name.title(): value for name, value in self.headers.items()}
        mirror.requests.append(Request(received, self.command, self.path, headers, reply.status))
        if mirror.verbose:
            print(f"{self.command} {self.path} {reply.status}", file=sys.stderr, flush=True)
        self.close_connection |= bool(reply.delivery)
        if reply.delivery == "reset":
            reset(self.connection)
            return
        if self.command == "GET" and reply.delivery:
            send_part(self.wfile, reply, mirror.pause)
        elif self.command == "GET":
            self.wfile.write(reply.body)

    do_HEAD = do_GET

    def _prepare_head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304 and reply.delivery != "endless":
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Mirror:
    """A Scryfall mirror in threads of this process, from `start` to `stop` or as a context manager.

    `requests` has every request answered so far, `faults` and `latency` (seconds before each
    reply) may be changed while it runs. Chance depends on seed, path and attempt alone, never on
    the order of threads. Stopped and started again it keeps its port.
    """

    def __init__(self, root: Path, *, port: int = 0, latency: float = 0.0, rewrite_hosts: bool = False,
                 legacy: bool = False, faults: Iterable[Fault] = (), seed: int = 0,
                 host: str = "127.0.0.1", verbose: bool = False) -> None:
        self.root, self.host, self.port = Path(root), host, port
        self.latency, self.rewrite_hosts, self.legacy = latency, rewrite_hosts, legacy
        self.faults, self.seed, self.verbose = list(faults), seed, verbose
        self.requests: list[Request] = []
        self._attempts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The origin; its port is known once the mirror has started."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> Mirror:
        """Listen and serve; OSError if the address is taken."""
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self._stopping.clear()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and close every open connection."""
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        server.server_close()
        for connection in list(server.connections):
            with contextlib.suppress(OSError):  # it may have closed meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Mirror:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self, seconds: float) -> bool:
        """Sleep, but no longer than the mirror runs; true if it was stopped."""
        return self._stopping.wait(seconds) if seconds > 0 else self._stopping.is_set()

    def reply_to(self, target: str, headers: Mapping[str, str]) -> Reply:
        """The reply to a request for a path with query, faults included."""
        path = target.partition("?")[0]
        with self._lock:
            attempt = self._attempts[target] = self._attempts.get(target, 0) + 1
            rng = random.Random(f"{self.seed} {target} {attempt}")
            fault = draw_fault(list(self.faults), target, rng)
        reply = apply_conditions(self._true_reply(path, headers), headers)
        return apply_fault(fault, reply, path, rng) if fault else reply

    def _true_reply(self, path: str, headers: Mapping[str, str]) -> Reply:
        origin = self.url if self.rewrite_hosts else None
        try:
            if path.startswith(IMAGE_PREFIXES):
                return image_reply(self.root, path)
            if BULK_PATH.fullmatch(path):
                return bulk_reply(self.root, path, origin, self.legacy)
            return api_reply(self.root, path, headers, origin, self.legacy)
        except (OSError, EOFError, zlib.error) as error:
            return error_reply(500, f"The bulk file cannot be read: {error}")


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="folder with the bulk file and images/")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="wait before each reply")
    parser.add_argument("--rewrite-hosts", action="store_true", help="put this origin for Scryfall's hosts into JSON")
    parser.add_argument("--legacy", action="store_true", help="bulk data as before 2026-07-20")
    parser.add_argument("--faults", type=Path, metavar="FILE.json", help="list of faults")
    parser.add_argument("--verbose", action="store_true", help="a line per request on stderr")
    args = parser.parse_args(argv)
    if not args.root.is_dir():
        parser.error(f"--root {args.root}: no such folder")
    try:
        faults = [Fault(**entry) for entry in json.loads(args.faults.read_bytes())] if args.faults else []
    except (OSError, ValueError, TypeError, re.error) as error:
        parser.error(f"--faults {args.faults}: {error}")
    mirror = Mirror(args.root, port=args.port, latency=args.latency_ms / 1000, faults=faults, host=args.host,
                    rewrite_hosts=args.rewrite_hosts, legacy=args.legacy, verbose=args.verbose)
    try:
        mirror.start()
    except OSError as error:
        print(f"cannot listen on {mirror.url}: {error}", file=sys.stderr)
        return 1
    print(f"Serving {args.root} at {mirror.url} (Ctrl-C ends). To use it:\n  export MTG_SCRYFALL_API={mirror.url}",
          file=sys.stderr, flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        mirror.stop()
    return 130


if __name__ == "__main__":
    sys.exit(main())
