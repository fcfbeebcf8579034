"""The number of processors, on systems that say it in different ways."""

import os

import pytest

from zfscope.processors import usable_cpus


def test_the_processors_of_this_process_are_counted() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("count", [None, 0, 7])
def test_a_system_without_affinity_has_all_its_processors(
    monkeypatch: pytest.MonkeyPatch, count: int | None
) -> None:
    for name in ("process_cpu_count", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cpus() == (count or 1)


def test_affinity_is_asked_before_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert usable_cpus() == 3
