"""Threads that work ahead of the caller, with the results in order; and how many this process can afford.

    for picture in map_ahead(open_picture, paths, threads=4, ahead=16): ...
    workers = affordable(128, files_each=4)

Reads and writes  nothing
"""
from __future__ import annotations

import resource
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

RESERVED_FILES = 32  # for all else: libraries, locks, manifests. Measured: 11 in a download with one worker

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int,
              ahead: int) -> Generator[Result, None, None]:
    """Yield function(item) for each item, in order. Threads work on up to `ahead` items before their results are taken.

    Executor.map would start all items at once and hold every result.
    """
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


def affordable(workers: int, files_each: int) -> int:
    """The number of workers that the limit of open files (ulimit -n) allows, at least 1 and at most workers. Each opens
    up to files_each files. A soft limit that is too low is raised for this process, as far as the hard one allows."""
    needed = RESERVED_FILES + workers * files_each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed and soft != resource.RLIM_INFINITY:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return workers if soft == resource.RLIM_INFINITY else max(1, min(workers, (soft - RESERVED_FILES) // files_each))
