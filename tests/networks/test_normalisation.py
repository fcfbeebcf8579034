"""Contrast normalisation: values and gradients equal torch's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.networks.layers import LocalResponseNorm
from zfscope.networks.normalisation import local_response_norm, local_response_norm_gradient, window_sum

LAYERS = [
    LocalResponseNorm(name="krizhevsky"),
    LocalResponseNorm(name="strong", size=3, alpha=2.0, k=1.0),
    LocalResponseNorm(name="wide", size=9, alpha=1.0),
    LocalResponseNorm(name="single", size=1, alpha=1.0),
    LocalResponseNorm(name="root", alpha=1.0, beta=0.5),
    LocalResponseNorm(name="other-power", alpha=1.0, beta=0.6, k=0.5),
]
WITHIN = [
    LocalResponseNorm(name="caffe", region="within_map", size=3, alpha=5e-5, k=1.0),
    LocalResponseNorm(name="strong", region="within_map", size=3, alpha=2.0, beta=0.6, k=1.0),
    LocalResponseNorm(name="wider-than-maps", region="within_map", size=9, alpha=1.0),
    LocalResponseNorm(name="single", region="within_map", size=1, alpha=1.0),
]


def maps(channels: int = 7, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, 4, 5, generator=generator, dtype=dtype) * 3


def reference(x: Tensor, layer: LocalResponseNorm) -> Tensor:
    return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_across_maps_equal_torch(
    layer: LocalResponseNorm, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    x = maps(dtype=dtype).contiguous(memory_format=layout).requires_grad_()
    reference_x = maps(dtype=dtype).requires_grad_()
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    value, expected = local_response_norm(x, layer), reference(reference_x, layer)
    (gradient,) = torch.autograd.grad(value, x, upstream.contiguous(memory_format=layout))
    (expected_gradient,) = torch.autograd.grad(expected, reference_x, upstream)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_gradients_across_maps_equal_finite_differences(layer: LocalResponseNorm) -> None:
    x = maps().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: local_response_norm(x, layer), (x,))


def normalise_within_maps(x: Tensor, layer: LocalResponseNorm) -> Tensor:
    """Normalise each value by the squares of its window in the map, one by one."""
    normal, reach = x.clone(), layer.size // 2
    for y in range(x.shape[2]):
        for left in range(x.shape[3]):
            rows, columns = (
                slice(max(y - reach, 0), y + reach + 1),
                slice(max(left - reach, 0), left + reach + 1),
            )
            mean = x[:, :, rows, columns].square().sum((2, 3)) / layer.size**2
            normal[:, :, y, left] = x[:, :, y, left] / (layer.k + layer.alpha * mean) ** layer.beta
    return normal


@pytest.mark.parametrize("layer", WITHIN, ids=lambda layer: layer.name)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_within_maps_equal_a_computation_by_position(
    layer: LocalResponseNorm, layout: torch.memory_format
) -> None:
    x = maps().contiguous(memory_format=layout)
    torch.testing.assert_close(local_response_norm(x, layer), normalise_within_maps(maps(), layer))


@pytest.mark.parametrize("layer", WITHIN, ids=lambda layer: layer.name)
def test_gradients_within_maps_equal_finite_differences(layer: LocalResponseNorm) -> None:
    x = maps(2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: local_response_norm(x, layer), (x,))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_gradient_without_autograd_equals_autograd(layer: LocalResponseNorm) -> None:
    x, upstream = maps().requires_grad_(), maps() + 1
    (expected,) = torch.autograd.grad(reference(x, layer), x, upstream)
    torch.testing.assert_close(local_response_norm_gradient(x.detach(), upstream, layer), expected)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_window_may_be_larger_than_the_number_of_maps(channels: int) -> None:
    layer = LocalResponseNorm(name="norm", size=7, alpha=1.0)
    torch.testing.assert_close(local_response_norm(maps(channels), layer), reference(maps(channels), layer))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_window_sum_adds_neighbouring_maps(layout: torch.memory_format) -> None:
    x = torch.tensor([1.0, 2.0, 4.0, 8.0])[None, :, None, None].expand(1, 4, 2, 2)
    sums = window_sum(x.contiguous(memory_format=layout), 3)
    assert sums[0, :, 0, 1].tolist() == [3, 7, 14, 12]


def test_vectors_are_normalised_as_maps_of_one_pixel() -> None:
    layer = LocalResponseNorm(name="norm", alpha=1.0)
    x = maps()[:, :, 0, 0]
    expected = local_response_norm(x[:, :, None, None], layer)[:, :, 0, 0]
    torch.testing.assert_close(local_response_norm(x, layer), expected)


def test_inputs_are_not_modified() -> None:
    x = maps()
    local_response_norm(x, LAYERS[0])
    local_response_norm_gradient(x, x, LAYERS[0])
    assert torch.equal(x, maps())
