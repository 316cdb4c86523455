"""The command line's side of every script: argument types and their errors, exit codes, progress.

stdout is for results; everything here writes to stderr.
"""
from __future__ import annotations

import argparse
import datetime
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from mtg_image_db.common import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OK, SuiteError, disk_error, say

PROGRESS_SECONDS = 5.0


def _silence_stdout() -> None:
    """What is still unwritten goes nowhere: the interpreter would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end_at_second_signal() -> None:
    """End the process at the second Ctrl-C or SIGTERM, also while the main thread is in native code, where
    Python's own handlers wait: the system's handler writes each signal's number into a pipe at once."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)

    def watch() -> None:
        for _ in range(2):
            os.read(read, 1)
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


def script(main: Callable[..., int]) -> Callable[..., int]:
    """Turn what ends a script early into three lines on stderr and the contract's exit code.

    SIGTERM counts as Ctrl-C; a second signal ends the process at once.
    """
    def on_signal(*_: object) -> NoReturn:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGTERM, on_signal)
        _end_at_second_signal()
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets every name
        try:
            code = main(argv)
            sys.stdout.flush()  # here, where a closed pipe or a full disk is handled
            return code
        except SuiteError as error:
            say(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            say("Interrupted. The same command continues where this one stopped.")
            return EXIT_INTERRUPTED
        except BrokenPipeError:  # `query_index.py ... | head` is not an error
            _silence_stdout()
            return EXIT_OK
        except MemoryError:
            say(str(SuiteError("Build Error", "the machine has too little memory for this", "out of memory",
                               "Use a smaller --batch, --size or --workers.")))
            return EXIT_ERROR
        except OSError as error:
            _silence_stdout()
            say(str(disk_error(error)))
            return EXIT_ERROR
    return run


class Refused(str):
    """Stands in the namespace for a value an argument type refused: the sentence that says why."""


class ArgumentParser(argparse.ArgumentParser):
    """argparse with every invalid argument of a call reported together, as one SuiteError."""

    def __init__(self, doc: str | None) -> None:
        self._shown: dict[str, str] = {}
        super().__init__(prog=sys.argv[0], description=doc, allow_abbrev=False,
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self._shown[action.dest] = action.option_strings[-1] if action.option_strings else str(action.metavar)
        return action

    def error(self, message: str) -> NoReturn:
        self._refuse([message])

    def parse(self, argv: list[str] | None,
              check: Callable[[argparse.Namespace], Iterable[str]] | None = None) -> argparse.Namespace:
        """The arguments; check yields a sentence for each combination that makes no sense."""
        args, unknown = self.parse_known_args(argv)
        problems = [f"{word}: no such argument" for word in unknown]
        for name, value in vars(args).items():
            refused = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, Refused)]
            problems += [f"{self._shown[name]} {item}" for item in refused]
            if refused:  # so that check sees values that make sense
                setattr(args, name, self.get_default(name))
        problems += check(args) if check else ()
        if problems:
            self._refuse(problems)
        return args

    def _refuse(self, problems: list[str]) -> NoReturn:
        raise SuiteError("Invalid Arguments", f"{len(problems)} invalid argument{'s' * (len(problems) > 1)}",
                         "; ".join(problems), f"python {self.prog} --help lists every flag and its range.")


def number(kind: type, low: float, high: float | None = None) -> Callable[[str], Any]:
    """Argument type: an int or float from low to high (None: no upper end)."""
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
    """Argument type: a directory, there or to be made."""
    return Refused(f"{text}: is a file, not a directory") if Path(text).is_file() else Path(text)


def web_address(text: str) -> str | Refused:
    """Argument type: the http or https address of a server."""
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and (parts.hostname or ".")[0] not in ".*" and parts.port != 0
    except ValueError:
        whole = False
    return text if whole else Refused(f"{text}: must be an http:// or https:// address")


def existing_file(text: str) -> Path | Refused:
    """Argument type: a file that is there."""
    path = Path(text)
    return path if path.is_file() else Refused(f"{text}: {'is a directory' if path.is_dir() else 'no such file'}")


class Progress:
    """A tqdm bar on a terminal; elsewhere a plain line every few seconds."""

    def __init__(self, label: str, total: int, unit: str = "images") -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self.started = self.last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm
            self._bar = tqdm(total=total, desc=label, unit=f" {unit}", dynamic_ncols=True, smoothing=0.05)

    def update(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(count)
        elif now - self.last_line >= PROGRESS_SECONDS:
            self.last_line = now
            rate = self.done / (now - self.started)
            left = datetime.timedelta(seconds=round((self.total - self.done) / rate)) if rate else "N/A"
            say(f"{self.label}: {self.done:,}/{self.total:,} {self.unit}, {rate:,.1f}/s, {left} left")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
