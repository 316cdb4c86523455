"""The page over HTTP: the files of web/, the browser's files of an index, and the cached pictures.

    routes = [Route("/{name:path}", page_of(site))]

Reads   web/, the browser's files of the index, and the pictures in the cache, instead of Scryfall's
Writes  nothing
"""
from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from mtg_image_db.artefacts import (
    BROWSER_ART,
    BROWSER_HASHES,
    BROWSER_META,
    BROWSER_NETWORKS,
    BROWSER_PRINTINGS,
    BROWSER_SMALL_MODEL,
    BROWSER_TEXT,
    BROWSER_VECTORS,
    MODEL,
    cache_name,
)
from mtg_image_db.browser.site import Site

PICTURE = "picture"  # with a picture's quoted address as the query
INDEX_FILES = {BROWSER_VECTORS, BROWSER_ART, BROWSER_META, MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES,
               BROWSER_PRINTINGS, *BROWSER_NETWORKS, *BROWSER_TEXT}
# Not as this machine's settings say: a browser runs no module of another type.
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".css": "text/css",
         ".html": "text/html", ".json": "application/json", ".svg": "image/svg+xml", ".jpg": "image/jpeg",
         ".png": "image/png", ".webp": "image/webp", ".webmanifest": "application/manifest+json"}
HEADERS = {
    "Cache-Control": "no-cache",  # ask each time: an export replaces the files
    # Browsers give threads to pages with these two only. Card pictures of other sites are asked for without cookies.
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "credentialless"}
# Of the worker and of its threads: the page's own policy, in index.html, is not theirs. OpenCV.js makes functions of
# text, so it needs 'unsafe-eval'.
WORKER_HEADERS = {"Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self'"}
WORKERS = {"worker.js", "vendor/ort-wasm-simd-threaded.mjs"}


def page_of(site: Site) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of everything that is no API. A folder's name gives nothing."""
    of_page = {file.relative_to(site.web).as_posix(): file for file in site.web.rglob("*")
               if file.is_file() and "node_modules" not in file.parts}

    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name in ("", "index.html"):
            return _start_page(request, site)
        if name == PICTURE:
            return _file(request, site.cache / cache_name(unquote(request.url.query)))
        if name not in INDEX_FILES:
            headers = WORKER_HEADERS if name in WORKERS else None
            return _file(request, of_page.get(name, site.web / "none"), headers)
        packed = site.exported / f"{name}.gz"
        if "gzip" in request.headers.get("Accept-Encoding", "") and packed.exists():
            return _file(request, packed, {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
        return _file(request, site.exported / name)

    return page


def _start_page(request: Request, site: Site) -> Response:
    html = (site.web / "index.html").read_text()
    if site.cache.is_dir():
        html = html.replace("<body>", f'<body data-pictures="{PICTURE}?">')
    headers = HEADERS | {"ETag": f'"{hashlib.sha256(html.encode()).hexdigest()[:16]}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, headers=headers)


def _file(request: Request, path: Path, headers: dict[str, str] | None = None) -> Response:
    """The file. 304 if the browser has this very file. Its time alone does not tell: an older file may replace it."""
    try:
        status = path.stat()
    except OSError:
        return PlainTextResponse("Not found", 404)
    headers = HEADERS | (headers or {}) | {"ETag": f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return FileResponse(path, headers=headers, media_type=TYPES.get(suffix, "application/octet-stream"))
