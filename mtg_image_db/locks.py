"""Locks: only one process at a time writes to a folder, and another one is told who does.

    with hold(out / ".build.lock"): ...

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
from pathlib import Path

from mtg_image_db.common import name_errors
from mtg_image_db.console import printable, say, utc_now

POLL_SECONDS = 0.05
SAID_AFTER_SECONDS, REMINDER_SECONDS = 0.5, 60.0
# What a file system without locks answers: NFS without its lock service, SMB, some FUSE mounts. ENOTSUP is macOS's.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
BUSY = (errno.EAGAIN, errno.EACCES)
HOLDER_BYTES = 200
IF_STALE = "If that process does not run any more, add --no-lock."


class HeldElsewhere(Exception):
    """Another process holds the lock. The message names the process."""


def hold(path: Path, wait: float = 0.0, lock: bool = True) -> contextlib.ExitStack:
    """Take the lock. It is held until the returned stack is closed, or until the end of its `with` block.

    wait is the number of seconds to wait for another process that holds it; a line on stderr says so. A file system
    without locks is said once, and the work goes on. lock=False (--no-lock) takes no lock. Raises HeldElsewhere.
    """
    held = contextlib.ExitStack()
    if lock:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # of another user in a shared folder
            descriptor = os.open(path, os.O_RDONLY)
        held.callback(os.close, descriptor)
        try:
            with name_errors(path):
                _acquire(descriptor, path, wait)
        except BaseException:
            held.close()
            raise
    return held


def _acquire(descriptor: int, path: Path, wait: float) -> None:
    started, reminder = time.monotonic(), SAID_AFTER_SECONDS
    while not _acquired(descriptor, path):
        waited = time.monotonic() - started
        if waited >= wait:
            raise HeldElsewhere(_holder(descriptor))
        if waited >= reminder:
            reminder = waited + REMINDER_SECONDS
            say(f"Waiting for {_holder(descriptor)}, which holds {path}. {IF_STALE}")
        time.sleep(POLL_SECONDS)
    with contextlib.suppress(OSError):  # a full disk, a file of another user: the text is only for people
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
        "time. --no-lock omits this line.")


def _holder(descriptor: int) -> str:
    """The process that holds the lock, in words."""
    text = os.pread(descriptor, HOLDER_BYTES, 0).decode(errors="replace")
    return printable(text) if text.startswith("process ") else "another process"
