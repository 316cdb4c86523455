"""How a script behaves at a terminal: errors in three lines, exit codes, signals, progress.

    @entry_point
    def main(argv: list[str] | None = None) -> int:
        say("Lines for the person at the terminal.")
        return EXIT_OK

stdout is for results. Everything here writes to stderr.
"""
from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import io
import os
import shlex
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from mtg_image_db.replies import without_credentials

EXIT_OK, EXIT_ERROR, EXIT_NOTHING, EXIT_NO_DIRECTORY, EXIT_FAILURES, EXIT_INTERRUPTED = 0, 1, 2, 3, 4, 130

TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, UTC
PROGRESS_SECONDS = 5.0
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# Errors, and lines for the person at the terminal

class SuiteError(Exception):
    """An error that a user can cause or meet. It is printed as three lines. The script ends with exit_code."""

    def __init__(self, category: str, what: str, details: object, suggestion: str,
                 exit_code: int = EXIT_ERROR) -> None:
        super().__init__(what)
        self.category, self.exit_code = category, exit_code
        self.details, self.suggestion = printable(details), printable(suggestion)

    def __str__(self) -> str:
        return (f"ERROR: {self.category}: {printable(self.args[0])}\n  Details: {self.details}\n"
                f"  Suggestion: {self.suggestion}")


def printable(text: object) -> str:
    """The text with control characters escaped, and without passwords in URLs. Names come from the network, and a
    terminal would obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                   for c in without_credentials(str(text)))


def say(text: str) -> None:
    """Print lines for the user on stderr, above the progress bar if there is one. Does nothing if nobody reads stderr
    any more: the work must go on."""
    text = "\n".join(map(printable, text.split("\n")))
    try:
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
        _discard(sys.stderr)


def command(script: str, *words: object) -> str:
    """The command that runs a script, quoted so that it can be pasted into a shell."""
    return shlex.join(["python", script, *map(str, words)])


def require_directory(path: Path, what: str, suggestion: str, exit_code: int = EXIT_NO_DIRECTORY) -> None:
    if not path.is_dir():
        raise SuiteError("Configuration Error", f"the {what} directory does not exist", path, suggestion, exit_code)


def existing_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def unwritable(folder: Path) -> Path | None:
    """The folder, or the nearest one above it that exists, if it cannot be written. None if it can."""
    place = existing_folder(folder)
    return None if os.access(place, os.W_OK | os.X_OK) else place


def require_writable(folder: Path, flag: str) -> None:
    """Raise SuiteError, before the work, if files cannot be written to the folder."""
    if (place := unwritable(folder)) is not None:
        raise SuiteError("Disk Error", "a folder cannot be written", f"{flag} {folder}: you may not write to {place}",
                         f"Name a folder that you may write to with {flag}.")


@contextlib.contextmanager
def disk_space(needed: Callable[[], float]) -> Iterator[None]:
    """Turn the error of a full disk in this block into a SuiteError. needed() gives the bytes that the block needs."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise disk_error(error, needed()) from error


def disk_error(error: OSError, needed: float = 0.0) -> SuiteError:
    """The SuiteError for a file that could not be read or written. needed is in bytes, 0 if unknown."""
    where = f"{error.filename or 'unnamed file'}: {error.strerror or error}"
    if error.errno not in DISK_FULL:
        return SuiteError("Disk Error", "a file could not be read or written", where,
                          "Check that the path exists and that you may write there.")
    space = f", about {needed / 1e6:,.1f} MB are needed" if needed else ""
    with contextlib.suppress(OSError):
        space += f", {shutil.disk_usage(Path(error.filename or '.').parent).free / 1e6:,.1f} MB are free"
    return SuiteError("Disk Error", "the disk is full", where + space,
                      "Free some space, then run the same command again: it continues where it stopped.")


def percent(part: float, total: float) -> str:
    return f"{100 * part / total:.1f}%" if total else "N/A"


def per_second(count: float, seconds: float) -> str:
    """The rate as the next part of a sentence: ", 12.3/s". Empty if there is none."""
    return f", {count / seconds:,.1f}/s" if count and seconds > 0 else ""


def utc_now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime(TIMESTAMP)


# The script as a process

def entry_point(main: Callable[..., int]) -> Callable[..., int]:
    """Turn errors and signals into three lines on stderr and the documented exit code.

    SIGTERM is handled as Ctrl-C. A second signal ends the process at once.
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
        warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged EXIF, and 89 million pixels or more
        _open_missing_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's is none
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8
        try:
            code = main(argv)
            sys.stdout.flush()  # a closed pipe or a full disk raises here, where it is handled
            return code
        except SuiteError as error:
            say(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            say("Interrupted. The same command continues where this one stopped.")
            return EXIT_INTERRUPTED
        except BrokenPipeError:  # `query_index.py ... | head` is not an error
            _discard(sys.stdout)
            return EXIT_OK
        except MemoryError:
            say(str(SuiteError("Build Error", "the machine has too little memory for this", "out of memory",
                               "Use a smaller --batch, --size or --workers.")))
            return EXIT_ERROR
        except OSError as error:
            _discard(sys.stdout)
            say(str(disk_error(error)))
            return EXIT_ERROR
    return run


def _discard(stream: TextIO) -> None:
    """Discard what the stream holds and will get. Otherwise the interpreter would fail on it again when it ends."""
    with contextlib.suppress(OSError, ValueError):  # a notebook's stream has no file number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_missing_streams() -> None:
    """Replace closed standard streams (cron, a service, `>&-`) with ones that discard.

    Otherwise the next file that is opened would get the number 1 or 2, and what a library prints would go into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python sets a stream that was closed at its start to None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - it stays open
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _end_at_second_signal() -> None:
    """End the process at the second Ctrl-C or SIGTERM, even while the main thread is in native code.

    Python's signal handlers wait until native code returns. The system's handler writes each signal's number into a
    pipe at once, and a thread reads the pipe. Other signals come too, such as SIGCHLD when a process of PyTorch ends.
    They do not count.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)

    def watch() -> None:
        seen = 0
        while seen < 2:
            seen += os.read(read, 1)[0] in (signal.SIGINT, signal.SIGTERM)
        os._exit(EXIT_INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


class Progress:
    """A tqdm bar on a terminal. Elsewhere a plain line every few seconds. shown=False prints nothing."""

    def __init__(self, label: str, total: int, unit: str = "images", shown: bool = True) -> None:
        self.label, self.total, self.unit, self.done, self.shown = label, total, unit, 0, shown
        self.started = self.last_line = time.monotonic()
        self._bar: Any = None
        if shown and total and sys.stderr.isatty():
            from tqdm import tqdm
            self._bar = tqdm(total=total, desc=label, unit=f" {unit}", dynamic_ncols=True, smoothing=0.05)

    def update(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self._bar is not None:
            try:
                self._bar.update(count)
            except OSError:  # the terminal is gone
                _discard(sys.stderr)
        elif self.shown and now - self.last_line >= PROGRESS_SECONDS:
            self.last_line = now
            rate = self.done / (now - self.started)
            left = f", {datetime.timedelta(seconds=round((self.total - self.done) / rate))} left" if rate else ""
            say(f"{self.label}: {self.done:,}/{self.total:,} {self.unit}, {rate:,.1f}/s{left}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
