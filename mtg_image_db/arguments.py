"""The arguments of every script: the parser and its help page, argument types, and flags that several scripts share.

    parser = ArgumentParser(__doc__)
    parser.group("network").add_argument("--workers", type=number(int, 1, 128), default=16)
    args = parser.parse(argv)

Reads and writes  nothing
"""
from __future__ import annotations

import argparse
import difflib
import itertools
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from mtg_image_db.console import SuiteError, command
from mtg_image_db.version import __version__

COLUMNS = 80
# In the order of the help page.
GROUPS = "which cards", "words instead of cards to name", "network", "model", "index", "output", "run"
CACHE, OUT = Path("image_cache"), Path("index_out")


def cache_beside(index_dir: Path) -> Path:
    """The cache that usually belongs to an index: image_cache/ beside its folder."""
    return index_dir.resolve().parent / CACHE


class Refused(str):
    """A value that an argument type refused. The text is the sentence that says why."""


class ArgumentParser(argparse.ArgumentParser):
    """argparse with a help page of 80 columns. It reports all invalid arguments of a call as one SuiteError.

    doc is the script's docstring. Its first line becomes the summary, and its indented line becomes the example.
    """

    def __init__(self, doc: str | None, positional: str = "") -> None:
        summary, *paragraphs = (doc or "").strip().split("\n\n")
        example = next((part for part in paragraphs if part.startswith("    ")), "")
        super().__init__(prog=f"python {sys.argv[0]}", usage=f"%(prog)s [options]{positional}", allow_abbrev=False,
                         description=textwrap.fill(summary, COLUMNS - 2), epilog=f"example:\n{example}",
                         formatter_class=argparse.RawDescriptionHelpFormatter)
        self._groups = {title: self.add_argument_group(title) for title in GROUPS}
        self.add_argument("--version", action="version", version=f"mtg-image-db {__version__}",
                          help="print the version and exit")

    def group(self, title: str) -> argparse._ArgumentGroup:
        """The group of flags with this title (one of GROUPS). A group without flags is not shown."""
        return self._groups[title]

    def error(self, message: str) -> NoReturn:
        self._refuse([message])

    def parse(self, argv: list[str] | None,
              check: Callable[[argparse.Namespace], Iterable[str]] | None = None) -> argparse.Namespace:
        """Parse and return the arguments. check yields a sentence for each combination that is invalid.

        Raises SuiteError with all invalid arguments.
        """
        args, unknown = self.parse_known_args(argv)
        values = {word for before, word in itertools.pairwise(unknown) if before.startswith("-") and word[:1] != "-"}
        problems = [f"{word}: no such argument{self._did_you_mean(word)}" for word in unknown if word not in values]
        shown = {action.dest: action.option_strings[-1] if action.option_strings else action.metavar
                 for action in self._actions}
        for name, value in vars(args).items():
            refused = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Refused)]
            problems += [f"{shown[name]} {item}" for item in refused]
            if refused:  # check must not see refused values
                setattr(args, name, self.get_default(name))
        problems += check(args) if check else ()
        if problems:
            self._refuse(problems)
        return args

    def _did_you_mean(self, word: str) -> str:
        """The flag that looks like an unknown word. Empty if there is none."""
        flag = word.partition("=")[0]
        flags = [flag for action in self._actions for flag in action.option_strings]
        longer = [known for known in flags if known.startswith(f"{flag}-")]
        close = longer or difflib.get_close_matches(flag, flags, 1, 0.75)
        return f"; did you mean {close[0]}?" if close else ""

    def _refuse(self, problems: list[str]) -> NoReturn:
        raise SuiteError("Invalid Arguments", f"{len(problems)} invalid argument{'s' * (len(problems) > 1)}",
                         "; ".join(problems),
                         f"{command(sys.argv[0], '--help')} lists every flag and its range.")


def number(kind: type[int] | type[float], low: float, high: float | None = None) -> Callable[[str], Any]:
    """Argument type: an int or a float from low to high (None: no upper limit)."""
    span = f"at least {low}" if high is None else f"from {low} to {high}"
    noun = "a whole number" if kind is int else "a number"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            return Refused(f"{text}: must be {noun} {span}")
        fits = low <= value and (high is None or value <= high) and value != float("inf")
        return value if fits else Refused(f"{text}: must be {noun} {span}")
    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Argument type: one of the words."""
    return lambda text: text if text in choices else Refused(f"{text}: must be one of {', '.join(choices)}")


def directory(text: str) -> Path | Refused:
    """Argument type: a directory that exists or can be made."""
    return Refused(f"{text}: is a file, not a directory") if Path(text).is_file() else Path(text)


def output_file(text: str) -> Path | Refused:
    """Argument type: a file that can be written, so that a mistake is told before the work."""
    path = Path(text)
    if not path.parent.is_dir():
        return Refused(f"{text}: the folder {path.parent} does not exist")
    if path.is_dir():
        return Refused(f"{text}: is a directory")
    replaced = path.is_file() or not path.exists()  # else a device or a pipe
    writable = os.access(path.resolve().parent if replaced else path, os.W_OK)
    return path if writable else Refused(f"{text}: you may not write there")


def existing_file(text: str) -> Path | Refused:
    """Argument type: a file that exists."""
    path = Path(text)
    return path if path.is_file() else Refused(f"{text}: {'is a directory' if path.is_dir() else 'no such file'}")


def picture_source(text: str) -> str | Refused:
    """Argument type: a file or folder that exists, or - for a list of files on stdin."""
    return text if text == "-" or Path(text).is_file() or Path(text).is_dir() else Refused(f"{text}: no such file")


def web_address(text: str) -> str | Refused:
    """Argument type: the http or https address of a server."""
    try:
        parts = urlsplit(text)
        complete = parts.scheme in ("http", "https") and (parts.hostname or ".")[0] not in ".*" and parts.port != 0
    except ValueError:
        complete = False
    return text if complete else Refused(f"{text}: must be an http:// or https:// address")


def web_origin(text: str) -> str | Refused:
    """Argument type: the origin of a page, as browsers send it: scheme, host and port."""
    address = web_address(text.rstrip("/"))
    if isinstance(address, Refused) or urlsplit(address).path or urlsplit(address).query:
        return Refused(f"{text}: must be an origin, such as https://example.com")
    return address.lower()


def header_text(text: str) -> str | Refused:
    """Argument type: text that an HTTP header can carry."""
    return text if text.isascii() and text.isprintable() else Refused(f"{text}: must be printable ASCII text")


# Flags that several scripts share

def add_index_flag(parser: ArgumentParser) -> None:
    """--index-dir: a finished index."""
    parser.add_argument("--index-dir", type=Path, default=OUT, metavar="DIR",
                        help="where the build wrote (default: index_out)")


def add_source_flags(parser: ArgumentParser, kinds: Collection[str], image_sizes: Collection[str],
                     printings: Collection[str]) -> None:
    """Add the flags that select faces. They are the same for every script that reads a bulk file."""
    cards = parser.group("which cards")
    cards.add_argument("--kind", type=one_of(*kinds), default=next(iter(kinds)), metavar="KIND",
                       help=f"which bulk file: {', '.join(kinds)} (default: {next(iter(kinds))})")
    cards.add_argument("--limit", type=number(int, 1), metavar="N", help="only the first N faces (default: all)")
    cards.add_argument("--image-size", type=one_of(*image_sizes), default="normal", metavar="KEY",
                       help=f"which picture of a card: {', '.join(image_sizes)} (default: normal)")
    cards.add_argument("--bulk-file", type=existing_file, metavar="PATH",
                       help="a local bulk file to read instead: JSON Lines or JSON, plain or packed (docs/download.md)")
    cards.add_argument("--include-placeholders", action="store_true",
                       help="include cards without a scan")
    cards.add_argument("--printings", type=one_of(*printings), default=next(iter(printings)), metavar="KIND",
                       help="which bulk file lists the printings of each artwork: "
                            f"{', '.join(printings)} (default: {next(iter(printings))})")
    cards.add_argument("--cache", type=directory, default=CACHE, metavar="DIR",
                       help="where pictures and bulk files are kept (default: image_cache)")


def add_run_flags(parser: ArgumentParser) -> None:
    """Add the last group of flags. They are the same for every script that downloads or builds."""
    run = parser.group("run")
    run.add_argument("--out", type=directory, default=OUT, metavar="DIR",
                     help="where results and manifests are written (default: index_out)")
    run.add_argument("--no-lock", action="store_true",
                     help="for a file system without locks: do not look for other runs in these folders")
    run.add_argument("--strict", action="store_true", help="exit with 4 if any picture failed")
