"""Reading ahead of a training, so that it never waits for its input.

A tf.data pipeline that calls Python must not read ahead by itself: when its iterator is deleted
while such a call is under way, the interpreter's lock is held by the one who deletes and waited
for by the call, and the process hangs for good. So pipelines here compute an element when it is
asked for, and a thread of ours asks early.
"""

import concurrent.futures
from collections.abc import Iterable, Iterator
from typing import Any


class Prefetched:
    """Iterates over ``elements`` one ahead. Use it as a context manager."""

    def __init__(self, elements: Iterable):
        """Starts to compute the first element."""
        self._elements = iter(elements)
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next = self._pool.submit(next, self._elements)

    def __enter__(self) -> "Prefetched":
        return self

    def __exit__(self, *exception) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        element = self._next.result()
        self._next = self._pool.submit(next, self._elements)
        return element
