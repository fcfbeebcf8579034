"""Creation of runtimes by name, and behaviour common to all runtimes."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import BRANCHY, TINY
from tests.runtimes.conftest import SMALL
from tests.support.numeric import assert_close
from zfscope.engine.trace import trace
from zfscope.errors import InputError, NotFound, RuntimeUnavailable
from zfscope.networks import NetworkSpec
from zfscope.runtimes import RUNTIMES, Runtime, create_runtime
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]
MakeModel = Callable[..., Model]

# Runtimes that need no other process; for TorchServe see `torchserve/`.
LOCAL = ("onnx", "torch")


@pytest.fixture(params=LOCAL)
def runtime(request: pytest.FixtureRequest, model: Model, tmp_path: Path) -> Runtime:
    return create_runtime(request.param, model, cache=tmp_path, threads=1)


def test_onnx_is_the_default() -> None:
    assert RUNTIMES[0] == "onnx"


def test_the_documentation_lists_every_runtime() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "torchserve.md").read_text(encoding="utf-8")
    introduction = page.partition("\n\n")[2].partition("\n\n")[0]
    assert [name for name in RUNTIMES if not re.search(rf"`(--runtime )?{name}`", introduction)] == []


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_runtime_has_its_name_as_title_on_the_cpu(kind: str, model: Model, tmp_path: Path) -> None:
    runtime = create_runtime(kind, model, cache=tmp_path)
    assert runtime.name == runtime.title == kind


def test_every_runtime_returns_the_scores_of_the_network(
    runtime: Runtime, model: Model, make_images: MakeImages
) -> None:
    images = make_images(model.network.spec)
    expected = model.network(torch.from_numpy(images)).numpy()
    scores = runtime.forward(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("kind", LOCAL)
@pytest.mark.parametrize("spec", [TINY, BRANCHY], ids=lambda spec: spec.name)
def test_every_runtime_returns_the_outputs_of_every_layer(
    kind: str, spec: NetworkSpec, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model = make_model(spec)
    images = make_images(spec, 3)
    expected = trace(model.network, torch.from_numpy(images)).outputs
    layers = [layer.name for layer in spec.layers]
    outputs = create_runtime(kind, model, cache=tmp_path, threads=1).outputs(images, layers)
    assert list(outputs) == layers
    for layer in layers:
        assert outputs[layer].dtype == np.float32
        np.testing.assert_allclose(outputs[layer], expected[layer].numpy(), atol=1e-4, err_msg=layer)


def test_every_runtime_returns_only_the_requested_layers(
    runtime: Runtime, model: Model, make_images: MakeImages
) -> None:
    images = make_images(model.network.spec)
    outputs = runtime.outputs(images, ["fc2", "conv1", "fc2"])
    assert set(outputs) == {"fc2", "conv1"}
    assert_close(outputs["fc2"], runtime.forward(images))
    assert runtime.outputs(images, []) == {}


def test_every_runtime_rejects_an_unknown_layer(runtime: Runtime, make_images: MakeImages) -> None:
    with pytest.raises(NotFound, match="layer 'conv9' not found; available: conv1, relu1") as caught:
        runtime.outputs(make_images(SMALL), ["conv1", "conv9"])
    assert caught.value.field == "layers"


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 15, 16), (0, 3, 16, 16), (1, 3, 16)])
def test_every_runtime_rejects_images_of_the_wrong_shape(runtime: Runtime, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        InputError, match=r"network 'small' requires \(N, 3, 16, 16\), N at least 1"
    ) as caught:
        runtime.forward(np.zeros(shape, np.float32))
    assert str(shape) in str(caught.value)
    with pytest.raises(InputError, match="network 'small' requires"):
        runtime.outputs(np.zeros(shape, np.float32), ["conv1"])


def test_every_runtime_rejects_images_of_the_wrong_type(runtime: Runtime) -> None:
    images = np.zeros((1, 3, 16, 16))
    with pytest.raises(InputError, match="images of type float64; network 'small' requires float32"):
        runtime.forward(images)  # type: ignore[arg-type]  # rejected by mypy, as by the runtime


def test_an_unknown_runtime_is_rejected_with_the_available_ones(model: Model) -> None:
    with pytest.raises(
        RuntimeUnavailable, match="unknown runtime 'tensorrt'; available: onnx, torch, torchserve"
    ):
        create_runtime("tensorrt", model)


def test_an_unknown_device_is_rejected_with_the_available_ones(model: Model) -> None:
    with pytest.raises(RuntimeUnavailable, match="unknown device 'tpu'; available: cpu, cuda"):
        create_runtime("torch", model, device="tpu")
