"""Locks: only one process at a time writes to a folder, and another one is told who does.

    with locked(out / ".build.lock"): ...

Reads and writes  lock files. They stay. The system frees the lock of a process that ends, however it ends
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from mtg_image_db.console import printable, say, utc_now

POLL_SECONDS = 0.05
SAID_AFTER_SECONDS, REMINDER_SECONDS = 0.5, 60.0
# What a file system without locks answers: NFS without its lock service, SMB, some FUSE mounts.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
BUSY = (errno.EAGAIN, errno.EACCES)
HOLDER_BYTES = 200


class HeldElsewhere(Exception):
    """Another process holds the lock. The message names the process."""


@contextlib.contextmanager
def locked(path: Path, wait: float = 0.0, use: bool = True) -> Iterator[None]:
    """Hold the lock during the block. wait is the number of seconds to wait for another process that holds it; a line
    on stderr says so. use=False (--no-lock) locks nothing. A file system without locks is said once, and the work goes
    on.

    Raises HeldElsewhere after that time.
    """
    if not use:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(descriptor, path, wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, wait: float) -> None:
    started, reminder = time.monotonic(), SAID_AFTER_SECONDS
    while not _acquired(descriptor, path):
        waited = time.monotonic() - started
        if waited >= wait:
            raise HeldElsewhere(_holder(descriptor))
        if waited >= reminder:
            reminder = waited + REMINDER_SECONDS
            say(f"Waiting for {_holder(descriptor)}: it holds {path}.")
        time.sleep(POLL_SECONDS)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()} since {utc_now()}".encode(), 0)


def _acquired(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            return False
        if error.errno not in NO_LOCKS:
            raise
        _say_no_locks(path.parent, str(error.strerror))
    return True


@functools.cache
def _say_no_locks(folder: Path, reason: str) -> None:
    """Said once for a folder."""
    say(f"{folder} is on a file system that cannot lock files ({reason}). Let no other run write there at the same "
        "time; --no-lock then omits this line.")


def _holder(descriptor: int) -> str:
    """The process that holds the lock, in words."""
    text = os.pread(descriptor, HOLDER_BYTES, 0).decode(errors="replace")
    return printable(text) if text.startswith("process ") else "another process"
