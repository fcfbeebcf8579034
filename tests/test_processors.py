"""Number of usable processors on different systems, and parallel maps."""

import os
from collections.abc import Callable, Iterable, Iterator
from threading import Event

import pytest

from zfscope.processors import map_as_done, map_in_order, usable_cpus


@pytest.fixture(autouse=True)
def _no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.processors.cpu_quota", lambda: None)


def test_the_processors_of_this_process_are_counted() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("count", [None, 0, 7])
def test_a_system_without_affinity_uses_all_processors(
    monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cpus() == (count or 1)


def test_affinity_is_used_before_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert usable_cpus() == 3


def test_map_in_order_keeps_the_order_of_the_items() -> None:
    assert list(map_in_order(lambda number: number * number, range(200))) == [n * n for n in range(200)]


def test_map_as_done_yields_results_as_they_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfscope.processors.usable_cpus", lambda: 2)
    second_yielded = Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_yielded.wait(60)
        return number

    results = map_as_done(work, range(2))
    assert next(results) == 1
    second_yielded.set()
    assert list(results) == [0]


@pytest.mark.parametrize(("map_items", "most"), [(map_in_order, 64), (map_as_done, 4)])
def test_a_bounded_number_of_items_is_read_ahead(
    monkeypatch: pytest.MonkeyPatch,
    map_items: Callable[[Callable[[int], int], Iterable[int]], Iterator[int]],
    most: int,
) -> None:
    monkeypatch.setattr("zfscope.processors.usable_cpus", lambda: 2)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    results = map_items(lambda number: number, items())
    next(results)
    assert len(taken) <= 2 * most


def test_errors_of_the_work_are_raised() -> None:
    def fail(number: int) -> int:
        raise ValueError(f"{number} is not allowed")

    for map_items in (map_in_order, map_as_done):
        with pytest.raises(ValueError, match="0 is not allowed"):
            list(map_items(fail, [0]))
