"""The torch runtime."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.torch import TorchRuntime
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]


def test_scores_equal_those_of_the_network(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 3)
    scores = TorchRuntime(model.network).forward(images)
    inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(scores, model.network(inputs).numpy())


def test_images_may_be_read_only_and_non_contiguous(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec)
    images.setflags(write=False)
    runtime = TorchRuntime(model.network)
    np.testing.assert_array_equal(runtime.forward(images[::-1]), runtime.forward(images[::-1].copy()))


def test_weights_are_shared_on_the_cpu(model: Model, make_images: MakeImages) -> None:
    runtime = TorchRuntime(model.network)
    with torch.no_grad():
        model.network.filters["fc2"].weight.zero_()
        model.network.filters["fc2"].bias.fill_(7)
    assert (runtime.forward(make_images(model.network.spec)) == 7).all()


@pytest.mark.gpu
def test_scores_on_a_gpu_equal_those_on_the_cpu(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 3)
    expected = TorchRuntime(model.network).forward(images)
    np.testing.assert_allclose(
        TorchRuntime(model.network, device="cuda").forward(images), expected, atol=1e-4
    )


def test_cuda_is_rejected_if_unavailable(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeUnavailable, match="runtime 'torch' cannot use CUDA: torch found no device"):
        TorchRuntime(model.network, device="cuda")
