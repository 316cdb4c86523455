"""Threads that work ahead of the caller, with the results in order.

    for picture in map_ahead(open_picture, paths, threads=4, ahead=16): ...

Reads and writes  nothing
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
