"""Work in parallel threads of one core each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, current_thread

import pytest
import torch

from zfscope.engine.cpu.threads import (
    MIN_ITEMS_PER_THREAD,
    interleave,
    map_parallel,
    restored_cores,
    single_core_pool,
    use_one_core,
)
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit
from zfscope.engine.trace import trace
from zfscope.networks.layers import Conv, ReLU
from zfscope.networks.network import build
from zfscope.networks.spec import NetworkSpec

MANY = 3 * MIN_ITEMS_PER_THREAD


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_item_is_processed_once_in_contiguous_parts() -> None:
    parts: list[list[int]] = []
    map_parallel(lambda part: parts.append(list(part)), range(MANY + 1))
    assert len(parts) == 3
    assert [item for part in sorted(parts) for item in part] == list(range(MANY + 1))


def test_parts_run_concurrently_on_one_core_each() -> None:
    all_started = Barrier(3)
    cores, names = [], set()

    def work(part: Sequence[int]) -> None:
        all_started.wait(timeout=30)
        torch.ones(10).sum()
        cores.append(torch.get_num_threads())
        names.add(current_thread().name)

    map_parallel(work, range(MANY))
    assert cores == [1, 1, 1]
    assert len(names) == 3


def test_threads_outside_the_pool_keep_their_number_of_cores() -> None:
    map_parallel(lambda part: None, range(MANY))
    assert torch.get_num_threads() == 3


def test_a_thread_can_use_one_core_without_lasting_effects_on_others() -> None:
    def cores(*, one: bool) -> int:
        if one:
            use_one_core()
        return torch.get_num_threads()

    with restored_cores(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(cores, one=True).result() == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cores, one=False).result() == 3
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_few_items_are_processed_in_the_calling_thread() -> None:
    names = []
    map_parallel(lambda part: names.append(current_thread()), range(2 * MIN_ITEMS_PER_THREAD - 1))
    assert names == [current_thread()]


def test_an_error_in_a_part_is_raised_and_the_pool_stays_usable() -> None:
    def work(part: Sequence[int]) -> None:
        if MANY - 1 in part:
            raise ValueError("the last part")

    with pytest.raises(ValueError, match="the last part"):
        map_parallel(work, range(MANY))
    processed: list[int] = []
    map_parallel(processed.extend, range(MANY))
    assert sorted(processed) == list(range(MANY))
    assert single_core_pool(3) is single_core_pool(3)


def test_projections_of_many_seeds_equal_those_of_single_seeds() -> None:
    layers = (
        Conv(name="conv1", channels=8, kernel=3, stride=2),
        ReLU(name="relu1"),
        Conv(name="conv2", channels=MANY, kernel=3),
    )
    network = build(
        NetworkSpec(name="two", input_size=23, layers=layers), generator=torch.Generator().manual_seed(0)
    )
    images = torch.randn(2, 3, 23, 23, generator=torch.Generator().manual_seed(1))
    traced = trace(network, images)
    units = [Unit(index % 2, index, index % 9, index * 5 % 9) for index in range(MANY)]
    together = project(network, traced, "conv2", units)
    assert not together.requires_grad
    alone = torch.cat([project(network, traced, "conv2", [unit]) for unit in units])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6 * float(alone.abs().max()))


def counting(name: str, count: int) -> Iterator[str]:
    """Yield `name` followed by 0, 1, ... count - 1."""
    for number in range(count):
        yield f"{name}{number}"


def test_all_items_are_yielded_and_those_of_an_iterator_in_order() -> None:
    items = list(
        interleave(counting(name, count) for name, count in (("a", 5), ("b", 0), ("c", 9), ("d", 1)))
    )
    assert sorted(items) == sorted([f"a{n}" for n in range(5)] + [f"c{n}" for n in range(9)] + ["d0"])
    for name, count in (("a", 5), ("c", 9)):
        assert [item for item in items if item[0] == name] == list(counting(name, count))


def test_iterators_advance_concurrently_on_one_core_each() -> None:
    all_started = Barrier(3)

    def steps() -> Iterator[int]:
        all_started.wait(timeout=30)
        torch.ones(10).sum()
        yield torch.get_num_threads()

    assert list(interleave(steps() for _ in range(3))) == [1, 1, 1]


def test_little_work_is_done_ahead_and_none_after_closing() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(1)
            yield len(taken)

    steps = interleave(endless() for _ in range(100))
    next(steps)
    steps.close()
    for _ in single_core_pool(3).map(int, range(30)):
        pass  # waits until running steps have finished
    before = len(taken)
    assert before <= 2 * 3 + 1
    for _ in single_core_pool(3).map(int, range(30)):
        pass
    assert len(taken) == before


def test_iterators_run_one_after_the_other_in_a_thread_of_one_core() -> None:
    def inside(_: int) -> list[str]:
        return list(interleave([counting("a", 2), counting("b", 2)]))

    assert list(single_core_pool(3).map(inside, [0])) == [["a0", "a1", "b0", "b1"]]


def test_an_error_in_an_iterator_is_raised_and_the_pool_stays_usable() -> None:
    def failing() -> Iterator[str]:
        yield "one"
        raise ValueError("the second step")

    with pytest.raises(ValueError, match="the second step"):
        list(interleave([counting("a", 3), failing()]))
    assert len(list(interleave([counting("a", 3)]))) == 3
