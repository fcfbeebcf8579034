"""The worker pool: threads for the work of requests."""

import asyncio
import concurrent.futures
import threading
from typing import Never

import pytest

from zfscope.server.backend import WorkerPool


async def test_work_runs_outside_the_thread_of_the_event_loop() -> None:
    workers = WorkerPool(1)

    assert await workers.run(threading.get_ident) != threading.get_ident()


async def test_exceptions_of_the_work_reach_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await WorkerPool(1).run(lambda: 1 // 0)


async def test_failed_work_frees_its_thread() -> None:
    workers = WorkerPool(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await workers.run(lambda: 1 // 0)


async def test_queued_work_is_not_run_after_cancellation() -> None:
    workers, released, done = WorkerPool(1), threading.Event(), threading.Event()
    running = asyncio.create_task(workers.run(released.wait))
    queued = asyncio.create_task(workers.run(done.set))
    await asyncio.sleep(0)

    queued.cancel()
    await asyncio.sleep(0)
    next_one = asyncio.create_task(workers.run(lambda: "next"))
    await asyncio.sleep(0)
    released.set()

    assert await next_one == "next"
    assert await running
    assert not done.is_set()


async def test_closed_workers_reject_work() -> None:
    workers = WorkerPool(1)
    workers.close()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="after shutdown"):
            await workers.run(lambda: None)


@pytest.mark.parametrize(
    "raised",
    [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, concurrent.futures.CancelledError],
)
async def test_work_that_raises_system_exit_or_cancelled_error_fails_with_runtime_error(
    raised: type[BaseException],
) -> None:
    def work() -> Never:
        raise raised

    workers = WorkerPool(1)
    with pytest.raises(RuntimeError, match=f"^work raised {raised.__name__}$") as caught:
        await workers.run(work)
    assert isinstance(caught.value.__cause__, raised)
    assert await workers.run(lambda: "next") == "next"
