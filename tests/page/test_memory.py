"""Values in memory are bounded in number, bytes and time."""

import pytest

from zfscope.page.memory import BoundedMemory, MemoryLimits


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_least_recently_used_value_goes_first(clock: Clock) -> None:
    memory: BoundedMemory[str] = BoundedMemory(MemoryLimits(2, 100, 10), clock=clock)
    memory.put("a", "A", 1)
    memory.put("b", "B", 1)
    assert memory.get("a") == "A"
    memory.put("c", "C", 1)
    assert [memory.get(key) for key in "abc"] == ["A", None, "C"]
    assert (len(memory), memory.bytes) == (2, 2)


def test_the_total_size_is_bounded(clock: Clock) -> None:
    memory: BoundedMemory[str] = BoundedMemory(MemoryLimits(10, 5, 10), clock=clock)
    for key in "abc":
        memory.put(key, key, 2)
    assert [memory.get(key) for key in "abc"] == [None, "b", "c"]
    assert memory.bytes == 4
    memory.put("c", "c", 3)
    assert memory.bytes == 5


def test_a_single_value_over_the_limit_is_kept_alone(clock: Clock) -> None:
    memory: BoundedMemory[str] = BoundedMemory(MemoryLimits(10, 5, 10), clock=clock)
    memory.put("a", "a", 1)
    memory.put("b", "b", 9)
    assert [memory.get(key) for key in "ab"] == [None, "b"]


def test_a_value_expires_after_its_last_use(clock: Clock) -> None:
    memory: BoundedMemory[str] = BoundedMemory(MemoryLimits(10, 5, 10), clock=clock)
    memory.put("a", "a", 1)
    memory.put("b", "b", 1)
    clock.now = 8
    assert memory.get("a") == "a"
    clock.now = 12
    assert [memory.get(key) for key in "ab"] == ["a", None]
    clock.now = 30
    memory.evict()
    assert memory.bytes == 0
