"""Number of usable processors, and parallel maps with one thread per processor."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from zfscope.cgroups import cpu_quota

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cpus() -> int:
    """Return the number of processors that this process may use, at least 1.

    A container or `taskset` may allow fewer than the machine has: by affinity, or by a quota of time, which
    is rounded up.
    """
    quota = cpu_quota()
    allowed = _affinity()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def limit_openmp() -> None:
    """Make torch use as many threads as the quota of this process allows; call before torch is imported.

    OpenMP knows affinity but no quotas, and more threads than the quota wait for each other. The variable
    OMP_NUM_THREADS of the user has priority.
    """
    if (count := usable_cpus()) < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(count))


def _affinity() -> int:
    """Return the number of processors that this process may run on.

    macOS and Windows lack `os.sched_getaffinity`, and `os.process_cpu_count` requires Python 3.13: there, all
    are counted.
    """
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None, ahead: int = 64
) -> Iterator[Result]:
    """Apply a function to items in threads and yield the results in order.

    threads: number of threads, by default one per processor. ahead: maximum number of items submitted at
    once; their results are kept in memory.
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


def map_as_done(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    stopping: Callable[[], object] = lambda: None,
) -> Iterator[Result]:
    """Apply a function to items in threads and yield results as they complete, two per thread ahead.

    threads: number of threads, by default one per processor. stopping: called if the caller stops early or a
    call fails, before the calls in progress are awaited.
    """
    threads, left = threads or usable_cpus(), iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="map")
    waiting: set[Future[Result]] = set()
    try:
        waiting |= {pool.submit(function, item) for item in islice(left, 2 * threads)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(function, item) for item in islice(left, len(done))}
            for future in done:
                yield future.result()
    except BaseException:
        stopping()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
