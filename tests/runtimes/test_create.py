"""Runtimes by name, and what every one of them refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.errors import InputError, RuntimeUnavailable
from zfscope.runtimes import RUNTIMES, Runtime, create_runtime
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, model: Model, tmp_path: Path) -> Runtime:
    return create_runtime(request.param, model, cache=tmp_path, threads=1)


def test_onnx_is_the_default() -> None:
    assert RUNTIMES[0] == "onnx"


@pytest.mark.parametrize("kind", RUNTIMES)
def test_a_runtime_knows_its_name(kind: str, model: Model, tmp_path: Path) -> None:
    assert create_runtime(kind, model, cache=tmp_path).name == kind


def test_every_runtime_gives_the_scores_of_the_network(
    runtime: Runtime, model: Model, make_images: MakeImages
) -> None:
    images = make_images(model.network.spec)
    expected = model.network(torch.from_numpy(images)).numpy()
    scores = runtime.forward(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 1, 16, 16), (1, 3, 15, 16), (0, 3, 16, 16), (1, 3, 16)])
def test_every_runtime_refuses_images_of_another_shape(runtime: Runtime, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        InputError, match=r"network 'small' reads \(N, 3, 16, 16\) with N of 1 or more"
    ) as caught:
        runtime.forward(np.zeros(shape, np.float32))
    assert str(shape) in str(caught.value)


def test_every_runtime_refuses_images_of_another_type(runtime: Runtime) -> None:
    images = np.zeros((1, 3, 16, 16))
    with pytest.raises(InputError, match="images of type float64; network 'small' reads float32"):
        runtime.forward(images)  # type: ignore[arg-type]  # what mypy forbids is what is tested


def test_an_unknown_runtime_is_told_with_those_there_are(model: Model) -> None:
    with pytest.raises(RuntimeUnavailable, match="no runtime 'tensorrt'; there are onnx, torch"):
        create_runtime("tensorrt", model)


def test_an_unknown_device_is_told_with_those_there_are(model: Model) -> None:
    with pytest.raises(RuntimeUnavailable, match="no device 'tpu'; there are cpu, cuda"):
        create_runtime("torch", model, device="tpu")
