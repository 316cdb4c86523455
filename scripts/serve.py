"""Serve the page that searches an index in a browser.

    python scripts/serve.py --index-dir index_out

Files that the page needs are exported first, if they are missing or not of this index.
Reads   web/, the browser's files in <index-dir>, and the pictures in <cache>, instead of Scryfall's
Writes  the browser's files in <index-dir>, if they are missing or not of this index; in a temporary folder if
        <index-dir> cannot be written
"""
from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mtg_image_db.arguments import OUT, ArgumentParser, number
from mtg_image_db.artefacts import BUILD_MANIFEST, load_manifest
from mtg_image_db.browser.freshness import is_current
from mtg_image_db.browser.server import Site, export_what_is_missing, network_name, start
from mtg_image_db.console import EXIT_OK, entry_point, require_directory, say, unwritable

WEB = ROOT / "web"
RUNTIME = WEB / "vendor" / "ort.wasm.min.mjs"
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
PLACES = OUT, Path("demo_out/index_out")  # the first folder that holds an index is served


def show(address: str) -> None:
    """Open the page in a browser, if this machine has a screen. Otherwise a text browser might take the terminal."""
    if sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


@contextlib.contextmanager
def export_folder(index_dir: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """The folder for the browser's files: the index's own, or a temporary one if that cannot be written."""
    if unwritable(index_dir) is None or is_current(index_dir, manifest):
        yield index_dir
        return
    with tempfile.TemporaryDirectory(prefix="mtg-page-") as folder:
        say(f"{index_dir} cannot be written: the page's files are in {folder} until this ends.")
        yield Path(folder)


@entry_point
def main(argv: list[str] | None = None) -> int:
    parser = ArgumentParser(__doc__)
    default = next((place for place in PLACES if (place / BUILD_MANIFEST).exists()), PLACES[0])
    parser.add_argument("--index-dir", type=Path, default=default, metavar="DIR",
                        help=f"where the build wrote (default: {PLACES[0]}, or {PLACES[1]} if there is no other)")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="the downloaded pictures (default: image_cache beside the index)")
    parser.add_argument("--host", default=LOOPBACK, metavar="HOST",
                        help=f"where to listen: {LOOPBACK} for this machine only, {EVERYWHERE} for a container or for "
                             f"other devices in your network (default: {LOOPBACK})")
    parser.add_argument("--port", type=number(int, 0, 65535), default=8000, metavar="N",
                        help="0 to 65535, 0 takes a free one (default: 8000)")
    args = parser.parse(argv)
    require_directory(args.index_dir, "index", "Run make demo, or make download and make embed, first.")
    manifest = load_manifest(args.index_dir)
    cache = args.cache or args.index_dir.resolve().parent / "image_cache"
    if args.cache:
        require_directory(cache, "cache", "Leave out --cache: Scryfall's pictures are shown then.")
    with contextlib.ExitStack() as opened:
        site = Site(WEB, args.index_dir, cache, opened.enter_context(export_folder(args.index_dir, manifest)))
        if not export_what_is_missing(site, manifest):
            say("The index was exported without its model: the page searches names, not pictures.")
        elif not RUNTIME.exists():
            say("The program that runs the model is not in web/vendor. `make web` puts it there. Until then, the page "
                "searches names, not pictures.")
        server = opened.enter_context(start(site, args.host, args.port))
        address = f"http://localhost:{server.server_port}"
        try:
            if args.host != LOOPBACK:
                name = network_name() if args.host == EVERYWHERE else args.host
                say(f"Other devices in your network open http://{name}:{server.server_port}. Everyone there can.")
            say(f"The cards of {args.index_dir} are at {address} (Ctrl-C ends this).")
            show(address)
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped.")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
