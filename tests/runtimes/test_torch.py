"""The torch runtime."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.numeric import assert_close
from zfscope.engine.cpu.threads import single_core_pool
from zfscope.errors import RuntimeUnavailable
from zfscope.runtimes.torch import TorchRuntime
from zfscope.store import Model

MakeImages = Callable[..., NDArray[np.float32]]
# Number of images and of threads of each pass.
Passes = list[tuple[int, int]]


@pytest.fixture
def ran(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Passes]:
    """Passes of the model's network, with torch's number of threads at three."""
    passes: Passes = []
    before, outputs = torch.get_num_threads(), model.network.outputs

    def record(images: torch.Tensor, layers: Sequence[str], **options: Any) -> Mapping[str, torch.Tensor]:
        passes.append((len(images), torch.get_num_threads()))
        return outputs(images, layers, **options)

    monkeypatch.setattr(model.network, "outputs", record)
    torch.set_num_threads(3)
    yield passes
    torch.set_num_threads(before)


def test_scores_equal_those_of_the_network(model: Model, make_images: MakeImages) -> None:
    images = make_images(model.network.spec, 3)
    scores = TorchRuntime(model.network).forward(images)
    inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    assert_close(scores, model.network(inputs).numpy())


@pytest.mark.parametrize(
    ("images", "passes"), [(1, [(1, 3)]), (2, [(1, 1)] * 2), (5, [(1, 1), (2, 1), (2, 1)])]
)
def test_each_core_runs_a_part_of_the_images(
    images: int, passes: Sequence[tuple[int, int]], model: Model, make_images: MakeImages, ran: Passes
) -> None:
    batch = make_images(model.network.spec, images)
    scores = TorchRuntime(model.network).forward(batch)
    assert sorted(ran) == passes
    for image, row in zip(batch, scores, strict=True):
        assert_close(row, model.network(torch.from_numpy(image[None])).numpy()[0])


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


def test_with_one_thread_passes_take_one_core_each(
    model: Model, make_images: MakeImages, ran: Passes
) -> None:
    images = make_images(model.network.spec, 3)
    runtime = TorchRuntime(model.network, threads=1)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(runtime.forward, [images] * 16))
    results.append(single_core_pool(3).submit(runtime.forward, images).result(30))  # waits for no thread
    assert ran == [(3, 1)] * 17
    for scores in results:
        assert_close(scores, model.network(torch.from_numpy(images)).numpy())


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
