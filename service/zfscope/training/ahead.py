"""Work on many photos in threads, a bounded number of them ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from zfscope.processors import usable_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None, ahead: int = 64
) -> Iterator[Result]:
    """Return the results in order, computed in threads, by default one for each CPU of this process.

    ahead: items that are worked on at once; their results wait in memory.
    """
    left = iter(items)
    pool = ThreadPoolExecutor(threads or usable_cpus())
    try:
        waiting = deque(pool.submit(function, item) for item in islice(left, ahead))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(left, 1))
    finally:
        pool.shutdown(cancel_futures=True)
