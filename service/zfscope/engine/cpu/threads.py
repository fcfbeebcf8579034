"""Parallel work in threads of one core each.

The engine runs many small operations. torch splits each of them over the cores and then waits for the slowest
core; splitting the work as a whole is faster, and suffers less from other load on the machine.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice, pairwise
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")

# Minimum number of seeds per thread: with fewer, reading the weights takes most of the time.
MIN_ITEMS_PER_THREAD = 4


def map_parallel(work: Callable[[Sequence[T]], None], items: Sequence[T]) -> None:
    """Call `work` in several threads, each with a contiguous part of the items.

    Few items are processed in the calling thread. Errors are raised there.
    """
    threads = torch.get_num_threads()
    count = min(threads, len(items) // MIN_ITEMS_PER_THREAD)
    if count < 2:
        work(items)
        return
    ends = [len(items) * part // count for part in range(count + 1)]
    parts = [items[start:end] for start, end in pairwise(ends)]
    for _ in single_core_pool(threads).map(work, parts):
        pass


def interleave(iterators: Iterable[Iterator[T]]) -> Iterator[T]:
    """Advance several iterators in parallel, one step per core; yield their items in order of completion.

    Each step is a separate task: concurrent requests take turns, and work ends soon after the caller stops
    iterating. Iterators must not yield None. Errors are raised in the calling thread.
    """
    threads, remaining = torch.get_num_threads(), iter(iterators)
    if threads == 1:
        yield from chain.from_iterable(remaining)
        return
    pool = single_core_pool(threads)
    pending: dict[Future[T | None], Iterator[T]] = {}
    try:
        # Two steps per core, so that no core waits until the caller has taken its item.
        for iterator in islice(remaining, 2 * threads):
            pending[pool.submit(next, iterator, None)] = iterator
        while pending:
            for done in wait(pending, return_when=FIRST_COMPLETED).done:
                item, iterator = done.result(), pending.pop(done)
                following = next(remaining, None) if item is None else iterator
                if following is not None:
                    pending[pool.submit(next, following, None)] = following
                if item is not None:
                    yield item
    finally:
        for future in pending:
            future.cancel()


def use_one_core() -> None:
    """Make torch use one core in the calling thread; see `restored_cores` for the effect on other threads."""
    if torch.get_num_threads() != 1:  # also initialises torch, which would otherwise reset the number later
        torch.set_num_threads(1)


@contextmanager
def restored_cores() -> Iterator[None]:
    """Restore the calling thread's number of cores at the end, in case threads called `use_one_core`.

    torch stores the number for each thread, and the last one set as the default of new threads.
    """
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


@cache
def single_core_pool(count: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch uses one core; created once and shared by all requests.

    torch stores its number of threads for each thread, and the last one set as the default of new threads:
    that default is restored here.
    """
    started = Barrier(count + 1)

    def initialise() -> None:
        torch.get_num_threads()  # initialises torch, which would otherwise reset the number of threads later
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="engine", initializer=initialise)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(count)
    return pool
