"""Engines process each batch once, take a few ahead, and raise errors."""

import os
import time
from collections.abc import Iterator
from threading import Barrier, Event, Lock

import pytest

from zfscope.errors import InputError
from zfscope.parallel import Batch, Engine, LocalEngine, create_engine
from zfscope.scan.partial import PartialResult

THREADS = 3
local = LocalEngine()


@pytest.fixture(autouse=True)
def _three_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: THREADS, raising=False)
    monkeypatch.setattr("zfscope.processors.cpu_quota", lambda: None)


def batches(count: int) -> list[Batch]:
    return [Batch(number, ()) for number in range(count)]


def result_of(batch: Batch) -> PartialResult:
    return PartialResult(top=1, batches=1 << batch.number)


def test_each_batch_is_processed_once() -> None:
    engine: Engine = local
    results = [part.batches for part in engine(result_of, batches(50))]
    assert sorted(results) == [1 << number for number in range(50)]


def test_every_cpu_of_the_process_runs_a_thread() -> None:
    all_running = Barrier(THREADS, timeout=30)

    def work(batch: Batch) -> PartialResult:
        all_running.wait()
        return result_of(batch)

    assert len(list(local(work, batches(2 * THREADS)))) == 2 * THREADS


def test_only_a_few_batches_are_taken_ahead() -> None:
    taken, max_ahead, lock = 0, 0, Lock()

    def endless() -> Iterator[Batch]:
        nonlocal taken
        for batch in batches(200):
            taken += 1
            yield batch

    for received, _ in enumerate(local(result_of, endless())):
        with lock:
            max_ahead = max(max_ahead, taken - received)
    assert taken == 200
    assert max_ahead <= 2 * (2 * THREADS)


def test_no_batches_give_no_results() -> None:
    assert list(local(result_of, [])) == []


def test_an_error_in_a_thread_is_raised_and_stops_the_scan() -> None:
    processed = []

    def work(batch: Batch) -> PartialResult:
        processed.append(batch.number)
        if batch.number == 5:
            raise RuntimeError("no power")
        return result_of(batch)

    with pytest.raises(RuntimeError, match="no power"):
        list(local(work, batches(1000)))
    assert len(processed) < 100


def test_closing_the_iterator_stops_the_scan() -> None:
    processed = []

    def work(batch: Batch) -> PartialResult:
        processed.append(batch.number)
        return result_of(batch)

    parts = local(work, batches(1000))
    next(parts)
    parts.close()  # type: ignore[attr-defined]  # an iterator that is a generator
    assert len(processed) < 100


@pytest.mark.parametrize("end", ["closed", "failed"])
def test_work_in_progress_is_told_to_stop_before_it_is_awaited(end: str) -> None:
    stopped = Event()

    def work(batch: Batch) -> PartialResult:
        if batch.number == 1:
            assert stopped.wait(30)
        if batch.number == 2 and end == "failed":
            raise RuntimeError("no power")
        return result_of(batch)

    parts = LocalEngine(threads=2, stopping=stopped.set)(work, batches(3))
    if end == "closed":
        next(parts)
        parts.close()  # type: ignore[attr-defined]  # an iterator that is a generator
    else:
        with pytest.raises(RuntimeError, match="no power"):
            list(parts)
    assert stopped.is_set()


def test_the_number_of_threads_can_be_limited() -> None:
    running, most, lock = 0, 0, Lock()

    def work(batch: Batch) -> PartialResult:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return result_of(batch)

    assert len(list(create_engine("local", threads=1)(work, batches(9)))) == 9
    assert most == 1


def test_ray_takes_no_number_of_threads() -> None:
    with pytest.raises(InputError, match=r"^engine .ray. takes no number of threads: it uses all"):
        create_engine("ray", threads=2)
