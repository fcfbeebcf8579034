"""Shared values: one computation for callers at the same time, bounded memory, and cancellation."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.cancellation import Cancellation, checkpoint, interruptible
from zfscope.errors import Cancelled, InputError
from zfscope.shared_values import Kind, SharedValues

Array = NDArray[np.uint8]
ARRAYS = Kind[Array]("array", lambda array: {array.ctypes.data: array.nbytes})
PAIRS = Kind[tuple[Array, ...]]("pair", lambda pair: {each.ctypes.data: each.nbytes for each in pair})
WAIT_S = 30


def block(size: int, level: int = 0) -> Array:
    return np.full(size, level, np.uint8)


class Counted:
    """Computes arrays of a size and counts its calls."""

    def __init__(self, size: int = 10) -> None:
        self.size, self.calls = size, 0

    def __call__(self, part: Array | None) -> Array:
        self.calls += 1
        return block(self.size, self.calls)


class Held:
    """Computes 7 once it is released. error: raised instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.started, self.released, self.calls = threading.Event(), threading.Event(), 0
        self._error = error

    def __call__(self, part: Array | None) -> Array:
        self.calls += 1
        self.started.set()
        assert self.released.wait(WAIT_S)
        checkpoint()
        if self._error:
            raise self._error
        return block(10, 7)


@pytest.fixture
def lookups() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
def values(lookups: Counter[tuple[str, str]]) -> SharedValues:
    return SharedValues(100, observe=lambda *lookup: lookups.update([lookup]))


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8)


def test_a_value_is_computed_once(values: SharedValues, lookups: Counter[tuple[str, str]]) -> None:
    compute = Counted()
    first, second = (values.get(ARRAYS, "a", compute) for _ in range(2))
    assert first is second
    assert compute.calls == 1
    assert lookups == {("array", "miss"): 1, ("array", "hit"): 1}


def test_a_value_that_is_not_enough_is_computed_from_its_part(
    values: SharedValues, lookups: Counter[tuple[str, str]]
) -> None:
    parts: list[Array | None] = []

    def lengthen(size: int) -> Array:
        def compute(part: Array | None) -> Array:
            parts.append(part)
            return block(size)

        return values.get(ARRAYS, "a", compute, is_enough=lambda array: len(array) >= size)

    short, long, again = lengthen(10), lengthen(30), lengthen(20)
    assert parts == [None, short]
    assert again is long
    assert values.size_bytes == 30
    assert lookups == {("array", "miss"): 1, ("array", "extended"): 1, ("array", "hit"): 1}


def test_the_least_recently_used_values_are_dropped_first(values: SharedValues) -> None:
    computations = {key: Counted(40) for key in "abc"}
    for key in "abacab":
        values.get(ARRAYS, key, computations[key])
    assert {key: compute.calls for key, compute in computations.items()} == {"a": 1, "b": 2, "c": 1}


def test_memory_never_exceeds_the_limit(values: SharedValues) -> None:
    generator = np.random.default_rng(1)
    kept: dict[int, Array] = {}
    for key in generator.integers(0, 30, 500).tolist():
        kept[key] = values.get(ARRAYS, key, Counted(int(generator.integers(1, 60))))
        assert values.size_bytes <= 100
    values.drop()
    assert values.size_bytes == 0


def test_memory_that_values_have_in_common_counts_once(values: SharedValues) -> None:
    photo = block(60)
    for number in range(3):
        values.get(PAIRS, number, lambda _: (photo, block(10)))
    assert values.size_bytes == 90
    values.drop(lambda key: key == 0)
    assert values.size_bytes == 80
    values.drop(lambda key: key == 1)
    values.drop(lambda key: key == 2)
    assert values.size_bytes == 0


def test_a_value_over_the_limit_is_returned_but_not_kept(values: SharedValues) -> None:
    small, large = Counted(), Counted(101)
    values.get(ARRAYS, "small", small)
    assert len(values.get(ARRAYS, "large", large)) == 101
    values.get(ARRAYS, "large", large)
    values.get(ARRAYS, "small", small)
    assert (small.calls, large.calls, values.size_bytes) == (1, 2, 10)


def test_with_a_limit_of_0_nothing_is_kept() -> None:
    values, compute = SharedValues(0), Counted()
    for _ in range(2):
        values.get(ARRAYS, "a", compute)
    assert (compute.calls, values.size_bytes) == (2, 0)


def test_callers_at_the_same_time_share_one_computation(
    values: SharedValues, pool: ThreadPoolExecutor, lookups: Counter[tuple[str, str]]
) -> None:
    compute = Held()
    results = [pool.submit(values.get, ARRAYS, "a", compute) for _ in range(8)]
    assert compute.started.wait(WAIT_S)
    compute.released.set()
    assert {id(result.result(WAIT_S)) for result in results} == {id(results[0].result())}
    assert compute.calls == 1
    assert lookups == {("array", "miss"): 1, ("array", "hit"): 7}


def test_other_keys_do_not_wait(values: SharedValues, pool: ThreadPoolExecutor) -> None:
    compute = Held()
    held = pool.submit(values.get, ARRAYS, "a", compute)
    assert compute.started.wait(WAIT_S)
    assert len(values.get(ARRAYS, "b", Counted())) == 10
    assert not held.done()
    compute.released.set()
    held.result(WAIT_S)


def submit_cancellable(
    pool: ThreadPoolExecutor, cancel: Cancellation, call: Callable[[], Array]
) -> "Future[Array]":
    def run() -> Array:
        with interruptible(cancel.check):
            return call()

    return pool.submit(run)


def test_a_cancelled_caller_stops_waiting_and_the_others_get_the_value(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    compute, cancel = Held(), Cancellation()
    first = pool.submit(values.get, ARRAYS, "a", compute)
    assert compute.started.wait(WAIT_S)
    cancelled = submit_cancellable(pool, cancel, lambda: values.get(ARRAYS, "a", compute))
    waiting = pool.submit(values.get, ARRAYS, "a", compute)
    cancel.cancel()
    with pytest.raises(Cancelled):
        cancelled.result(WAIT_S)
    assert not waiting.done()
    compute.released.set()
    assert waiting.result(WAIT_S) is first.result(WAIT_S)
    assert compute.calls == 1


def test_the_computation_continues_when_the_caller_that_runs_it_is_cancelled(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    compute, cancel = Held(), Cancellation()
    first = submit_cancellable(pool, cancel, lambda: values.get(ARRAYS, "a", compute))
    assert compute.started.wait(WAIT_S)
    waiting = pool.submit(values.get, ARRAYS, "a", compute)
    cancel.cancel()
    compute.released.set()
    assert waiting.result(WAIT_S) is first.result(WAIT_S)
    assert compute.calls == 1


def test_a_failure_is_raised_by_each_caller_and_is_not_kept(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    failing = Held(InputError("damaged", field="image"))
    results = [pool.submit(values.get, ARRAYS, "a", failing) for _ in range(3)]
    assert failing.started.wait(WAIT_S)
    failing.released.set()
    for result in results:
        with pytest.raises(InputError, match="damaged"):
            result.result(WAIT_S)
    assert failing.calls == 3
    assert len(values.get(ARRAYS, "a", Counted())) == 10


def test_a_value_that_is_dropped_while_it_is_computed_is_not_kept(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    compute = Held()
    result = pool.submit(values.get, ARRAYS, "a", compute)
    assert compute.started.wait(WAIT_S)
    values.drop(lambda key: key == "a")
    compute.released.set()
    assert len(result.result(WAIT_S)) == 10
    assert values.size_bytes == 0


def test_the_size_is_not_read_while_a_value_is_being_stored(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    class ReadMeanwhile(dict[int, int]):
        """Buffers during whose storing, which takes the sum over the limit, another thread reads the size."""

        def items(self) -> Any:
            yield 1, 60
            self.read = pool.submit(lambda: values.size_bytes)
            wait([self.read], 0.1)

    buffers = ReadMeanwhile({1: 60})
    values.get(ARRAYS, "first", lambda _: block(60))
    values.get(Kind[Array]("slow", lambda _: buffers), "second", lambda _: block(60))
    assert buffers.read.result(WAIT_S) == 60


def test_many_threads_get_the_right_values_within_the_limit(
    values: SharedValues, pool: ThreadPoolExecutor
) -> None:
    def work(seed: int) -> None:
        for key in np.random.default_rng(seed).integers(0, 12, 300).tolist():
            got = values.get(ARRAYS, key, lambda _, level=key: block(17, level))
            assert (got == key).all()
            assert values.size_bytes <= 100

    for result in [pool.submit(work, seed) for seed in range(8)]:
        result.result(WAIT_S)
    values.drop()
    assert values.size_bytes == 0
