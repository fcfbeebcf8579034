"""Parallel work in threads that use one core each.

The engine runs many small operations. torch parallelises each operation and waits for the slowest core at its
end; splitting the work once is faster, and slows down less on a busy machine.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import chain, islice, pairwise
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")

# Minimum number of seeds per thread: with fewer, most of the time is spent reading the weights.
WORTH_A_THREAD = 12


def map_parallel(work: Callable[[Sequence[T]], None], items: Sequence[T]) -> None:
    """Call `work` with contiguous parts of the items, each in a thread, or once in this thread for few items.

    Errors are raised in the calling thread.
    """
    threads = torch.get_num_threads()
    count = min(threads, len(items) // WORTH_A_THREAD)
    if count < 2:
        work(items)
        return
    ends = [len(items) * part // count for part in range(count + 1)]
    parts = [items[start:end] for start, end in pairwise(ends)]
    for _ in single_core_pool(threads).map(work, parts):
        pass


def interleave(works: Iterable[Iterator[T]]) -> Iterator[T]:
    """Advance several iterators in parallel, one step per core; yield their items in order of completion.

    Each step is a separate task, so that concurrent requests alternate, and no work continues for long after
    the consumer stops. Iterators must not yield None. Errors are raised in the calling thread.
    """
    threads, left = torch.get_num_threads(), iter(works)
    if threads == 1:
        yield from chain.from_iterable(left)
        return
    pool = single_core_pool(threads)
    waiting: dict[Future[T | None], Iterator[T]] = {}
    try:
        for work in islice(left, 2 * threads):  # twice as many: no core waits for its item to be fetched
            waiting[pool.submit(next, work, None)] = work
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                item, work = done.result(), waiting.pop(done)
                following = next(left, None) if item is None else work
                if following is not None:
                    waiting[pool.submit(next, following, None)] = following
                if item is not None:
                    yield item
    finally:
        for future in waiting:
            future.cancel()


@cache
def single_core_pool(count: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch uses one core. It is created once and shared by all requests.

    torch stores the number of threads per thread, and a default for new threads, which is restored here.
    """
    started = Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # initialises torch, which would otherwise reset the number of threads later
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="engine", initializer=begin)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(count)
    return pool
