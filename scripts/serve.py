"""Serve the page that searches an index in a browser, on this machine only.

    python scripts/serve.py --index-dir index_out

What the page needs and is not there, or is older than the index, is exported first.
Reads   web/, the browser's files in <index-dir>, and the pictures in <cache>, so that none is fetched from Scryfall
Writes  the browser's files in <index-dir>, where they are missing or old (export_for_browser.py)
"""
from __future__ import annotations

import functools
import os
import re
import sys
import webbrowser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import orjson

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from export_for_browser import COMPACT_FORMAT, export
from mtg_image_db.artefacts import load_manifest
from mtg_image_db.common import (
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_MODEL,
    BROWSER_SMALL_MODEL,
    BROWSER_VECTORS,
    BUILD_MANIFEST,
    EXIT_OK,
    SuiteError,
    cached_names,
    require_directory,
    say,
)
from mtg_image_db.console import ArgumentParser, number, script
from mtg_image_db.scryfall.faces import cache_name

WEB = ROOT / "web"
RUNTIME = WEB / "vendor" / "ort.wasm.min.mjs"
PLACES = Path("index_out"), Path("demo_out/index_out")  # the first that holds an index is served
PICTURES = "picture?"  # followed by a picture's address, quoted
HEAD_BYTES = 1 << 16  # of meta.json, more than comes before its cards
COMPACT_FROM = 100_000  # cards: as records, 500,000 take 382 MB, near what a browser can parse
INDEX_FILES = {BROWSER_VECTORS, BROWSER_META, BROWSER_MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES}


class PageHandler(SimpleHTTPRequestHandler):
    """The files of web/ and, beside them, the browser's files of the index and the cached pictures."""
    protocol_version = "HTTP/1.1"

    def __init__(self, *args, index_dir: Path, cache: Path, **options) -> None:
        self.index_dir, self.cache, self.packed = index_dir, cache, False
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        """The file for a request: nothing but what the page is made of. A folder's name stands for none."""
        name, _, query = path.lstrip("/").partition("?")
        name = name or "index.html"
        self.packed = False
        if name == PICTURES.rstrip("?"):
            return str(self.cache / cache_name(unquote(query)))
        if name not in INDEX_FILES:
            files = {file.relative_to(WEB).as_posix(): str(file) for file in WEB.rglob("*") if file.is_file()}
            return files.get(name, str(WEB / "none"))
        packed = self.index_dir / f"{name}.gz"
        self.packed = packed.exists() and "gzip" in self.headers.get("Accept-Encoding", "")
        return str(packed if self.packed else self.index_dir / name)

    def guess_type(self, path: str) -> str:
        return super().guess_type(str(path).removesuffix(".gz"))

    def end_headers(self) -> None:
        if self.packed:
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Vary", "Accept-Encoding")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/", "/index.html"):
            return super().do_GET()
        page = (WEB / "index.html").read_bytes()
        if self.cache.is_dir():
            page = page.replace(b"<body>", f'<body data-pictures="{PICTURES}">'.encode())
        self.packed = False
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return None

    def log_message(self, *_: object) -> None:
        """Nothing: a line a picture would bury what was said."""


class PageServer(ThreadingHTTPServer):
    """A thread a connection; a browser that closes one in the middle is no error."""

    def handle_error(self, *request: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*request)


def export_what_is_missing(index_dir: Path, cache: Path) -> None:
    """Write the browser's files where there are none of this build; without the model where it cannot be had."""
    head, with_model = _head(index_dir / BROWSER_META), bool(cached_names(cache))
    if _is_current(index_dir, head) and ("embedding" in head or not with_model):
        return
    built = load_manifest(index_dir)["statistics"]["successful_embeddings"]
    compact = head["version"] == COMPACT_FORMAT if head else built > COMPACT_FROM
    try:
        export(index_dir, index_dir, compact, cache if with_model else None)
    except SuiteError as error:
        if not with_model or error.category not in ("Build Error", "Configuration Error"):
            raise
        say(str(error))
        export(index_dir, index_dir, compact)


def _is_current(index_dir: Path, head: dict) -> bool:
    """Whether meta.json is no older than the build, and the files it speaks of have their sizes."""
    if not head or (index_dir / BROWSER_META).stat().st_mtime < (index_dir / BUILD_MANIFEST).stat().st_mtime:
        return False
    rows, dimension = head["shape"]
    others = [*head["embedding"]["models"], head["recognition"]["hashes"]] if "embedding" in head else []
    sizes = {BROWSER_VECTORS: rows * dimension, **{one["file"]: one["bytes"] for one in others}}
    return all((index_dir / name).exists() and (index_dir / name).stat().st_size == size
               for name, size in sizes.items())


def _head(meta: Path) -> dict:
    """What meta.json says before its cards, which may be 400 MB; nothing where there is no such file."""
    if not meta.exists():
        return {}
    with open(meta, "rb") as file:
        head = re.split(rb',"(?:records|columns)":', file.read(HEAD_BYTES))[0]
    try:
        return orjson.loads(head + b"}")
    except orjson.JSONDecodeError:
        return {}


def start(index_dir: Path, cache: Path, port: int) -> PageServer:
    """A server of the page, bound to this machine; port 0 takes any. Raises SuiteError where the port is taken."""
    handler = functools.partial(PageHandler, index_dir=index_dir, cache=cache)
    try:
        return PageServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise SuiteError("Configuration Error", "the port cannot be used", f"--port {port}: {error.strerror}",
                         f"Use another: --port {port + 1}.") from error


def show(address: str) -> None:
    """Open the page where this machine has a screen; else a text browser might take over the terminal."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


@script
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    there = next((place for place in PLACES if (place / BUILD_MANIFEST).exists()), PLACES[0])
    parser.add_argument("--index-dir", type=Path, default=there, metavar="DIR",
                        help=f"where the build wrote (default: {PLACES[0]}, or {PLACES[1]} where there is no other)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="the downloaded pictures (default: image_cache beside the index)")
    parser.add_argument("--port", type=number(int, 0, 65535), default=8000, metavar="N",
                        help="0 to 65535, 0 takes a free one (default: 8000)")
    args = parser.parse(argv)
    require_directory(args.index_dir, "index", "Run make demo, or make download and make embed, first.")
    load_manifest(args.index_dir)
    cache = args.cache or args.index_dir.resolve().parent / "image_cache"
    if args.cache:
        require_directory(cache, "cache", "Leave out --cache: Scryfall's pictures are shown then.")
    export_what_is_missing(args.index_dir, cache)
    if "embedding" not in _head(args.index_dir / BROWSER_META):
        say("The index was exported without its model: the page searches names, not pictures.")
    elif not RUNTIME.exists():
        say("The program that runs the model is not in web/vendor: `make web` puts it there. Until then the page "
            "searches names, not pictures.")
    with start(args.index_dir, cache, args.port) as server:
        address = f"http://localhost:{server.server_port}"
        say(f"The cards of {args.index_dir} are at {address} (Ctrl-C ends this).")
        show(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
