"""Backward steps: the transpose of the forward step, except where the paper defines otherwise.

Some tests guard against common defects of deconvnet implementations.
"""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.support.random_networks import random_spec
from zfscope.engine import Trace, receptive_fields, trace
from zfscope.engine.backward import BACKWARD, LayerContext, Rule, rectify
from zfscope.engine.cpu import FAST, backward_step
from zfscope.engine.signal import Signal, on_canvas
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.forward import max_pool
from zfscope.networks.layer import Layer, computed_kinds
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.windows import Padding


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole_maps(values: Tensor) -> Signal:
    seeds = len(values)
    return Signal(values, torch.arange(seeds), torch.zeros(seeds, 2, dtype=torch.int64))


def apply_both(context: LayerContext, signal: Signal) -> Sequence[Signal]:
    """Apply the reference implementation of a step, and check that the fast one returns the same."""
    reference = BACKWARD[context.layer.kind](context.layer, signal, context)
    for one, other in zip(reference, backward_step(context, torch.device("cpu"))(signal), strict=True):
        assert torch.equal(one.origins, other.origins)
        torch.testing.assert_close(one.values, other.values)
    return reference


def step_backward(
    network: Network, traced: Trace, layer: Layer, values: Tensor, rule: Rule = "gradient"
) -> Sequence[Tensor]:
    """Apply the backward step of a layer to whole maps, for all images of a trace."""
    sources = network.spec.sources[layer.name]
    context = LayerContext(layer, traced, sources, network.weights(layer.name), rule, "gradient")
    signals = apply_both(context, whole_maps(values))
    return [
        on_canvas(signal, *traced.outputs[source].shape[2:]) if signal.values.dim() == 4 else signal.values
        for signal, source in zip(signals, sources, strict=True)
    ]


def step_forward(network: Network, traced: Trace, layer: Layer, inputs: Sequence[Tensor]) -> Tensor:  # noqa: C901  # one case per kind of layer
    """Apply a layer linearised at the traced images: with their switches and masks, without biases."""
    x, below = inputs[0], traced.outputs[network.spec.sources[layer.name][0]]
    filters = network.filters.get(layer.name)
    match layer:
        case Conv():
            assert filters is not None
            return F.conv2d(pad(x, layer.padding), filters.weight, stride=layer.stride)
        case Linear():
            assert filters is not None
            return x @ filters.weight.T
        case ReLU():
            return torch.where(below > 0, x, 0)
        case MaxPool():
            switches = traced.switches[layer.name]
            return x.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)
        case AvgPool():
            return F.avg_pool2d(pad(x, layer.padding), layer.kernel, layer.stride)
        case LocalResponseNorm():
            arguments = layer.size, layer.alpha, layer.beta, layer.k
            _, change = torch.autograd.functional.jvp(
                lambda x: F.local_response_norm(x, *arguments), below, x
            )
            return change
        case Flatten():
            return x.flatten(1)
        case Concat():
            return torch.cat(list(inputs), 1)
        case Add():
            return torch.stack(list(inputs)).sum(0)
        case _:
            return x


def pad(x: Tensor, padding: Padding) -> Tensor:
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom))


@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_every_backward_step_is_the_adjoint_of_the_forward_step(
    name: str, request: pytest.FixtureRequest
) -> None:
    """<f(x), y> = <x, f^T(y)>; fails if filters are flipped twice or shifted by a pixel."""
    network: Network = request.getfixturevalue(f"{name}_network")
    traced = trace(network, request.getfixturevalue(f"{name}_images"))
    for layer in network.spec.layers:
        sources = network.spec.sources[layer.name]
        inputs = [numbers(*traced.outputs[source].shape, seed=index) for index, source in enumerate(sources)]
        y = numbers(*traced.outputs[layer.name].shape, seed=7)
        above = (step_forward(network, traced, layer, inputs) * y).sum()
        below = sum(
            (x * z).sum() for x, z in zip(inputs, step_backward(network, traced, layer, y), strict=True)
        )
        torch.testing.assert_close(above, below, rtol=1e-12, atol=1e-12, msg=layer.name)


def test_both_implementations_unpool_windows_equally() -> None:
    """Windows inside the map, at its edge and beyond it, for several seeds and images."""
    layer = MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 0, 1, 1))
    _, context = trace_pool(layer, numbers(2, 3, 12, 13))
    origins = torch.tensor([[0, 0], [2, 3], [-1, 2], [3, 5]])
    values = numbers(4, 3, 3, 2, seed=1)
    values[2, :, 0] = 0  # the signal is zero beyond the map
    apply_both(context, Signal(values, torch.tensor([0, 1, 1, 0]), origins))


@pytest.mark.parametrize(("device", "fast"), [("cpu", True), ("cuda", False)])
def test_the_device_selects_the_implementation(
    tiny_network: Network, tiny_trace: Trace, device: str, fast: bool
) -> None:
    fast_kinds = set()
    for layer in tiny_network.spec.layers:
        sources, weights = tiny_network.spec.sources[layer.name], tiny_network.weights(layer.name)
        context = LayerContext(layer, tiny_trace, sources, weights, "deconvnet", "skip")
        if isinstance(backward_step(context, torch.device(device)), tuple(FAST.values())):
            fast_kinds.add(layer.kind)
    assert fast_kinds == ({"conv", "max_pool"} if fast else set())


def test_every_kind_of_layer_has_a_backward_step_and_is_tested(
    tiny_network: Network, branchy_network: Network
) -> None:
    tested = {layer.kind for network in (tiny_network, branchy_network) for layer in network.spec.layers}
    others = {layer.kind for seed in range(40) for layer in random_spec(seed).layers}
    assert tested < others == set(BACKWARD) == computed_kinds()


POOLS = [
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil"),
    MaxPool(name="pool", kernel=3, stride=2),
    MaxPool(name="pool", kernel=3, stride=1, padding=Padding(1, 1, 1, 1)),
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 1, 1, 1)),
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(2, 0, 1, 1)),
    MaxPool(name="pool", kernel=2, stride=3, padding=Padding(0, 1, 0, 0)),
]


def trace_pool(layer: MaxPool, maps: Tensor) -> tuple[Trace, LayerContext]:
    """Trace a single pooling layer."""
    values, switches = max_pool(layer, maps)
    traced = Trace({"input": maps, layer.name: values}, {layer.name: switches})
    return traced, LayerContext(layer, traced, ("input",), None, "deconvnet", "skip")


def unpooled(layer: MaxPool, maps: Tensor, values: Tensor) -> Tensor:
    _, context = trace_pool(layer, maps)
    (signal,) = apply_both(context, whole_maps(values))
    return on_canvas(signal, *maps.shape[2:])


@pytest.mark.parametrize("layer", POOLS, ids=str)
@pytest.mark.parametrize("size", [(11, 11), (12, 12), (9, 14)])
def test_values_are_added_where_a_unit_is_the_maximum_of_several_windows(
    layer: MaxPool, size: tuple[int, int]
) -> None:
    """torch's `MaxUnpool2d` assigns instead of adding: only one contribution remains (pytorch#80827)."""
    maps = numbers(2, 3, *size)
    traced, _ = trace_pool(layer, maps)
    values = numbers(*traced.outputs["pool"].shape, seed=1)
    below = unpooled(layer, maps, values)
    torch.testing.assert_close(below.sum((2, 3)), values.sum((2, 3)))


@pytest.mark.parametrize("layer", POOLS, ids=str)
@pytest.mark.parametrize("size", [(11, 11), (12, 12), (9, 14)])
def test_unpooling_is_the_vector_jacobian_product_of_max_pooling(
    layer: MaxPool, size: tuple[int, int]
) -> None:
    """With overlapping windows, ceil rounding, asymmetric padding and odd sizes."""
    maps = numbers(2, 3, *size).requires_grad_()
    left, top, right, bottom = layer.padding
    padded = F.pad(maps, (left, right, top, bottom), value=-torch.inf)
    above = F.max_pool2d(padded, layer.kernel, layer.stride, ceil_mode=layer.rounding == "ceil")
    values = numbers(*above.shape, seed=1)
    (expected,) = torch.autograd.grad(above, maps, values)
    torch.testing.assert_close(unpooled(layer, maps.detach(), values), expected)


def test_unpooling_preserves_values_that_max_unpool2d_loses() -> None:
    """For the windows of the paper: 3 x 3 with stride 2 on maps of 110 pixels."""
    layer = POOLS[0]
    maps = numbers(1, 8, 110, 110)
    traced, _ = trace_pool(layer, maps)
    values, switches = traced.outputs["pool"].relu(), traced.switches["pool"]
    assigned = F.max_unpool2d(values, switches, 3, 2, output_size=(110, 110))
    lost = 1 - assigned.sum() / values.sum()
    assert lost > 0.25
    torch.testing.assert_close(unpooled(layer, maps, values).sum(), values.sum())


def test_ties_unpool_to_the_first_unit_in_row_major_order() -> None:
    """Exactly one unit receives the value."""
    layer = MaxPool(name="pool", kernel=2, stride=2)
    below = unpooled(layer, torch.zeros(1, 1, 4, 4), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert below.tolist() == [[[[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]]]


def test_ties_unpool_to_the_unit_that_receives_the_gradient_in_torch() -> None:
    layer = MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 1, 1, 1))
    maps = torch.randint(0, 2, (1, 4, 10, 10), generator=torch.Generator().manual_seed(0)).double()
    maps.requires_grad_()
    above = F.max_pool2d(maps, 3, 2, 1, ceil_mode=True)
    (expected,) = torch.autograd.grad(above, maps, numbers(*above.shape))
    assert torch.equal(unpooled(layer, maps.detach(), numbers(*above.shape)) != 0, expected != 0)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("deconvnet", [2, 0, 3, 0]), ("guided", [2, 0, 0, 0]), ("gradient", [2, -1, 0, 0])],
)
def test_each_rule_defines_the_backward_step_of_a_relu(rule: Rule, expected: list[float]) -> None:
    """The deconvnet rectifies the signal, the gradient masks it, guided backpropagation does both."""
    layer = ReLU(name="relu")
    active = torch.tensor([[5.0, 5.0, -5.0, 0.0]])
    context = LayerContext(layer, Trace({"input": active}, {}), ("input",), None, rule, "skip")
    (signal,) = rectify(layer, whole_maps(torch.tensor([[2.0, -1.0, 3.0, -4.0]])), context)
    assert signal.values.tolist() == [expected]


def test_the_gradient_of_normalisation_applies_to_vectors() -> None:
    layer = LocalResponseNorm(name="norm", alpha=1.0)
    network = Network(NetworkSpec(name="net", input_size=2, layers=(Flatten(name="flatten"), layer)))
    traced = trace(network, numbers(2, 3, 2, 2))
    vector = traced.outputs["flatten"].requires_grad_()
    above = F.local_response_norm(vector[:, :, None], layer.size, layer.alpha, layer.beta, layer.k)
    y = numbers(2, 12, seed=1)
    (expected,) = torch.autograd.grad(above[:, :, 0], vector, y)
    (below,) = step_backward(network, traced, layer, y)
    torch.testing.assert_close(below, expected)


def test_no_step_modifies_its_input(tiny_network: Network, tiny_trace: Trace) -> None:
    for layer in tiny_network.spec.layers:
        values = numbers(*tiny_trace.outputs[layer.name].shape)
        before = values.clone()
        step_backward(tiny_network, tiny_trace, layer, values, rule="guided")
        assert torch.equal(values, before), layer.name


def test_the_window_of_a_unit_at_the_edge_is_clipped_to_the_map(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    layer = tiny_network.spec.by_name["conv3"]
    context = LayerContext(layer, tiny_trace, ("norm2",), tiny_network.weights("conv3"), "deconvnet", "skip")
    corner = Signal(numbers(1, 8, 1, 1), torch.tensor([0]), torch.tensor([[0, 2]]))
    (below,) = apply_both(context, corner)
    assert receptive_fields(tiny_network.spec)["conv3"].jump == 8
    assert below.size == (2, 2)
    assert below.origins.tolist() == [[0, 1]]
