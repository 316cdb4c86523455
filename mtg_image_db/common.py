"""What every script shares: artefact names, exit codes and errors, atomic files, picture decoding.

The one place that opens pictures is here (open_picture), and the one that writes files other
programs read (atomic_file). The network is in http_client.py.
"""
from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import io
import json
import mmap
import os
import platform
import re
import shutil
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")

VERSION = "1.1.0"

EMBEDDINGS, META, INDEX = "mtg_embeddings.npy", "mtg_meta.jsonl", "mtg_cards.faiss"
KEPT, PICTURES, REJECTED = "kept_indices.npy", "mtg_pictures.npy", "rejected.jsonl"
BROWSER_VECTORS, BROWSER_META = "embeddings.i8bin", "meta.json"
BROWSER_MODEL, BROWSER_SMALL_MODEL, BROWSER_HASHES = "model.onnx", "model.int8.onnx", "hashes.bin"
BUILD_MANIFEST, DOWNLOAD_MANIFEST = "build_manifest.json", "download_manifest.json"
DOWNLOAD_CHECKPOINT, DOWNLOAD_FAILURES = "download_checkpoint.json", "download_failures.jsonl"
TEMPORARY_SUFFIX = ".part"
TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, UTC
PICTURE_SUFFIXES = (".jpg", ".png", ".webp")

EXIT_OK, EXIT_ERROR, EXIT_NOTHING, EXIT_NO_DIRECTORY, EXIT_FAILURES, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 100_000_000  # 300 MB decoded; a card has 0.8 million, most phones' photos 12 to 50
# Goes into every vector's fingerprint: raise it when open_picture, embedder.prepare or picture_hash changes what
# it returns.
PREPROCESSING = 3
MAX_PICTURE_BYTES = 64 << 20
READ_BYTES = 1 << 22
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LEFTOVER_SECONDS = 24 * 3600.0  # of a temporary file whose process cannot be asked after
# what atomic_file names its temporary files: .<name>.<machine>-<process>-<thread>.part
_TEMPORARY = re.compile(r"\..+-(\d+)-\d+\.part")


# Errors and exit codes

class SuiteError(Exception):
    """An error a user can cause or meet, printed as three lines; exit_code ends the script."""

    def __init__(self, category: str, what: str, details: object, suggestion: str,
                 exit_code: int = EXIT_ERROR) -> None:
        super().__init__(what)
        self.category, self.exit_code = category, exit_code
        self.lines = (f"ERROR: {category}: {printable(what)}",
                      f"  Details: {printable(details)}",
                      f"  Suggestion: {printable(suggestion)}")

    def __str__(self) -> str:
        return "\n".join(self.lines)


class InvalidContent(Exception):
    """A file or body that is not what it should be; the message is the reason, in words."""


def printable(text: object) -> str:
    """text with control characters escaped: names come from the network, terminals obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(text: str) -> None:
    """Lines for the person at the terminal, above the bar if there is one; control characters escaped."""
    text = "\n".join(map(printable, text.split("\n")))
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def require_directory(path: Path, what: str, suggestion: str, exit_code: int = EXIT_NO_DIRECTORY) -> None:
    if not path.is_dir():
        raise SuiteError("Configuration Error", f"the {what} directory does not exist", path, suggestion, exit_code)


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "N/A"


def per_second(count: float, seconds: float) -> str:
    return f"{count / seconds:,.1f}" if count and seconds > 0 else "N/A"


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime(TIMESTAMP)


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """function of each item, in order, called by threads at most `ahead` items before the result is asked for."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


# Files

@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """A write that fails in this block names path: the system names files it cannot open, not those it cannot fill."""
    try:
        yield
    except OSError as error:
        if type(error) is OSError and error.filename is None:  # no subclass: requests' errors are OSErrors too
            error.filename = str(path)
        raise


@contextlib.contextmanager
def disk_space(needed: Callable[[], float]) -> Iterator[None]:
    """A disk that fills up in this block is a SuiteError that says how many bytes the block needs."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise disk_error(error, needed()) from error


def disk_error(error: OSError, needed: float = 0.0) -> SuiteError:
    """The three lines for a file that could not be read or written; needed is in bytes, 0 where nobody knows."""
    where = f"{error.filename or 'unnamed file'}: {error.strerror or error}"
    if error.errno not in DISK_FULL:
        return SuiteError("Disk Error", "a file could not be read or written", where,
                          "Check that the path exists and that you may write there.")
    space = f", about {needed / 1e6:,.1f} MB are needed" if needed else ""
    with contextlib.suppress(OSError):
        space += f", {shutil.disk_usage(Path(error.filename or '.').parent).free / 1e6:,.1f} MB are free"
    return SuiteError("Disk Error", "the disk is full", where + space,
                      "Free some space, then run the same command again: it continues where it stopped.")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a unique temporary file beside path, to write and read; it replaces path, synced to disk, when the block
    ends well, and is deleted when it does not. A reader sees the old file or the new one whole.
    """
    owner = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{owner}{TEMPORARY_SUFFIX}")
    try:
        with naming(path), open(temporary, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    with atomic_file(path) as handle:
        # surrogateescape: a path that is no UTF-8 is written as the bytes it has
        handle.write(json.dumps(value, indent=2, ensure_ascii=False).encode(errors="surrogateescape") + b"\n")


def read_json(path: Path) -> dict | None:
    """The object in the file, or None where there is no such file or it holds no JSON object."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hex, read a block at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def let_go(array) -> None:
    """Let go of the pages read so far of a numpy array mapped from a file: they count as memory of this
    process, 1 GB for 500,000 vectors of 512."""
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)


def cached_names(cache: Path, clean: bool = False) -> set[str]:
    """The pictures in the cache; a name that exists was written whole. clean deletes what crashed
    writes left, in the same listing of the folder."""
    if not cache.is_dir():
        return set()
    with os.scandir(cache) as entries:
        names = {entry.name for entry in entries if entry.name.endswith((*PICTURE_SUFFIXES, TEMPORARY_SUFFIX))}
    hidden = {name for name in names if name[0] == "." or name.endswith(TEMPORARY_SUFFIX)}
    if clean:
        _delete_abandoned(cache, hidden)
    return names - hidden


def remove_leftovers(folder: Path) -> int:
    """Delete the temporary files of atomic_file whose process ended without doing so. Returns how many."""
    return _delete_abandoned(folder, {path.name for path in folder.glob(f".*{TEMPORARY_SUFFIX}")})


def _delete_abandoned(folder: Path, names: set[str]) -> int:
    deleted = 0
    for path in (folder / name for name in names):
        with contextlib.suppress(OSError):  # another run was faster, or it is not ours to delete
            if _is_abandoned(path):
                path.unlink()
                deleted += 1
    return deleted


def _is_abandoned(path: Path) -> bool:
    """Whether the process that wrote it has left this machine; if it was on another one, whether the file is old."""
    owner = _TEMPORARY.fullmatch(path.name)
    if owner is None:
        return False
    if f".{platform.node()}-{owner[1]}-" not in path.name:
        return time.time() - path.stat().st_mtime > LEFTOVER_SECONDS
    if int(owner[1]) == os.getpid():
        return True  # a process starts clean: the number was another's before
    try:
        os.kill(int(owner[1]), 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


# Pictures

def check_picture(source: Path | bytes, verify: bool = False) -> None:
    """Raise InvalidContent where open_picture would. A JPEG is decoded at an eighth of its size: that
    reads every byte, and costs two thirds."""
    open_picture(source, verify, smallest=True)


def open_picture(source: Path | bytes, verify: bool = False, smallest: bool = False):
    """The whole picture decoded, upright (EXIF), RGB, transparency over white (as Scryfall's JPEGs).

    Returns a PIL.Image.Image. Raises InvalidContent where the bytes are not one whole picture
    of at most MAX_PIXELS; verify adds Pillow's own integrity check (PNG checksums), smallest
    decodes as few pixels as the format allows.
    """
    from PIL import Image, ImageOps

    def opened() -> Image.Image:
        return Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)

    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise InvalidContent("empty file")
    if data[:64].lstrip()[:1] == b"<":
        raise InvalidContent("a web page, not a picture")
    try:
        # of 89 million pixels, of damaged EXIF; catch_warnings would not be safe in threads
        warnings.filterwarnings("ignore", module=r"PIL\.")
        picture = opened()
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        if verify:
            picture.verify()  # leaves the object unusable
            picture = opened()
        if smallest:
            picture.draft(None, (1, 1))
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        return _to_rgb(picture)
    except Image.DecompressionBombError as error:  # Pillow's own limit is 179 million
        raise InvalidContent(f"too many pixels: more than {MAX_PIXELS:,}") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise InvalidContent(reason or type(error).__name__) from error


def _to_rgb(picture):
    from PIL import Image

    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        return picture.point(lambda value: value / 256).convert("L").convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")
