"""Temporary files: their names, and which of them an ended process has left over.

    temporary = temporary_path(Path("index_out/meta.json"))
    remove_leftovers(Path("index_out"))

Reads   names in the folders it is given
Writes  nothing, and deletes only abandoned temporary files
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

TEMPORARY_SUFFIX = ".part"
LEFTOVER_SECONDS = 24 * 3600.0  # a temporary file of another machine counts as abandoned after this time
_TEMPORARY = re.compile(r"\..+-(\d+)-\d+\.part")  # .<name>.<machine>-<process>-<thread>.part


def temporary_path(target: Path) -> Path:
    """The file to write before it replaces the target. Its name has its owner: the machine, the process, the thread."""
    owner = f"{_machine()}-{os.getpid()}-{threading.get_ident()}"
    return target.with_name(f".{target.name}.{owner}{TEMPORARY_SUFFIX}")


@functools.cache
def _machine() -> str:
    """Identifies the machine and its process numbers, 12 hex digits. Two containers that share a folder may have the
    same host name and the same process numbers: then their kernel or their namespace differs. It changes when the
    machine starts anew, so leftovers from before stay for a day."""
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # macOS, which has neither
        kernel, namespace = str(uuid.getnode()), 0
    return hashlib.sha256(f"{platform.node()} {kernel} {namespace}".encode()).hexdigest()[:12]


def remove_leftovers(folder: Path) -> int:
    """Delete temporary files whose process has ended. Returns their number."""
    return delete_abandoned(folder, (path.name for path in folder.glob(f".*{TEMPORARY_SUFFIX}")))


def delete_abandoned(folder: Path, names: Iterable[str]) -> int:
    """Delete those of the named temporary files that no running process writes. Returns their number."""
    deleted = 0
    for path in (folder / name for name in names):
        with contextlib.suppress(OSError):  # another run deleted it first, or it belongs to another user
            if _is_abandoned(path):
                path.unlink()
                deleted += 1
    return deleted


def _file_time(folder: Path) -> float:
    """Now, by the clock that stamps the folder's files: a file server may have its own."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime
    return time.time()


def _is_abandoned(path: Path) -> bool:
    """True if the process that wrote the file has ended. For a process of another machine or container, the file's age
    decides."""
    owner = _TEMPORARY.fullmatch(path.name)
    if owner is None:
        return False
    if f".{_machine()}-{owner[1]}-" not in path.name:
        return _file_time(path.parent) - path.stat().st_mtime > LEFTOVER_SECONDS
    if int(owner[1]) == os.getpid():
        return True  # this process has written nothing yet, so an earlier process had this number
    try:
        os.kill(int(owner[1]), 0)  # signal 0 only checks that the process exists
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False
