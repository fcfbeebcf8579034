"""Forward passes that requests share, by a runtime whose passes a test holds and lets go."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.errors import Busy, InputError, NotFound, NotReady, RuntimeUnavailable
from zfscope.runtimes import LoadedModel
from zfscope.server.batching import Batcher
from zfscope.store import Model, ModelStore

Images = NDArray[np.float32]
PATIENCE_S = 30


class Held:
    """A runtime that tells of each pass, and ends it when it is let go; scores are an image's first pixels.

    Layers give the same, a row for each image. begun: the numbers (first pixels) of the images of each pass
    so far. layers: those of each pass, None for class scores.
    """

    name = "held"

    def __init__(
        self, *, free: bool = False, fails: Callable[[list[int]], Exception | None] | None = None
    ) -> None:
        self.begun: list[list[int]] = []
        self.layers: list[Sequence[str] | None] = []
        self._fails = fails or (lambda numbers: None)
        self._free = free
        self._started, self._let_go = threading.Semaphore(0), threading.Semaphore(0)

    def forward(self, images: Images) -> Images:
        return self._given(images, None)

    def outputs(self, images: Images, layers: Sequence[str]) -> Mapping[str, Images]:
        return dict.fromkeys(layers, self._given(images, layers))

    def _given(self, images: Images, layers: Sequence[str] | None) -> Images:
        numbers = [int(image[0, 0, 0]) for image in images]
        self.begun.append(numbers)
        self.layers.append(layers)
        self._started.release()
        if not self._free:
            assert self._let_go.acquire(timeout=PATIENCE_S)
        error = self._fails(numbers)
        if error:
            raise error
        return images[:, 0, 0, :4].copy()

    async def next_pass(self) -> list[int]:
        """Wait until a further pass has begun, and give the numbers of its images."""
        assert await asyncio.to_thread(self._started.acquire, timeout=PATIENCE_S)
        return self.begun[-1]

    def let_go(self) -> None:
        """Let a pass end, the one that runs or else the next."""
        self._let_go.release()

    def let_all_go(self) -> None:
        """Hold no pass any more."""
        self._free = True
        self._let_go.release(100)


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture
def loaded(model: Model) -> Callable[[Held], LoadedModel]:
    return lambda runtime: LoadedModel(model, runtime)


@pytest.fixture
async def make_batcher() -> AsyncIterator[Callable[..., Batcher]]:
    """Makes batchers, of four images without a delay unless told otherwise, and closes them."""
    made: list[Batcher] = []

    def make(*, size: int = 4, delay_s: float = 0, queue: int = 100, models: int = 2) -> Batcher:
        made.append(Batcher(size=size, delay_s=delay_s, queue=queue, models=models))
        return made[-1]

    yield make
    for batcher in made:
        await batcher.close()


def images(*numbers: int) -> Images:
    """Images that are told apart by their pixels."""
    return np.stack([np.full((3, 32, 32), number, np.float32) for number in numbers])


def scores(*numbers: int) -> Images:
    """What the held runtime gives of `images`."""
    return np.stack([np.full(4, number, np.float32) for number in numbers])


async def settled() -> None:
    """Let everything run that can, on this loop."""
    for _ in range(10):
        await asyncio.sleep(0)


Ask = Callable[..., "asyncio.Task[Images]"]


def asking(batcher: Batcher, loaded: LoadedModel) -> Ask:
    return lambda *numbers: asyncio.create_task(batcher.forward(loaded, images(*numbers)))


async def test_a_lone_request_runs_at_once_whatever_the_delay(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    batcher = make_batcher(delay_s=1e6)
    for number in range(3):
        answer = await asyncio.wait_for(batcher.forward(loaded(runtime), images(number)), PATIENCE_S)
        np.testing.assert_array_equal(answer, scores(number))
    assert runtime.begun == [[0], [1], [2]]


async def test_requests_that_arrive_during_a_pass_are_batched_in_order(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    ask = asking(make_batcher(), loaded(runtime))
    asked = [ask(0)]
    await runtime.next_pass()
    asked += [ask(number) for number in range(1, 7)]
    await settled()
    runtime.let_all_go()
    np.testing.assert_array_equal(np.concatenate(await asyncio.gather(*asked)), scores(*range(7)))
    assert runtime.begun == [[0], [1, 2, 3, 4], [5, 6]]


async def test_cancelling_one_request_of_a_pass_does_not_affect_the_others(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    for turn in range(100):
        runtime, gone = Held(), turn % 4
        ask = asking(make_batcher(), loaded(runtime))
        asked = [ask(number) for number in range(4)]
        assert await runtime.next_pass() == [0, 1, 2, 3]
        asked[gone].cancel()
        await settled()
        runtime.let_go()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for number, answer in enumerate(answers):
            if number == gone:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                np.testing.assert_array_equal(answer, scores(number))


async def test_requests_cancelled_or_expired_before_their_pass_are_not_run(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    ask = asking(make_batcher(), loaded(runtime))
    first = ask(0)
    await runtime.next_pass()
    asked = [ask(number) for number in range(1, 7)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(7), 0.001)
    asked[1].cancel()
    runtime.let_all_go()
    await asyncio.gather(first, *asked, return_exceptions=True)
    assert runtime.begun == [[0], [1, 3, 4, 5], [6]]


async def test_in_a_failed_pass_only_the_faulty_image_fails(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    def fails(numbers: list[int]) -> Exception | None:
        return ZeroDivisionError("2 is bad") if 2 in numbers else None

    runtime = Held(free=True, fails=fails)
    ask = asking(make_batcher(), loaded(runtime))
    answers = await asyncio.gather(*(ask(number) for number in range(4)), return_exceptions=True)
    assert isinstance(answers[2], ZeroDivisionError)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(answers[number], scores(number))
    assert runtime.begun == [[0, 1, 2, 3], [0], [1], [2], [3]]
    np.testing.assert_array_equal(await ask(9), scores(9))


async def test_an_unavailable_runtime_fails_all_images_without_retries(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True, fails=lambda numbers: RuntimeUnavailable("the runtime is gone"))
    ask = asking(make_batcher(), loaded(runtime))
    answers = await asyncio.gather(*(ask(number) for number in range(4)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["the runtime is gone"] * 4
    assert runtime.begun == [[0, 1, 2, 3]]


async def test_images_of_another_shape_are_rejected_before_any_pass(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    with pytest.raises(InputError, match=r"images of shape \(1, 3, 31, 32\); network 'tiny' requires"):
        await make_batcher().forward(loaded(runtime), images(0)[:, :, 1:])
    assert runtime.begun == []


async def test_a_request_of_many_images_takes_several_passes(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    answer = await make_batcher().forward(loaded(runtime), images(*range(10)))
    np.testing.assert_array_equal(answer, scores(*range(10)))
    assert runtime.begun == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_cancelled_request_of_many_images_makes_room_for_others(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    ask = asking(make_batcher(), loaded(runtime))
    many = ask(*range(10))
    assert await runtime.next_pass() == [0, 1, 2, 3]
    other = ask(99)
    many.cancel()
    await settled()
    runtime.let_go()
    assert await runtime.next_pass() == [99]
    runtime.let_go()
    np.testing.assert_array_equal(await other, scores(99))


async def test_the_next_pass_waits_for_callers_that_were_just_answered(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    ask = asking(make_batcher(delay_s=1e6), loaded(runtime))
    await asyncio.gather(*(ask(number) for number in range(3)))
    again = [ask(3), ask(4)]
    await settled()
    assert runtime.begun == [[0, 1, 2]]
    await asyncio.gather(*again, ask(5))
    assert runtime.begun == [[0, 1, 2], [3, 4, 5]]


async def test_the_next_pass_waits_no_longer_than_the_delay(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    ask = asking(make_batcher(delay_s=0.01), loaded(runtime))
    await asyncio.gather(*(ask(number) for number in range(3)))
    await asyncio.wait_for(ask(3), PATIENCE_S)
    assert runtime.begun == [[0, 1, 2], [3]]


def looking(batcher: Batcher, loaded: LoadedModel) -> Callable[..., "asyncio.Task[Mapping[str, Images]]"]:
    """Asks for layers of images."""
    return lambda layers, *numbers: asyncio.create_task(batcher.outputs(loaded, images(*numbers), layers))


async def test_requests_for_layers_share_a_pass_and_get_their_own_layers(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    look = looking(make_batcher(), loaded(runtime))
    first = look(["conv1"], 0)
    assert await runtime.next_pass() == [0]
    one, gone, other = look(["conv1", "fc6"], 1), look(["conv5"], 2), look(["conv1"], 3, 4)
    await settled()
    gone.cancel()
    runtime.let_all_go()
    assert set(await first) == {"conv1"}
    found = await one
    assert set(found) == {"conv1", "fc6"}
    np.testing.assert_array_equal(found["fc6"], scores(1))
    np.testing.assert_array_equal((await other)["conv1"], scores(3, 4))
    assert runtime.begun == [[0], [1, 3, 4]]
    assert runtime.layers == [["conv1"], ["conv1", "fc6"]]


async def test_passes_for_scores_and_for_layers_run_in_order_of_arrival(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    batcher, held = make_batcher(), loaded(runtime)
    ask, look = asking(batcher, held), looking(batcher, held)
    first = ask(0)
    assert await runtime.next_pass() == [0]
    rest = [ask(1), look(["fc6"], 2), ask(3), look(["fc6"], 4), ask(5)]
    await settled()
    runtime.let_all_go()
    await asyncio.gather(first, *rest)
    assert runtime.begun == [[0], [1, 3, 5], [2, 4]]
    assert runtime.layers == [None, None, ["fc6"]]


async def test_in_a_failed_pass_for_layers_only_the_faulty_image_fails(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(fails=lambda numbers: ValueError("bad image") if 2 in numbers else None)
    look = looking(make_batcher(), loaded(runtime))
    tasks = [look(["fc6"], 0)]
    await runtime.next_pass()
    tasks += [look(["fc6"], 1), look(["fc6"], 2), look(["fc6"], 3)]
    await settled()
    runtime.let_all_go()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, ValueError) for each in found] == [False, False, True, False]


async def test_an_unknown_layer_is_rejected_and_no_layers_need_no_pass(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held(free=True)
    batcher = make_batcher()
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        await batcher.outputs(loaded(runtime), images(1), ["conv1", "conv9"])
    assert await batcher.outputs(loaded(runtime), images(1), []) == {}
    assert runtime.begun == []


async def test_models_have_separate_batches_and_run_concurrently(
    make_batcher: Callable[..., Batcher], model: Model
) -> None:
    batcher, slow, other = make_batcher(), Held(), Held(free=True)
    held = asyncio.create_task(batcher.forward(LoadedModel(model, slow), images(0)))
    await slow.next_pass()
    np.testing.assert_array_equal(await batcher.forward(LoadedModel(model, other), images(1)), scores(1))
    slow.let_go()
    np.testing.assert_array_equal(await held, scores(0))


async def test_images_over_the_queue_limit_are_rejected_until_there_is_room(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    ask = asking(make_batcher(queue=2), loaded(runtime))
    asked = [ask(0)]
    await runtime.next_pass()
    asked += [ask(1), ask(2)]
    await settled()
    with pytest.raises(
        Busy, match=r"the queue of model 'tiny' version 2 is full \(2 images queued, limit 2\); try"
    ):
        await ask(3)
    asked.pop().cancel()
    await settled()
    asked.append(ask(4))
    await settled()
    runtime.let_all_go()
    await asyncio.gather(*asked)
    assert runtime.begun == [[0], [1, 4]]


async def test_a_closing_batcher_completes_its_pass_and_rejects_queued_images(
    make_batcher: Callable[..., Batcher], loaded: Callable[[Held], LoadedModel]
) -> None:
    runtime = Held()
    batcher = make_batcher(delay_s=1e6)
    ask = asking(batcher, loaded(runtime))
    running = ask(0)
    await runtime.next_pass()
    waiting = ask(1)
    await settled()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(NotReady, match="the service is shutting down"):
        await waiting
    assert not running.done()
    runtime.let_go()
    await closing
    np.testing.assert_array_equal(await running, scores(0))
