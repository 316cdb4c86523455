"""Serve the page that searches an index in a browser, and the service that names cards for other programs.

    python scripts/serve.py --index-dir index_out

Files that the page needs are exported first, if they are missing or not of this index.
Reads   web/, the index and its browser's files in <index-dir>, and the pictures in <cache>, instead of Scryfall's
Writes  the browser's files in <index-dir>, if they are missing or not of this index; in a temporary folder if
        <index-dir> cannot be written. With --https, a certificate in this user's folder (certificate.py)
"""
from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mtg_image_db
from mtg_image_db.arguments import OUT, ArgumentParser, cache_beside, number, one_of, web_origin
from mtg_image_db.artefacts import BUILD_MANIFEST, MODEL, load_manifest
from mtg_image_db.browser.addresses import (
    EVERYWHERE,
    LOOPBACK,
    is_this_machine_only,
    names_of,
    reached_host,
    show_code,
    shown_host,
)
from mtg_image_db.browser.site import Site, export_for, has_model, needs_export
from mtg_image_db.console import EXIT_OK, SuiteError, entry_point, require_directory, say, unwritable
from mtg_image_db.recognition.card_reader import AUTO, READ
from mtg_image_db.recognition.open_index import OpenIndex

WEB = ROOT / "web"
RUNTIME = WEB / "vendor" / "ort.wasm.min.mjs"
PLACES = OUT, Path("demo_out/index_out")  # the first folder that holds an index is served


def show(address: str) -> None:
    """Open the page in a browser, if this machine has a screen. Otherwise a text browser might take the terminal."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def exported(site: Site, manifest: dict[str, Any], opened: contextlib.ExitStack) -> Site:
    """The site with its browser's files, which are written if needed: beside the index, or in a temporary folder if
    that cannot be written."""
    if not needs_export(site, manifest):
        return site
    if unwritable(site.index_dir) is not None:
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="mtg-page-"))
        say(f"{site.index_dir} cannot be written: the page's files are in {folder} until this ends.")
        site = replace(site, exported=Path(folder))
    export_for(site, manifest)
    return site


def opened_index(index_dir: Path, read: str) -> OpenIndex | None:
    """The index with its model. None if it cannot name cards: then only the page is served, which is said."""
    try:
        index = mtg_image_db.open_index(index_dir, read=read)
        index.load_model()
    except SuiteError as error:
        say(f"The service is not there, only the page.\n{error}")
        return None
    return index


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    default = next((place for place in PLACES if (place / BUILD_MANIFEST).exists()), PLACES[0])
    parser.add_argument("--index-dir", type=Path, default=default, metavar="DIR",
                        help=f"where the build wrote (default: {PLACES[0]}, or {PLACES[1]} if there is no other)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="the downloaded pictures (default: image_cache beside the index)")
    parser.add_argument("--read", type=one_of(*READ), default=AUTO, metavar="HOW",
                        help="auto: printed text is read where it decides something; off: never (default: auto)")
    parser.add_argument("--host", default=LOOPBACK, metavar="HOST",
                        help=f"where to listen: {LOOPBACK} for this machine only, {EVERYWHERE} for a container or for "
                             f"other devices in your network (default: {LOOPBACK})")
    parser.add_argument("--port", type=number(int, 0, 65535), default=8000, metavar="N",
                        help="0 to 65535, 0 takes a free one (default: 8000)")
    parser.add_argument("--https", action="store_true",
                        help="encrypted, with a certificate of this machine's own: browsers of other devices allow the "
                             "camera with https only")
    parser.add_argument("--allow-origin", type=web_origin, action="append", default=[], metavar="ORIGIN",
                        help="a page of another site that may use the service: https://example.com (default: none)")
    args = parser.parse(argv)
    from mtg_image_db.browser.server import application, bound, serve  # the HTTP server: 0.3 s

    if args.https:
        from mtg_image_db.browser.certificate import certificate_for, user_folder

    require_directory(args.index_dir, "index", "Run make demo, or make download and make embed, first.")
    manifest = load_manifest(args.index_dir)
    cache = args.cache or cache_beside(args.index_dir)
    if args.cache:
        require_directory(cache, "cache", "Leave out --cache: Scryfall's pictures are shown then.")
    host = args.host or LOOPBACK
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(bound(host, args.port))  # before the export, which may take a minute
        site = exported(Site(WEB, args.index_dir, cache, args.index_dir, args.read == AUTO), manifest, opened)
        if not has_model(site):
            why = "" if cache.is_dir() else f", because {cache} does not exist (--cache names another)"
            why = why if MODEL in manifest["outputs"] else f": it has no {MODEL}. The next build writes it"
            say(f"The index was exported without its model{why}. The page searches names, not pictures.")
        elif not RUNTIME.exists():
            say("The programs that the page runs are not in web/vendor. `make web` puts them there. Until then, the "
                "page finds cards by words without typos. It names no pictures and keeps no lists.")
        index = opened_index(args.index_dir, args.read)
        names, reached = names_of(host), reached_host(host)
        kept = certificate_for(names, reached, user_folder()) if args.https else None
        scheme, port = "https" if kept else "http", listening.getsockname()[1]
        address, elsewhere = f"{scheme}://{shown_host(host)}:{port}", f"{scheme}://{reached}:{port}"
        app = application(site, index, names, args.allow_origin, kept.authority if kept else b"")
        try:
            if not is_this_machine_only(host):
                say(f"Other devices in your network open {elsewhere}. Anyone in that network can."
                    + " Their browsers warn first: docs/scanner.md says what to tap." * bool(kept))
                show_code(elsewhere)
            say(f"The cards of {args.index_dir} are at {address} (Ctrl-C ends this)."
                + f" For programs: {address}/api" * bool(index))
            show(address)
            serve(app, listening, kept.server if kept else None)
        except KeyboardInterrupt:
            say("Stopped.")
    sys.stderr.flush()
    os._exit(EXIT_OK)  # a photo that is still being named would hold the process, or end it with an error of C++


if __name__ == "__main__":
    sys.exit(main())
