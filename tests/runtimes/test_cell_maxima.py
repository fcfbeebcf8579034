"""Maxima of maps in 3 x 3 cells: every runtime finds the same, those of torch's adaptive pooling."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.runtimes.test_map_maxima import LAYERS, SPEC
from tests.support.numeric import assert_close
from zfscope.engine import trace
from zfscope.errors import NotFound
from zfscope.runtimes import create_runtime
from zfscope.runtimes.cells import cell_count, cell_window, compute_cell_maxima
from zfscope.store import Model

MakeModel = Callable[..., Model]
MakeImages = Callable[..., NDArray[np.float32]]


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_cell_maxima_equal_the_adaptive_pooling_of_the_outputs(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 3)
    runtime = create_runtime(kind, model, cache=tmp_path)
    result = runtime.cell_maxima(images, LAYERS)
    assert tuple(result) == LAYERS
    outputs = trace(model.network, torch.from_numpy(images)).outputs
    for layer, maxima in result.items():
        output = outputs[layer]
        expected = torch.nn.functional.adaptive_max_pool2d(output, 3) if output.dim() == 4 else output
        assert maxima.dtype == np.float32
        assert_close(maxima, expected.numpy())
        assert_close(compute_cell_maxima(output.numpy()), expected.numpy())
    assert runtime.cell_maxima(images, []) == {}
    with pytest.raises(NotFound, match="conv9"):
        runtime.cell_maxima(images, ["conv9"])


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_cell_maxima_on_a_gpu_equal_those_on_the_cpu(
    kind: str, make_model: MakeModel, make_images: MakeImages, tmp_path: Path
) -> None:
    model, images = make_model(SPEC), make_images(SPEC, 3)
    cpu, gpu = (
        create_runtime(kind, model, cache=tmp_path, device=device).cell_maxima(images, LAYERS)
        for device in ("cpu", "cuda")
    )
    for layer, maxima in gpu.items():
        assert_close(maxima, cpu[layer])


@pytest.mark.parametrize("size", range(1, 40))
def test_the_windows_of_an_axis_are_its_cells(size: int) -> None:
    kernel, stride, padding = cell_window(size)
    cells = [
        range(max(0, start), min(size, start + kernel))
        for start in range(-padding, size + padding - kernel + 1, stride)
    ]
    count = cell_count(size)
    assert cells == [range(size * i // count, -(-size * (i + 1) // count)) for i in range(count)]
    assert padding < kernel
