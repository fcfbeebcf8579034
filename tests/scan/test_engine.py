"""Engines process each batch once, take a few ahead, and raise errors."""

import os
from collections.abc import Iterator
from threading import Barrier, Lock

import pytest

from zfscope.scan import Engine, local
from zfscope.scan.batches import ScanBatch
from zfscope.scan.partial import PartialResult

THREADS = 3


@pytest.fixture(autouse=True)
def _three_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: THREADS, raising=False)


def batches(count: int) -> list[ScanBatch]:
    return [ScanBatch(number, ()) for number in range(count)]


def seen(batch: ScanBatch) -> PartialResult:
    return PartialResult(top=1, batches=1 << batch.number)


def test_each_batch_is_processed_once() -> None:
    engine: Engine = local
    found = [part.batches for part in engine(seen, batches(50))]
    assert sorted(found) == [1 << number for number in range(50)]


def test_every_cpu_of_the_process_runs_a_thread() -> None:
    together = Barrier(THREADS, timeout=30)

    def work(batch: ScanBatch) -> PartialResult:
        together.wait()
        return seen(batch)

    assert len(list(local(work, batches(2 * THREADS)))) == 2 * THREADS


def test_only_a_few_batches_are_taken_ahead() -> None:
    taken, most, lock = 0, 0, Lock()

    def endless() -> Iterator[ScanBatch]:
        nonlocal taken
        for batch in batches(200):
            taken += 1
            yield batch

    for given, _ in enumerate(local(seen, endless())):
        with lock:
            most = max(most, taken - given)
    assert taken == 200
    assert most <= 2 * (2 * THREADS)


def test_no_batches_give_no_results() -> None:
    assert list(local(seen, [])) == []


def test_an_error_in_a_thread_is_raised_and_stops_the_scan() -> None:
    worked = []

    def work(batch: ScanBatch) -> PartialResult:
        worked.append(batch.number)
        if batch.number == 5:
            raise RuntimeError("no power")
        return seen(batch)

    with pytest.raises(RuntimeError, match="no power"):
        list(local(work, batches(1000)))
    assert len(worked) < 100


def test_closing_the_iterator_stops_the_scan() -> None:
    worked = []

    def work(batch: ScanBatch) -> PartialResult:
        worked.append(batch.number)
        return seen(batch)

    parts = local(work, batches(1000))
    next(parts)
    parts.close()  # type: ignore[attr-defined]  # an iterator that is a generator
    assert len(worked) < 100
