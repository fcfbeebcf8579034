"""ClassificationService over the wire."""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from tests.server.conftest import SPEC, RunningService
from zfscope.client import Box, Client
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks import NetworkSpec, build
from zfscope.runtimes import OnnxRuntime
from zfscope.server.settings import Settings
from zfscope.store import Manifest, Model, ModelStore, Provenance, write_model
from zfscope.v1 import classification_pb2 as pb
from zfscope.v1 import image_pb2
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub
from zfscope.wire.tensors import tensor_to_wire


@pytest.fixture(scope="module")
def model(store: Path) -> Model:
    return ModelStore(store).load("tiny")


def probabilities(model: Model, pixels: np.ndarray) -> np.ndarray:
    """Return the mean probabilities of the crops, computed with torch."""
    with torch.inference_mode():
        mean: np.ndarray = model.network(torch.from_numpy(pixels)).softmax(dim=1).mean(dim=0).numpy()
    return mean


def test_probabilities_match_the_network_in_process(client: Client, photo: bytes, model: Model) -> None:
    expected = probabilities(model, prepare(decode(photo), model.preprocessing).pixels)

    answer = client.classify(photo)

    assert [score.index for score in answer.classes] == list(np.argsort(-expected))
    assert [score.probability for score in answer.classes] == pytest.approx(
        sorted(expected, reverse=True), abs=1e-5
    )
    assert [score.label for score in answer.classes] == [
        model.labels[score.index].name for score in answer.classes
    ]
    assert [score.label_id for score in answer.classes] == [
        model.labels[score.index].id for score in answer.classes
    ]


def test_loading_a_model_does_not_delay_requests_to_other_models(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, make_service: Callable[..., RunningService]
) -> None:
    service = make_service(settings)
    service.warm_up()
    started, released, load = threading.Event(), threading.Event(), ModelStore.load

    def slow_load(*args: Any, **options: Any) -> Model:
        started.set()
        assert released.wait(timeout=30)
        return load(*args, **options)

    monkeypatch.setattr(ModelStore, "load", slow_load)
    request = pb.ClassifyRequest(version=1, image=image_pb2.Image(tensor=tensor_to_wire(blank())))
    with grpc.insecure_channel(service.address) as channel, Client(service.address) as client:
        waiting = ClassificationServiceStub(channel).Classify.future(request, timeout=30)
        assert started.wait(timeout=30)

        assert client.classify(blank()).version == 2

        released.set()
        assert waiting.result(timeout=30).version == 1


def blank() -> np.ndarray:
    return np.zeros((3, 32, 32), np.float32)


def write_model_without_classes(store: Path) -> None:
    spec = NetworkSpec(name="maps", input_size=32, layers=SPEC.layers[:-2])
    manifest = Manifest(
        name="maps",
        version=1,
        summary="No class scores",
        network=spec,
        preprocessing=Preprocessing(short_side=36, centre=36, crop=32, std=(50, 50, 50)),
        labels=(),
        provenance=Provenance(source="created by a test"),
    )
    write_model(store, manifest, build(spec, generator=torch.Generator().manual_seed(1)))


def test_a_model_without_classes_can_be_analyzed_but_does_not_classify(
    settings: Settings, photo: bytes, tmp_path: Path, make_service: Callable[[Settings], RunningService]
) -> None:
    write_model_without_classes(tmp_path)
    service = make_service(settings.model_copy(update={"store": tmp_path, "default_model": "maps"}))
    service.warm_up()
    message = "model 'maps' version 1 has no classes: it ends in the feature maps of 'relu5'"
    with Client(service.address) as client:
        assert (client.models()[0].classes, client.model().labels) == (0, ())
        assert len(client.project(photo, layer="relu5", top=2, control=True).projections) == 2
        parts = {"all": [Box(10, 10, 30, 30)] * 2}
        assert client.correspond([photo, photo], parts, layers=["relu5"]).rows[0].mean == 0
        for call, start in (
            (partial(client.classify, photo), ""),
            (
                partial(client.occlude, photo, layer="relu5", window=16, stride=8),
                "'occlude' needs class scores; ",
            ),
            (partial(client.measure_invariance, [photo]), "'invariance' needs class scores; "),
        ):
            with pytest.raises(InputError, match=f"^{start}{message}") as error:
                call()
            assert error.value.field == "model"


def test_probability_is_the_softmax_of_the_logits(client: Client, photo: bytes) -> None:
    classes = client.classify(photo).classes

    exponentials = np.exp([score.logit for score in classes])
    assert [score.probability for score in classes] == pytest.approx(
        list(exponentials / exponentials.sum()), rel=1e-4
    )


def test_probabilities_of_ten_crops_are_averaged(client: Client, photo: bytes, model: Model) -> None:
    expected = probabilities(model, prepare(decode(photo), model.preprocessing, crops="ten").pixels)

    answer = client.classify(photo, ten_crop=True)

    assert answer.classes[0].probability == pytest.approx(float(expected.max()), abs=1e-5)


def test_the_response_names_the_model_and_the_size_of_the_photo(client: Client, photo: bytes) -> None:
    answer = client.classify(photo)

    assert (answer.model, answer.version) == ("tiny", 2)
    assert answer.photo_size == (48, 60)


def test_a_request_can_name_a_model_and_a_version(client: Client, photo: bytes) -> None:
    assert client.classify(photo, model="other").model == "other"
    assert client.classify(photo, version=1).version == 1


def test_a_preprocessed_tensor_is_classified_like_the_photo(
    client: Client, photo: bytes, model: Model
) -> None:
    pixels = prepare(decode(photo), model.preprocessing).pixels[0]

    assert client.classify(pixels).classes == client.classify(photo).classes


def test_top_limits_the_classes_and_can_exceed_their_number(client: Client, photo: bytes) -> None:
    assert len(client.classify(photo, top=1).classes) == 1
    assert len(client.classify(photo, top=1000).classes) == 4


@pytest.mark.parametrize("top", [0, -1, 1001, 10**9])
def test_a_top_out_of_range_is_rejected(client: Client, photo: bytes, top: int) -> None:
    with pytest.raises(InputError, match=f"top is {top}; allowed: 1 to 1000 classes") as caught:
        client.classify(photo, top=top)

    assert caught.value.field == "top"


def test_an_unknown_model_is_not_found(client: Client, photo: bytes) -> None:
    with pytest.raises(NotFound, match="model 'huge' not found; available: other, tiny"):
        client.classify(photo, model="huge")


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_both_runtimes_return_the_same_probabilities(
    settings: Settings, make_service: object, client: Client, photo: bytes, runtime: str
) -> None:
    other = make_service(settings.model_copy(update={"runtime": runtime}))
    other.warm_up()

    with Client(other.address) as second:
        scores = [score.probability for score in second.classify(photo).classes]

    assert scores == pytest.approx([score.probability for score in client.classify(photo).classes], abs=1e-5)


class BlockedForward:
    """A forward pass that blocks until it is released; records the batch sizes."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.batch_sizes: list[int] = []
        self.started, self._released, self._forward = threading.Semaphore(0), threading.Semaphore(0), forward

    def __call__(self, runtime: OnnxRuntime, images: np.ndarray) -> np.ndarray:
        self.batch_sizes.append(len(images))
        self.started.release()
        assert self._released.acquire(timeout=30)
        return self._forward(runtime, images)

    def release(self) -> None:
        """Let one pass continue: the running one, otherwise the next."""
        self._released.release()


def test_cancelling_one_of_four_requests_in_a_pass_does_not_affect_the_others(
    monkeypatch: pytest.MonkeyPatch, service: RunningService, channel: grpc.Channel, model: Model
) -> None:
    blocked = BlockedForward(OnnxRuntime.forward)
    monkeypatch.setattr(OnnxRuntime, "forward", lambda runtime, images: blocked(runtime, images))
    stub = ClassificationServiceStub(channel)
    pixels = np.random.default_rng(5).normal(0, 1, (5, 3, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = model.network(torch.from_numpy(pixels)).argmax(dim=1).tolist()
        logits = model.network(torch.from_numpy(pixels)).max(dim=1).values.tolist()
    requests = [pb.ClassifyRequest(image=image_pb2.Image(tensor=tensor_to_wire(one))) for one in pixels]

    async def queued_images() -> int:
        return sum(queue.length for queue in service.service._backend.batcher._queues.values())

    def wait_for_queued(images: int) -> None:
        while service.call(queued_images()) != images:
            time.sleep(0.001)

    for repetition in range(100):
        cancelled = repetition % 4
        first = stub.Classify.future(requests[4], timeout=30)
        assert blocked.started.acquire(timeout=30)
        calls = [stub.Classify.future(request, timeout=30) for request in requests[:4]]
        wait_for_queued(4)
        blocked.release()
        assert blocked.started.acquire(timeout=30)  # the pass of all four
        calls.pop(cancelled).cancel()
        blocked.release()
        answers = [call.result(timeout=30).classes[0] for call in (first, *calls)]
        others = [4, *(number for number in range(4) if number != cancelled)]
        assert [answer.index for answer in answers] == [expected[number] for number in others]
        assert [answer.logit for answer in answers] == pytest.approx([logits[n] for n in others], abs=1e-4)
    assert blocked.batch_sizes == [1, 4] * 100
