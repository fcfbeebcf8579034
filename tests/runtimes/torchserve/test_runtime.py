"""The TorchServe runtime, with a real TorchServe, with fake servers and with none."""

import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import TINY
from tests.runtimes.torchserve.conftest import DEFAULT, write_seeded
from tests.support.numeric import assert_close
from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.runtimes import Runtime, create_runtime
from zfscope.runtimes.torchserve import TorchServe
from zfscope.runtimes.torchserve.message import Message, pack
from zfscope.runtimes.torchserve.predictions_pb2 import PredictionResponse, PredictionsRequest
from zfscope.runtimes.torchserve.runtime import TorchServeRuntime
from zfscope.store import Model

Array = NDArray[np.float32]
MakeImages = Callable[..., Array]


def images_of(model: Model, count: int, seed: int = 0) -> Array:
    spec = model.network.spec
    size = (count, spec.input_channels, spec.input_size, spec.input_size)
    return np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)


@pytest.mark.parametrize("name", ["tiny", DEFAULT])
def test_all_runtimes_agree_on_class_scores_and_every_layer(
    name: str, models: Mapping[str, Model], torchserve: TorchServe, tmp_path: Path
) -> None:
    model = models[name]
    images = images_of(model, 2)
    layers = [layer.name for layer in model.network.spec.layers]
    runtimes = {
        kind: create_runtime(kind, model, cache=tmp_path, threads=1, torchserve=torchserve)
        for kind in ("torch", "onnx", "torchserve")
    }
    scores = {kind: runtime.forward(images) for kind, runtime in runtimes.items()}
    outputs = {kind: runtime.outputs(images, layers) for kind, runtime in runtimes.items()}
    for one, other in (("torchserve", "torch"), ("torchserve", "onnx"), ("torch", "onnx")):
        np.testing.assert_allclose(scores[one], scores[other], atol=1e-4, rtol=0)
        for layer in layers:
            pair = (outputs[one][layer], outputs[other][layer])
            rounding = 1e-5 * max(10, np.abs(pair[1]).max())  # of the layer's largest output
            np.testing.assert_allclose(*pair, atol=rounding, rtol=0, err_msg=f"{layer}: {one}, {other}")


@pytest.fixture
def runtime(tiny: Model, torchserve: TorchServe) -> Runtime:
    return TorchServeRuntime(tiny, torchserve)


def test_concurrent_calls_each_get_their_own_scores(runtime: Runtime, tiny: Model) -> None:
    batches = [images_of(tiny, 1 + seed % 3, seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(runtime.forward, batches))
    local = create_runtime("torch", tiny)
    for images, scores in zip(batches, results, strict=True):
        np.testing.assert_allclose(scores, local.forward(images), atol=1e-4)


def test_images_may_be_read_only_and_non_contiguous(runtime: Runtime, tiny: Model) -> None:
    images = images_of(tiny, 2)
    images.setflags(write=False)
    assert_close(runtime.forward(images[::-1]), runtime.forward(images)[::-1])


def test_the_check_passes_if_the_model_is_served(runtime: Runtime) -> None:
    runtime.check()


def test_invalid_images_and_layers_are_rejected_as_by_every_runtime(runtime: Runtime, tiny: Model) -> None:
    with pytest.raises(InputError, match="network 'tiny' requires"):
        runtime.forward(images_of(tiny, 1)[:, :2])
    with pytest.raises(NotFound, match="layer 'conv9' not found"):
        runtime.outputs(images_of(tiny, 1), ["conv9"])
    assert runtime.outputs(images_of(tiny, 1), []) == {}


def test_another_version_of_the_model_is_reported_as_missing(torchserve: TorchServe, tmp_path: Path) -> None:
    second = write_seeded(tmp_path, TINY, version=2)
    with pytest.raises(RuntimeUnavailable, match="does not serve model 'tiny' version 2: load"):
        TorchServeRuntime(second, torchserve).check()


def test_a_model_that_is_not_served_is_reported(torchserve: TorchServe, tmp_path: Path) -> None:
    other = write_seeded(tmp_path, TINY.model_copy(update={"name": "other"}))
    with pytest.raises(RuntimeUnavailable, match="does not serve model 'other' version 1: load"):
        TorchServeRuntime(other, torchserve).forward(images_of(other, 1))


def test_different_weights_under_the_same_name_are_rejected(torchserve: TorchServe, tmp_path: Path) -> None:
    *others, scores = TINY.layers
    wider = scores.model_copy(update={"units": 5})
    model = write_seeded(tmp_path, TINY.model_copy(update={"layers": (*others, wider)}))
    with pytest.raises(RuntimeUnavailable, match="serves different weights"):
        TorchServeRuntime(model, torchserve).check()


def at(port: int, timeout_s: float = 5) -> TorchServe:
    return TorchServe(f"127.0.0.1:{port}", timeout_s)


def test_calls_fail_at_once_if_no_server_listens(tiny: Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    runtime = TorchServeRuntime(tiny, at(port, 60))
    for call in (runtime.check, lambda: runtime.forward(images_of(tiny, 1))):
        with pytest.raises(RuntimeUnavailable, match=f"TorchServe at 127.0.0.1:{port} is unreachable"):
            call()


def test_a_server_that_does_not_respond_is_reported_after_the_time_limit(tiny: Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        runtime = TorchServeRuntime(tiny, at(silent.getsockname()[1], 0.5))
        with pytest.raises(RuntimeUnavailable, match=r"did not respond within 0\.5 s; .* export the model's"):
            runtime.check()


Respond = Callable[[PredictionsRequest, Any], PredictionResponse]


@pytest.fixture
def make_fake(tiny: Model) -> Iterator[Callable[[Respond], TorchServeRuntime]]:
    """Makes a runtime that calls a fake TorchServe, which responds as given."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")

    def make(respond: Respond) -> TorchServeRuntime:
        handler = grpc.unary_unary_rpc_method_handler(
            respond, PredictionsRequest.FromString, PredictionResponse.SerializeToString
        )
        service = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {"Predictions": handler})]
        )
        server.start()
        return TorchServeRuntime(tiny, at(port))

    yield make
    server.stop(None).wait()


def test_requests_name_the_model_its_version_and_weights(
    make_fake: Callable[[Respond], TorchServeRuntime], tiny: Model
) -> None:
    requests: list[PredictionsRequest] = []

    def respond(request: PredictionsRequest, context: Any) -> PredictionResponse:
        requests.append(request)
        return PredictionResponse(prediction=pack(Message()))

    make_fake(respond).check()
    assert (requests[0].model_name, requests[0].model_version) == ("tiny", "1")
    assert dict(requests[0].input) == {"weights": tiny.weights_sha256.encode()}


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        (
            b"Prediction failed",
            r"returned an unreadable response \(17 bytes that are not in safetensors format: .*\); was",
        ),
        (pack(Message()), r"returned arrays of shapes \{\}; expected \{'fc8': \(2, 4\)\}"),
        (
            pack(Message({"fc8": np.zeros((1, 4), np.float32)})),
            r"returned arrays of shapes \{'fc8': \(1, 4\)\}",
        ),
        (
            pack(Message({}, {"error": "serves different weights"})),
            "TorchServe at .*: serves different weights",
        ),
    ],
)
def test_an_invalid_response_is_rejected(
    make_fake: Callable[[Respond], TorchServeRuntime], tiny: Model, prediction: bytes, reason: str
) -> None:
    runtime = make_fake(lambda request, context: PredictionResponse(prediction=prediction))
    with pytest.raises(RuntimeUnavailable, match=reason):
        runtime.forward(images_of(tiny, 2))


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.INTERNAL, "Model not found: tiny\norg", "does not serve model 'tiny' version 1"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Worker died.",
            r"failed \(RESOURCE_EXHAUSTED\); see its log$",
        ),
        (grpc.StatusCode.UNKNOWN, "/home/me/secret", r"failed \(UNKNOWN\); see its log$"),
    ],
)
def test_internal_errors_of_the_server_are_not_passed_on(
    make_fake: Callable[[Respond], TorchServeRuntime], code: grpc.StatusCode, details: str, reason: str
) -> None:
    with pytest.raises(RuntimeUnavailable, match=reason) as failure:
        make_fake(lambda request, context: context.abort(code, details)).check()
    assert isinstance(failure.value.__cause__, grpc.RpcError)
