"""The way down through each kind of layer: the transpose of the way up, and what the paper adds to it.

Tests of defects seen in the wild name where.
"""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine import Trace, receptive_fields, trace
from zfscope.engine.backward import BACKWARD, LayerContext, Rule, rectify
from zfscope.engine.cpu import FAST, backward_step
from zfscope.engine.signal import Signal, on_canvas
from zfscope.networks import Network, NetworkSpec
from zfscope.networks.forward import max_pool
from zfscope.networks.layers import (
    KINDS,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Padding,
    ReLU,
)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whole(values: Tensor) -> Signal:
    seeds = len(values)
    return Signal(values, torch.arange(seeds), torch.zeros(seeds, 2, dtype=torch.int64))


def both_forms(context: LayerContext, signal: Signal) -> Sequence[Signal]:
    """Carry a signal through one layer by the plain form, and check that the form for CPUs gives the same."""
    plain = BACKWARD[context.layer.kind](context.layer, signal, context)
    for one, other in zip(plain, backward_step(context, torch.device("cpu"))(signal), strict=True):
        assert torch.equal(one.origins, other.origins)
        torch.testing.assert_close(one.values, other.values)
    return plain


def down(
    network: Network, seen: Trace, layer: Layer, values: Tensor, rule: Rule = "gradient"
) -> Sequence[Tensor]:
    """Carry full-size maps through one layer, all images at once."""
    sources = network.spec.sources[layer.name]
    context = LayerContext(layer, seen, sources, network.weights(layer.name), rule, "gradient")
    signals = both_forms(context, whole(values))
    return [
        on_canvas(signal, *seen.outputs[source].shape[2:]) if signal.values.dim() == 4 else signal.values
        for signal, source in zip(signals, sources, strict=True)
    ]


def up(network: Network, seen: Trace, layer: Layer, inputs: Sequence[Tensor]) -> Tensor:  # noqa: C901  # a case per kind of layer
    """Apply the layer as the linear map that it is around the traced images: switches and masks held."""
    x, below = inputs[0], seen.outputs[network.spec.sources[layer.name][0]]
    filters = network.filters.get(layer.name)
    match layer:
        case Conv():
            assert filters is not None
            return F.conv2d(bordered(x, layer.padding), filters.weight, stride=layer.stride)
        case Linear():
            assert filters is not None
            return x @ filters.weight.T
        case ReLU():
            return torch.where(below > 0, x, 0)
        case MaxPool():
            switches = seen.switches[layer.name]
            return x.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)
        case AvgPool():
            return F.avg_pool2d(bordered(x, layer.padding), layer.kernel, layer.stride)
        case LocalResponseNorm():
            arguments = layer.size, layer.alpha, layer.beta, layer.k
            _, moved = torch.autograd.functional.jvp(lambda x: F.local_response_norm(x, *arguments), below, x)
            return moved
        case Flatten():
            return x.flatten(1)
        case Concat():
            return torch.cat(list(inputs), 1)
        case Add():
            return torch.stack(list(inputs)).sum(0)
        case _:
            return x


def bordered(x: Tensor, padding: Padding) -> Tensor:
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom))


@pytest.mark.parametrize("name", ["tiny", "branchy"])
def test_every_step_down_is_the_adjoint_of_the_step_up(name: str, request: pytest.FixtureRequest) -> None:
    """<f(x), y> = <x, f^T(y)>: filters that are flipped twice or shifted by a pixel fail it."""
    network: Network = request.getfixturevalue(f"{name}_network")
    seen = trace(network, request.getfixturevalue(f"{name}_images"))
    for layer in network.spec.layers:
        sources = network.spec.sources[layer.name]
        inputs = [numbers(*seen.outputs[source].shape, seed=place) for place, source in enumerate(sources)]
        y = numbers(*seen.outputs[layer.name].shape, seed=7)
        above = (up(network, seen, layer, inputs) * y).sum()
        below = sum((x * z).sum() for x, z in zip(inputs, down(network, seen, layer, y), strict=True))
        torch.testing.assert_close(above, below, rtol=1e-12, atol=1e-12, msg=layer.name)


def test_a_signal_in_windows_is_unpooled_alike_by_both_forms() -> None:
    """Windows inside, at the edge, and overhanging it, of several seeds and images."""
    layer = MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 0, 1, 1))
    _, context = pooled(layer, numbers(2, 3, 12, 13))
    origins = torch.tensor([[0, 0], [2, 3], [-1, 2], [3, 5]])
    values = numbers(4, 3, 3, 2, seed=1)
    values[2, :, 0] = 0  # there is no signal where a window overhangs
    both_forms(context, Signal(values, torch.tensor([0, 1, 1, 0]), origins))


@pytest.mark.parametrize(("device", "fast"), [("cpu", True), ("cuda", False)])
def test_the_forms_are_chosen_by_the_device(
    tiny_network: Network, tiny_trace: Trace, device: str, fast: bool
) -> None:
    chosen = set()
    for layer in tiny_network.spec.layers:
        sources, weights = tiny_network.spec.sources[layer.name], tiny_network.weights(layer.name)
        context = LayerContext(layer, tiny_trace, sources, weights, "deconvnet", "skip")
        if isinstance(backward_step(context, torch.device(device)), tuple(FAST.values())):
            chosen.add(layer.kind)
    assert chosen == ({"conv", "max_pool"} if fast else set())


def test_every_kind_of_layer_has_a_step_down_and_is_met_here(
    tiny_network: Network, branchy_network: Network
) -> None:
    met = {layer.kind for network in (tiny_network, branchy_network) for layer in network.spec.layers}
    assert met == set(BACKWARD) == set(KINDS)


POOLS = [
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil"),
    MaxPool(name="pool", kernel=3, stride=2),
    MaxPool(name="pool", kernel=3, stride=1, padding=Padding(1, 1, 1, 1)),
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 1, 1, 1)),
    MaxPool(name="pool", kernel=3, stride=2, rounding="ceil", padding=Padding(2, 0, 1, 1)),
    MaxPool(name="pool", kernel=2, stride=3, padding=Padding(0, 1, 0, 0)),
]


def pooled(layer: MaxPool, maps: Tensor) -> tuple[Trace, LayerContext]:
    """Trace a pool alone."""
    values, switches = max_pool(layer, maps)
    seen = Trace({"input": maps, layer.name: values}, {layer.name: switches})
    return seen, LayerContext(layer, seen, ("input",), None, "deconvnet", "skip")


def unpooled(layer: MaxPool, maps: Tensor, values: Tensor) -> Tensor:
    _, context = pooled(layer, maps)
    (signal,) = both_forms(context, whole(values))
    return on_canvas(signal, *maps.shape[2:])


@pytest.mark.parametrize("layer", POOLS, ids=str)
@pytest.mark.parametrize("size", [(11, 11), (12, 12), (9, 14)])
def test_switches_add_where_a_unit_wins_several_windows(layer: MaxPool, size: tuple[int, int]) -> None:
    """Defect 1: `MaxUnpool2d` assigns, and one contribution survives (pytorch#80827)."""
    maps = numbers(2, 3, *size)
    seen, _ = pooled(layer, maps)
    values = numbers(*seen.outputs["pool"].shape, seed=1)
    below = unpooled(layer, maps, values)
    torch.testing.assert_close(below.sum((2, 3)), values.sum((2, 3)))


@pytest.mark.parametrize("layer", POOLS, ids=str)
@pytest.mark.parametrize("size", [(11, 11), (12, 12), (9, 14)])
def test_unpooling_is_the_vector_jacobian_product_of_max_pooling(
    layer: MaxPool, size: tuple[int, int]
) -> None:
    """Defects 1 and 2: overlapping windows, ceil rounding, asymmetric padding, odd sizes."""
    maps = numbers(2, 3, *size).requires_grad_()
    left, top, right, bottom = layer.padding
    room = F.pad(maps, (left, right, top, bottom), value=-torch.inf)
    above = F.max_pool2d(room, layer.kernel, layer.stride, ceil_mode=layer.rounding == "ceil")
    values = numbers(*above.shape, seed=1)
    (expected,) = torch.autograd.grad(above, maps, values)
    torch.testing.assert_close(unpooled(layer, maps.detach(), values), expected)


def test_unpooling_keeps_what_torchs_own_unpooling_loses() -> None:
    """Defect 1, measured as the paper's pools meet it: 3 x 3 windows in steps of 2 on maps of 110 pixels."""
    layer = POOLS[0]
    maps = numbers(1, 8, 110, 110)
    seen, _ = pooled(layer, maps)
    values, switches = seen.outputs["pool"].relu(), seen.switches["pool"]
    assigned = F.max_unpool2d(values, switches, 3, 2, output_size=(110, 110))
    lost = 1 - assigned.sum() / values.sum()
    assert lost > 0.25
    torch.testing.assert_close(unpooled(layer, maps, values).sum(), values.sum())


def test_of_equal_values_the_first_in_reading_order_gets_the_signal() -> None:
    """Defect 7: one unit on ties."""
    layer = MaxPool(name="pool", kernel=2, stride=2)
    below = unpooled(layer, torch.zeros(1, 1, 4, 4), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert below.tolist() == [[[[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]]]


def test_of_equal_values_torchs_gradient_goes_to_the_same_place() -> None:
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
def test_a_rule_says_what_a_rectification_does(rule: Rule, expected: list[float]) -> None:
    """Defect 3: the deconvnet rectifies the signal coming down; the gradient masks it; guided does both."""
    layer = ReLU(name="relu")
    active = torch.tensor([[5.0, 5.0, -5.0, 0.0]])
    context = LayerContext(layer, Trace({"input": active}, {}), ("input",), None, rule, "skip")
    (signal,) = rectify(layer, whole(torch.tensor([[2.0, -1.0, 3.0, -4.0]])), context)
    assert signal.values.tolist() == [expected]


def test_vectors_are_normalised_on_the_way_down_too() -> None:
    layer = LocalResponseNorm(name="norm", alpha=1.0)
    network = Network(NetworkSpec(name="net", input_size=2, layers=(Flatten(name="flatten"), layer)))
    seen = trace(network, numbers(2, 3, 2, 2))
    vector = seen.outputs["flatten"].requires_grad_()
    above = F.local_response_norm(vector[:, :, None], layer.size, layer.alpha, layer.beta, layer.k)
    y = numbers(2, 12, seed=1)
    (expected,) = torch.autograd.grad(above[:, :, 0], vector, y)
    (below,) = down(network, seen, layer, y)
    torch.testing.assert_close(below, expected)


def test_no_step_changes_the_signal_it_is_given(tiny_network: Network, tiny_trace: Trace) -> None:
    for layer in tiny_network.spec.layers:
        values = numbers(*tiny_trace.outputs[layer.name].shape)
        before = values.clone()
        down(tiny_network, tiny_trace, layer, values, rule="guided")
        assert torch.equal(values, before), layer.name


def test_a_unit_at_the_edge_is_carried_in_the_part_of_its_field_that_the_image_has(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    layer = tiny_network.spec.by_name["conv3"]
    context = LayerContext(layer, tiny_trace, ("norm2",), tiny_network.weights("conv3"), "deconvnet", "skip")
    corner = Signal(numbers(1, 8, 1, 1), torch.tensor([0]), torch.tensor([[0, 2]]))
    (below,) = both_forms(context, corner)
    assert receptive_fields(tiny_network.spec)["conv3"].jump == 8
    assert below.size == (2, 2)
    assert below.origins.tolist() == [[0, 1]]
