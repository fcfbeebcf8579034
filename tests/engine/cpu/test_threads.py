"""Work shared out among threads of one core each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, current_thread

import pytest
import torch

from zfscope.engine.cpu.threads import WORTH_A_THREAD, interleave, map_parallel, single_core_pool
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit
from zfscope.engine.trace import trace
from zfscope.networks.layers import Conv, ReLU
from zfscope.networks.network import build
from zfscope.networks.spec import NetworkSpec

MANY = 3 * WORTH_A_THREAD


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_every_item_is_done_once_and_parts_keep_the_order() -> None:
    parts: list[list[int]] = []
    map_parallel(lambda some: parts.append(list(some)), range(MANY + 1))
    assert len(parts) == 3
    assert [item for part in sorted(parts) for item in part] == list(range(MANY + 1))


def test_parts_are_worked_on_at_once_with_one_core_each() -> None:
    all_there = Barrier(3)
    cores, names = [], set()

    def work(some: Sequence[int]) -> None:
        all_there.wait(timeout=30)
        torch.ones(10).sum()
        cores.append(torch.get_num_threads())
        names.add(current_thread().name)

    map_parallel(work, range(MANY))
    assert cores == [1, 1, 1]
    assert len(names) == 3


def test_threads_of_other_work_keep_their_cores() -> None:
    map_parallel(lambda some: None, range(MANY))
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as fresh:
        assert fresh.submit(torch.get_num_threads).result() == 3


def test_few_items_stay_in_the_callers_thread() -> None:
    names = []
    map_parallel(lambda some: names.append(current_thread()), range(2 * WORTH_A_THREAD - 1))
    assert names == [current_thread()]


def test_an_error_in_one_part_is_raised_and_the_threads_live_on() -> None:
    def work(some: Sequence[int]) -> None:
        if MANY - 1 in some:
            raise ValueError("the last part")

    with pytest.raises(ValueError, match="the last part"):
        map_parallel(work, range(MANY))
    done: list[int] = []
    map_parallel(done.extend, range(MANY))
    assert sorted(done) == list(range(MANY))
    assert single_core_pool(3) is single_core_pool(3)


def test_many_seeds_give_what_each_gives_alone() -> None:
    layers = (
        Conv(name="conv1", channels=8, kernel=3, stride=2),
        ReLU(name="relu1"),
        Conv(name="conv2", channels=MANY, kernel=3),
    )
    network = build(
        NetworkSpec(name="two", input_size=23, layers=layers), generator=torch.Generator().manual_seed(0)
    )
    images = torch.randn(2, 3, 23, 23, generator=torch.Generator().manual_seed(1))
    seen = trace(network, images)
    units = [Unit(map % 2, map, map % 9, map * 5 % 9) for map in range(MANY)]
    together = project(network, seen, "conv2", units)
    assert not together.requires_grad
    alone = torch.cat([project(network, seen, "conv2", [unit]) for unit in units])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6 * float(alone.abs().max()))


def counting(name: str, count: int) -> Iterator[str]:
    """Give `name` and a number, so many times."""
    for number in range(count):
        yield f"{name}{number}"


def test_all_that_iterators_give_comes_and_that_of_each_in_order() -> None:
    given = list(
        interleave(counting(name, count) for name, count in (("a", 5), ("b", 0), ("c", 9), ("d", 1)))
    )
    assert sorted(given) == sorted([f"a{n}" for n in range(5)] + [f"c{n}" for n in range(9)] + ["d0"])
    for name, count in (("a", 5), ("c", 9)):
        assert [item for item in given if item[0] == name] == list(counting(name, count))


def test_iterators_go_on_at_once_with_one_core_each() -> None:
    all_there = Barrier(3)

    def steps() -> Iterator[int]:
        all_there.wait(timeout=30)
        torch.ones(10).sum()
        yield torch.get_num_threads()

    assert list(interleave(steps() for _ in range(3))) == [1, 1, 1]


def test_iterators_wait_their_turn_and_little_is_done_ahead() -> None:
    done: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            done.append(1)
            yield len(done)

    turns = interleave(endless() for _ in range(100))
    next(turns)
    turns.close()
    for _ in single_core_pool(3).map(int, range(30)):
        pass  # what was under way has ended
    before = len(done)
    assert before <= 2 * 3 + 1
    for _ in single_core_pool(3).map(int, range(30)):
        pass
    assert len(done) == before


def test_in_a_thread_of_one_core_iterators_follow_each_other() -> None:
    def inside(_: int) -> list[str]:
        return list(interleave([counting("a", 2), counting("b", 2)]))

    assert list(single_core_pool(3).map(inside, [0])) == [["a0", "a1", "b0", "b1"]]


def test_an_error_in_an_iterator_is_raised_and_the_threads_live_on() -> None:
    def failing() -> Iterator[str]:
        yield "one"
        raise ValueError("the second step")

    with pytest.raises(ValueError, match="the second step"):
        list(interleave([counting("a", 3), failing()]))
    assert len(list(interleave([counting("a", 3)]))) == 3
