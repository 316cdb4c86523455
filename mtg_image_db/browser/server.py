"""The server of the page: the files of web/, the browser's files of an index, and the cached pictures.

    if needs_export(site, manifest): export_for(site, manifest)
    with start(site, "127.0.0.1", port=8000) as server:
        server.serve_forever()

Reads   web/, the browser's files of the index, and the pictures in <cache>, instead of Scryfall's
Writes  the browser's files in site.exported, if they are missing or old (export.py)
"""
from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mtg_image_db.artefacts import (
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_SMALL_MODEL,
    BROWSER_VECTORS,
    MODEL,
    cache_name,
)
from mtg_image_db.browser.export import COLUMNS_FORMAT, ExportOptions, export
from mtg_image_db.browser.freshness import exported_head, is_current
from mtg_image_db.console import SuiteError, say
from mtg_image_db.scryfall.image_cache import cached_names

PICTURE_PATH = "picture?"  # followed by a picture's quoted address
COMPACT_FROM = 100_000  # cards. In records, 500,000 cards take 382 MB, which is close to what a browser can parse
INDEX_FILES = {BROWSER_VECTORS, BROWSER_META, MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES}


@dataclass(frozen=True)
class Site:
    """The folders that are served: the page's files, the index, the card pictures, which may be missing, and the
    browser's files of the index."""
    web: Path
    index_dir: Path
    cache: Path
    exported: Path


@functools.cache
def page_files(web: Path) -> dict[str, str]:
    """The files of the page, by the name in a request."""
    return {file.relative_to(web).as_posix(): str(file) for file in web.rglob("*")
            if file.is_file() and "node_modules" not in file.parts}


class PageHandler(SimpleHTTPRequestHandler):
    """Serves the files of web/, the browser's files of the index, and the cached pictures."""
    protocol_version = "HTTP/1.1"
    # Not as this machine's settings say: a browser runs no module of another type, and Windows often says text/plain.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css",
        ".html": "text/html", ".json": "application/json", ".svg": "image/svg+xml", ".jpg": "image/jpeg",
        ".png": "image/png", ".webp": "image/webp"}

    def __init__(self, *args: Any, site: Site, **options: Any) -> None:
        self.site, self.packed, self.etag = site, False, ""
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        """The file for a request. Only files of the page are served. A folder's name gives nothing."""
        name, _, query = path.lstrip("/").partition("?")
        name = name or "index.html"
        self.packed = False
        if name == PICTURE_PATH.rstrip("?"):
            return str(self.site.cache / cache_name(unquote(query)))
        if name not in INDEX_FILES:
            return page_files(self.site.web).get(name, str(self.site.web / "none"))
        packed = self.site.exported / f"{name}.gz"
        self.packed = packed.exists() and "gzip" in self.headers.get("Accept-Encoding", "")
        return str(packed if self.packed else self.site.exported / name)

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return super().guess_type(str(path).removesuffix(".gz"))

    def end_headers(self) -> None:
        if self.packed:
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Vary", "Accept-Encoding")
        if self.etag:
            self.send_header("ETag", self.etag)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/", "/index.html"):
            super().do_GET()
            return
        page = (self.site.web / "index.html").read_bytes()
        if self.site.cache.is_dir():
            page = page.replace(b"<body>", f'<body data-pictures="{PICTURE_PATH}">'.encode())
        self.packed, self.etag = False, ""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def send_head(self) -> Any:
        """Answer a GET or HEAD of a file. 304 if the browser has this very file. Its time alone does not tell: an older
        file may replace it."""
        self.etag = ""
        with contextlib.suppress(OSError):  # there may be no such file
            status = Path(self.translate_path(self.path)).stat()
            self.etag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
        del self.headers["If-Modified-Since"]
        if self.etag and self.headers.get("If-None-Match") == self.etag:
            self.send_response(304)
            self.end_headers()
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        """Print nothing: a line for each picture would hide the other messages."""


class PageServer(ThreadingHTTPServer):
    """Uses a thread for each connection. If a browser closes a connection early, that is not an error."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def needs_export(site: Site, manifest: dict[str, Any]) -> bool:
    """True if the browser's files are missing, damaged, not of this build, or without the model although there are
    pictures to measure it on. manifest is the build's."""
    if not is_current(site.exported, manifest):
        return True
    return not has_model(site) and can_export_model(site, manifest)


def export_for(site: Site, manifest: dict[str, Any]) -> None:
    """Write the browser's files. If the model cannot be exported, it is left out. Raises SuiteError."""
    head, with_model = exported_head(site.exported), can_export_model(site, manifest)
    compact = head["version"] == COLUMNS_FORMAT if head else \
        manifest["statistics"]["successful_embeddings"] > COMPACT_FROM
    options = ExportOptions(site.index_dir, site.exported, compact, site.cache if with_model else None)
    try:
        export(options, manifest)
    except SuiteError as error:
        if not with_model or error.category not in ("Build Error", "Configuration Error"):
            raise
        say(str(error))
        export(replace(options, cache=None), manifest)


def can_export_model(site: Site, manifest: dict[str, Any]) -> bool:
    """True if the index has its model as ONNX, and there are pictures to measure it on."""
    return MODEL in manifest["outputs"] and bool(cached_names(site.cache))


def has_model(site: Site) -> bool:
    """True if the exported files include the model."""
    return "embedding" in exported_head(site.exported)


def check_address(host: str, port: int) -> None:
    """Raise SuiteError if the address cannot be listened on."""
    with _address_errors(host, port), socket.create_server((host, port)):
        pass


def start(site: Site, host: str, port: int) -> PageServer:
    """Bind the page's server. host 127.0.0.1 serves this machine only, 0.0.0.0 the whole network. Port 0 takes a free
    one. Raises SuiteError if the address cannot be used."""
    with _address_errors(host, port):
        return PageServer((host, port), functools.partial(PageHandler, site=site))


@contextlib.contextmanager
def _address_errors(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise SuiteError("Configuration Error", "the address cannot be used",
                         f"--host {host} --port {port}: {error.strerror}",
                         f"Use another: --port {port % 65535 + 1}." if taken else
                         "Use --host 127.0.0.1, --host 0.0.0.0 or an address of this machine.") from error


def network_name() -> str:
    """This machine's address in its network. localhost if it has none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("10.255.255.255", 1))  # UDP: only chooses the network card
        return str(probe.getsockname()[0])
    return "localhost"
