"""Calls side by side. NumPy, ONNX Runtime, OpenVINO and torch let other threads run while they compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Streams:
    """A pool of threads, kept for as long as this lives: each thread of a runtime brings a pool of its own.

    Args:
        count: calls that run at the same time; 1: in the caller's own thread.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="stream") if count > 1 else None

    def map(self, call: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`call(item)` of each item, in the order of the items; lazily, at most 2 x `count` items ahead."""
        if self._pool is None:
            yield from map(call, items)
            return
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(self._pool.submit(call, item))
                if len(running) >= 2 * self.count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:  # the reader went away, or a call failed
            for future in running:
                future.cancel()
