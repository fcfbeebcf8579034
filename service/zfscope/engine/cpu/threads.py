"""Work shared out among threads that compute with one core each.

What the engine does is many small operations. torch shares out each one by itself, and waits for the
slowest core at its end; to go apart once is faster, and keeps its pace on a machine that others use too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import chain, islice, pairwise
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")

WORTH_A_THREAD = 12
"""Seeds that make a thread of their own faster: with fewer, reading the weights is most of the work."""


def shared_out(work: Callable[[Sequence[T]], None], items: Sequence[T]) -> None:
    """Do the work on all items: cut into parts, in order, each in a thread; or on few items at once, here.

    An error in a part is raised.
    """
    threads = torch.get_num_threads()
    count = min(threads, len(items) // WORTH_A_THREAD)
    if count < 2:
        work(items)
        return
    ends = [len(items) * part // count for part in range(count + 1)]
    parts = [items[start:end] for start, end in pairwise(ends)]
    for _ in single_threads(threads).map(work, parts):
        pass


def in_turns(works: Iterable[Iterator[T]]) -> Iterator[T]:
    """Give what iterators give, in the order in which it comes: a few go on at once, a step on each core.

    Each step of one is a task of its own, so that requests take turns, and nothing goes on much longer than
    somebody asks for more. No iterator may give None. An error in one is raised.
    """
    threads, left = torch.get_num_threads(), iter(works)
    if threads == 1:
        yield from chain.from_iterable(left)
        return
    pool = single_threads(threads)
    waiting: dict[Future[T | None], Iterator[T]] = {}
    try:
        for work in islice(left, 2 * threads):  # else a core waits until what its step gave is fetched
            waiting[pool.submit(next, work, None)] = work
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                item, work = done.result(), waiting.pop(done)
                going_on = next(left, None) if item is None else work
                if going_on is not None:
                    waiting[pool.submit(next, going_on, None)] = going_on
                if item is not None:
                    yield item
    finally:
        for future in waiting:
            future.cancel()


@cache
def single_threads(count: int) -> ThreadPoolExecutor:
    """Start threads in which torch uses one core. All requests share them, and they stay.

    torch keeps that number for each thread, and another for threads to come: this one is put back.
    """
    started = Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # else the first operation sets the number for threads to come
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="engine", initializer=begin)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(count)
    return pool
