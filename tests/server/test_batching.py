"""Batching of requests, with a runtime whose passes block until they are released."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.server.recording_runtime import TIMEOUT_S, Images, RecordingRuntime, images, scores
from zfscope.errors import Busy, InputError, NotFound, NotReady, RuntimeUnavailable
from zfscope.runtimes import LoadedModel
from zfscope.server.batching import Batcher
from zfscope.store import Model, ModelStore

MakeBatcher = Callable[..., Batcher]
Load = Callable[[RecordingRuntime], LoadedModel]


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


@pytest.fixture
def loaded(model: Model) -> Load:
    """Return a function that pairs the model with a runtime."""
    return lambda runtime: LoadedModel(model, runtime)


@pytest.fixture
async def make_batcher() -> AsyncIterator[MakeBatcher]:
    """Return a function that creates batchers, by default of four images and without delay."""
    made: list[Batcher] = []

    def make(*, size: int = 4, delay_s: float = 0, queue: int = 100, models: int = 2) -> Batcher:
        made.append(Batcher(size=size, delay_s=delay_s, queue=queue, models=models))
        return made[-1]

    yield make
    for batcher in made:
        await batcher.close()


async def run_pending_tasks() -> None:
    """Run the pending tasks of this event loop until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def score_client(batcher: Batcher, loaded: LoadedModel) -> Callable[..., "asyncio.Task[Images]"]:
    """Return a function that requests the class scores of images."""
    return lambda *numbers: asyncio.create_task(batcher.forward(loaded, images(*numbers)))


async def test_a_lone_request_runs_at_once_whatever_the_delay(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(blocking=False)
    batcher = make_batcher(delay_s=1e6)
    for number in range(3):
        answer = await asyncio.wait_for(batcher.forward(loaded(runtime), images(number)), TIMEOUT_S)
        np.testing.assert_array_equal(answer, scores(number))
    assert runtime.passes == [[0], [1], [2]]


async def test_requests_that_arrive_during_a_pass_are_batched_in_order(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    request_scores = score_client(make_batcher(), loaded(runtime))
    requests = [request_scores(0)]
    await runtime.next_pass()
    requests += [request_scores(number) for number in range(1, 7)]
    await run_pending_tasks()
    runtime.release_all()
    np.testing.assert_array_equal(np.concatenate(await asyncio.gather(*requests)), scores(*range(7)))
    assert runtime.passes == [[0], [1, 2, 3, 4], [5, 6]]


async def test_cancelling_one_request_of_a_pass_does_not_affect_the_others(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    for repetition in range(100):
        runtime, cancelled = RecordingRuntime(), repetition % 4
        request_scores = score_client(make_batcher(), loaded(runtime))
        requests = [request_scores(number) for number in range(4)]
        assert await runtime.next_pass() == [0, 1, 2, 3]
        requests[cancelled].cancel()
        await run_pending_tasks()
        runtime.release()
        answers = await asyncio.gather(*requests, return_exceptions=True)
        for number, answer in enumerate(answers):
            if number == cancelled:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                np.testing.assert_array_equal(answer, scores(number))


async def test_requests_cancelled_or_expired_before_their_pass_are_not_run(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    request_scores = score_client(make_batcher(), loaded(runtime))
    first = request_scores(0)
    await runtime.next_pass()
    requests = [request_scores(number) for number in range(1, 7)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(request_scores(7), 0.001)
    requests[1].cancel()
    runtime.release_all()
    await asyncio.gather(first, *requests, return_exceptions=True)
    assert runtime.passes == [[0], [1, 3, 4, 5], [6]]


async def test_in_a_failed_pass_only_the_faulty_image_fails(make_batcher: MakeBatcher, loaded: Load) -> None:
    def error_for(numbers: list[int]) -> Exception | None:
        return ZeroDivisionError("image 2 is bad") if 2 in numbers else None

    runtime = RecordingRuntime(blocking=False, error_for=error_for)
    request_scores = score_client(make_batcher(), loaded(runtime))
    answers = await asyncio.gather(*(request_scores(number) for number in range(4)), return_exceptions=True)
    assert isinstance(answers[2], ZeroDivisionError)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(answers[number], scores(number))
    assert runtime.passes == [[0, 1, 2, 3], [0], [1], [2], [3]]
    np.testing.assert_array_equal(await request_scores(9), scores(9))


async def test_an_unavailable_runtime_fails_all_images_without_retries(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(
        blocking=False, error_for=lambda numbers: RuntimeUnavailable("the runtime is gone")
    )
    request_scores = score_client(make_batcher(), loaded(runtime))
    answers = await asyncio.gather(*(request_scores(number) for number in range(4)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["the runtime is gone"] * 4
    assert runtime.passes == [[0, 1, 2, 3]]


async def test_images_of_another_shape_are_rejected_before_any_pass(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(blocking=False)
    with pytest.raises(InputError, match=r"images of shape \(1, 3, 31, 32\); network 'tiny' requires"):
        await make_batcher().forward(loaded(runtime), images(0)[:, :, 1:])
    assert runtime.passes == []


async def test_a_request_of_many_images_takes_several_passes(make_batcher: MakeBatcher, loaded: Load) -> None:
    runtime = RecordingRuntime(blocking=False)
    answer = await make_batcher().forward(loaded(runtime), images(*range(10)))
    np.testing.assert_array_equal(answer, scores(*range(10)))
    assert runtime.passes == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_cancelled_request_of_many_images_makes_room_for_others(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    request_scores = score_client(make_batcher(), loaded(runtime))
    many = request_scores(*range(10))
    assert await runtime.next_pass() == [0, 1, 2, 3]
    other = request_scores(99)
    many.cancel()
    await run_pending_tasks()
    runtime.release()
    assert await runtime.next_pass() == [99]
    runtime.release()
    np.testing.assert_array_equal(await other, scores(99))


async def test_the_next_pass_waits_for_callers_that_were_just_answered(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(blocking=False)
    request_scores = score_client(make_batcher(delay_s=1e6), loaded(runtime))
    await asyncio.gather(*(request_scores(number) for number in range(3)))
    again = [request_scores(3), request_scores(4)]
    await run_pending_tasks()
    assert runtime.passes == [[0, 1, 2]]
    await asyncio.gather(*again, request_scores(5))
    assert runtime.passes == [[0, 1, 2], [3, 4, 5]]


async def test_the_next_pass_waits_no_longer_than_the_delay(make_batcher: MakeBatcher, loaded: Load) -> None:
    runtime = RecordingRuntime(blocking=False)
    request_scores = score_client(make_batcher(delay_s=0.01), loaded(runtime))
    await asyncio.gather(*(request_scores(number) for number in range(3)))
    await asyncio.wait_for(request_scores(3), TIMEOUT_S)
    assert runtime.passes == [[0, 1, 2], [3]]


def layer_client(
    batcher: Batcher, loaded: LoadedModel
) -> Callable[..., "asyncio.Task[Mapping[str, Images]]"]:
    """Return a function that requests layers of images."""
    return lambda layers, *numbers: asyncio.create_task(batcher.outputs(loaded, images(*numbers), layers))


async def test_requests_for_layers_share_a_pass_and_get_their_own_layers(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    request_layers = layer_client(make_batcher(), loaded(runtime))
    first = request_layers(["conv1"], 0)
    assert await runtime.next_pass() == [0]
    one, cancelled, other = (
        request_layers(["conv1", "fc6"], 1),
        request_layers(["conv5"], 2),
        request_layers(["conv1"], 3, 4),
    )
    await run_pending_tasks()
    cancelled.cancel()
    runtime.release_all()
    assert set(await first) == {"conv1"}
    results = await one
    assert set(results) == {"conv1", "fc6"}
    np.testing.assert_array_equal(results["fc6"], scores(1))
    np.testing.assert_array_equal((await other)["conv1"], scores(3, 4))
    assert runtime.passes == [[0], [1, 3, 4]]
    assert runtime.layers == [["conv1"], ["conv1", "fc6"]]


async def test_passes_for_scores_and_for_layers_run_in_order_of_arrival(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    batcher, model = make_batcher(), loaded(runtime)
    request_scores, request_layers = score_client(batcher, model), layer_client(batcher, model)
    first = request_scores(0)
    assert await runtime.next_pass() == [0]
    rest = [
        request_scores(1),
        request_layers(["fc6"], 2),
        request_scores(3),
        request_layers(["fc6"], 4),
        request_scores(5),
    ]
    await run_pending_tasks()
    runtime.release_all()
    await asyncio.gather(first, *rest)
    assert runtime.passes == [[0], [1, 3, 5], [2, 4]]
    assert runtime.layers == [None, None, ["fc6"]]


async def test_in_a_failed_pass_for_layers_only_the_faulty_image_fails(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(error_for=lambda numbers: ValueError("bad image") if 2 in numbers else None)
    request_layers = layer_client(make_batcher(), loaded(runtime))
    tasks = [request_layers(["fc6"], 0)]
    await runtime.next_pass()
    tasks += [request_layers(["fc6"], 1), request_layers(["fc6"], 2), request_layers(["fc6"], 3)]
    await run_pending_tasks()
    runtime.release_all()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, ValueError) for result in results] == [False, False, True, False]


async def test_an_unknown_layer_is_rejected_and_no_layers_need_no_pass(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime(blocking=False)
    batcher = make_batcher()
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        await batcher.outputs(loaded(runtime), images(1), ["conv1", "conv9"])
    assert await batcher.outputs(loaded(runtime), images(1), []) == {}
    assert runtime.passes == []


async def test_models_have_separate_batches_and_run_concurrently(
    make_batcher: MakeBatcher, model: Model
) -> None:
    batcher, slow, other = make_batcher(), RecordingRuntime(), RecordingRuntime(blocking=False)
    blocked = asyncio.create_task(batcher.forward(LoadedModel(model, slow), images(0)))
    await slow.next_pass()
    np.testing.assert_array_equal(await batcher.forward(LoadedModel(model, other), images(1)), scores(1))
    slow.release()
    np.testing.assert_array_equal(await blocked, scores(0))


async def test_images_over_the_queue_limit_are_rejected_until_there_is_room(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    request_scores = score_client(make_batcher(queue=2), loaded(runtime))
    requests = [request_scores(0)]
    await runtime.next_pass()
    requests += [request_scores(1), request_scores(2)]
    await run_pending_tasks()
    with pytest.raises(
        Busy, match=r"the queue of model 'tiny' version 2 is full \(2 images queued, limit 2\); try"
    ):
        await request_scores(3)
    requests.pop().cancel()
    await run_pending_tasks()
    requests.append(request_scores(4))
    await run_pending_tasks()
    runtime.release_all()
    await asyncio.gather(*requests)
    assert runtime.passes == [[0], [1, 4]]


async def test_a_closing_batcher_completes_its_pass_and_rejects_queued_images(
    make_batcher: MakeBatcher, loaded: Load
) -> None:
    runtime = RecordingRuntime()
    batcher = make_batcher(delay_s=1e6)
    request_scores = score_client(batcher, loaded(runtime))
    running = request_scores(0)
    await runtime.next_pass()
    queued = request_scores(1)
    await run_pending_tasks()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(NotReady, match="the service is shutting down"):
        await queued
    assert not running.done()
    runtime.release()
    await closing
    np.testing.assert_array_equal(await running, scores(0))
