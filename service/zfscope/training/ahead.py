"""Work on many photos in threads, a bounded number of them ahead."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from zfscope.processors import usable_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items that are worked on at once: their results wait in memory.
_AHEAD = 64


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Return the results in order, computed by a thread for each CPU that this process may use."""
    left = iter(items)
    with ThreadPoolExecutor(usable_cpus()) as pool:
        while some := list(islice(left, _AHEAD)):
            yield from pool.map(function, some)
