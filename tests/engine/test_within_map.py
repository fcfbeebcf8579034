"""Normalisation within maps, which reads neighbouring positions: traces, projections and receptive fields.

Expected gradients come from autograd through torch's own layers.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.layers import Conv, Flatten, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.spec import shapes
from zfscope.networks.windows import Padding

SPEC = NetworkSpec(
    name="within",
    input_size=23,
    layers=(
        Conv(name="conv1", channels=4, kernel=3, stride=2),
        ReLU(name="relu1"),
        LocalResponseNorm(name="norm1", region="within_map", size=3, alpha=0.5, k=1.0),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 1, 1, 1)),
        Conv(name="conv2", channels=5, kernel=3, padding=Padding(1, 1, 1, 1)),
        LocalResponseNorm(name="norm2", region="within_map", size=5, alpha=0.5),
    ),
)


@pytest.fixture
def network(seeded_network: Callable[..., Network]) -> Network:
    return seeded_network(SPEC)


def normalise(x: Tensor, layer: LocalResponseNorm) -> Tensor:
    squares = F.unfold(x.square(), layer.size, padding=layer.size // 2)
    sums = squares.unflatten(1, (x.shape[1], -1)).sum(2).unflatten(2, x.shape[2:])
    return x / (layer.k + layer.alpha / layer.size**2 * sums) ** layer.beta


def outputs(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Compute some layers with torch's own operations."""
    filters, layers = network.filters, network.spec.by_name
    first, second = layers["norm1"], layers["norm2"]
    assert isinstance(first, LocalResponseNorm)
    assert isinstance(second, LocalResponseNorm)
    relu1 = F.conv2d(images, filters["conv1"].weight, filters["conv1"].bias, stride=2).relu()
    norm1 = normalise(relu1, first)
    pool1 = F.max_pool2d(norm1, 3, 2, 1, ceil_mode=True)
    conv2 = F.conv2d(pool1, filters["conv2"].weight, filters["conv2"].bias, padding=1)
    return {"norm1": norm1, "conv2": conv2, "norm2": normalise(conv2, second)}


def test_outputs_equal_those_of_torch(network: Network, images_for: Callable[..., Tensor]) -> None:
    images = images_for(network)
    traced = trace(network, images).outputs
    for name, expected in outputs(network, images).items():
        torch.testing.assert_close(traced[name], expected)


@pytest.mark.parametrize("layer", ["norm1", "conv2", "norm2"])
def test_projections_by_gradient_equal_autograd(
    network: Network, images_for: Callable[..., Tensor], layer: str
) -> None:
    images = images_for(network).requires_grad_()
    values = outputs(network, images)[layer]
    traced = trace(network, images.detach())
    side = values.shape[2]
    positions = [(0, 0), (0, side - 1), (side // 2, side // 2), (side - 1, side - 2), (side - 1, side - 1)]
    units = [Unit(image, index, y, x) for image in (0, 1) for index in (0, 3) for y, x in positions]
    pixels = project(network, traced, layer, units, rule="gradient", normalisation="gradient")
    for unit, projection in zip(units, pixels, strict=True):
        value = values[unit.image, unit.map, unit.y, unit.x]
        (expected,) = torch.autograd.grad(value * value.detach(), images, retain_graph=True)
        torch.testing.assert_close(projection, expected[unit.image], rtol=1e-9, atol=1e-12)


def test_the_default_projection_skips_normalisation(
    network: Network, images_for: Callable[..., Tensor]
) -> None:
    traced = trace(network, images_for(network))
    unit = Unit(0, 1, 2, 3)
    value = traced.outputs["norm2"][0, 1, 2, 3]
    below = project(network, traced, "conv2", [unit]) / traced.outputs["conv2"][0, 1, 2, 3]
    torch.testing.assert_close(project(network, traced, "norm2", [unit]), below * value)


def test_receptive_fields_include_the_window_of_normalisation() -> None:
    fields = receptive_fields(SPEC)
    assert (fields["norm1"].size, fields["norm1"].jump, fields["norm1"].top) == (3 + 2 * 2, 2, -2)
    assert (fields["norm2"].size, fields["norm2"].top) == (
        fields["conv2"].size + 4 * 4,
        fields["conv2"].top - 2 * 4,
    )


def test_a_unit_does_not_depend_on_pixels_outside_its_field(
    network: Network, images_for: Callable[..., Tensor]
) -> None:
    images = images_for(network, 1).requires_grad_()
    left, top, right, bottom = receptive_fields(SPEC)["norm1"].box(4, 5)
    value = outputs(network, images)["norm1"][0, :, 4, 5].sum()
    (gradient,) = torch.autograd.grad(value, images)
    gradient[:, :, top:bottom, left:right] = 0
    assert not gradient.any()


def test_normalisation_of_a_vector_within_maps_is_rejected() -> None:
    norm = LocalResponseNorm(name="norm", region="within_map")
    spec = NetworkSpec(name="net", input_size=4, layers=(Flatten(name="flatten"), norm))
    with pytest.raises(ValueError, match=r"layer 'norm' reads \(48,\); it needs maps, not a vector"):
        shapes(spec)
