"""The engine on random networks with all kinds of layers: equal to torch and to brute force."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.random_networks import random_network, random_spec, run_by_torch
from zfscope.engine import Unit, project, receptive_fields, trace
from zfscope.engine.backward import Rule
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal
from zfscope.networks import Network
from zfscope.networks.layer import computed_kinds
from zfscope.runtimes.onnx.graph import onnx_graph, with_layers
from zfscope.runtimes.onnx.session import open_session

SEEDS = range(40)


def images_for(network: Network, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, *network.shapes["input"])
    return torch.randn(shape, generator=generator, dtype=next(network.parameters()).dtype)


def some_layers(network: Network) -> Sequence[str]:
    """Return about five layers at different depths, including the last one."""
    names = [layer.name for layer in network.spec.layers]
    return [*names[:: max(1, len(names) // 4)], names[-1]]


def some_units(outputs: Tensor) -> Sequence[Unit]:
    """Return units at the corners and in the middle of a layer's maps, or some of its units."""
    maps = outputs.shape[1]
    if outputs.dim() == 2:
        return [Unit(image, index % maps) for image, index in product((0, 1), (0, 2))]
    rows, columns = outputs.shape[2] - 1, outputs.shape[3] - 1
    positions = [(0, 0), (0, columns), (rows, 0), (rows, columns), (rows // 2, columns // 2)]
    return [Unit(index % 2, index % maps, y, x) for index, (y, x) in enumerate(positions)]


def test_the_random_networks_contain_every_kind_of_layer() -> None:
    drawn = {layer.kind for seed in SEEDS for layer in random_spec(seed).layers}
    assert drawn == computed_kinds()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trace_equals_the_forward_pass_of_torch(seed: int) -> None:
    network = random_network(seed)
    images = images_for(network)
    outputs = trace(network, images).outputs
    for name, expected in run_by_torch(network, images).items():
        torch.testing.assert_close(outputs[name], expected, msg=lambda text, name=name: f"{name}: {text}")
        assert tuple(expected.shape[1:]) == network.shapes[name]


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_projection_equals_autograd_with_a_custom_relu(seed: int, rule: Rule) -> None:
    network = random_network(seed)
    images = images_for(network).requires_grad_()
    expected = run_by_torch(network, images, rule)
    traced = trace(network, images.detach())
    for layer in some_layers(network):
        units = some_units(expected[layer])
        pixels = project(network, traced, layer, units, rule=rule, normalisation="gradient")
        for unit, projection in zip(units, pixels, strict=True):
            value = expected[layer][index_of(unit, expected[layer])]
            # The seed is the activation itself: rectification depends on its sign.
            start = value.detach()
            (gradient,) = torch.autograd.grad(value, images, start, retain_graph=True, allow_unused=True)
            reference = torch.zeros_like(projection) if gradient is None else gradient[unit.image]
            torch.testing.assert_close(
                projection, reference, msg=lambda text, layer=layer: f"{layer}: {text}"
            )


def index_of(unit: Unit, outputs: Tensor) -> tuple[int, ...]:
    vector = outputs.dim() == 2
    return (unit.image, unit.map) if vector else (unit.image, unit.map, unit.y, unit.x)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_unit_does_not_depend_on_pixels_outside_its_receptive_field(seed: int) -> None:
    network = random_network(seed)
    images = images_for(network, 1).requires_grad_()
    outputs, fields = run_by_torch(network, images), receptive_fields(network.spec)
    for layer in network.shapes:
        if layer == "input" or outputs[layer].dim() == 2:
            continue
        rows, columns = outputs[layer].shape[2:]
        for y, x in {(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)}:
            total = outputs[layer][0, :, y, x].sum()
            if not total.requires_grad:
                continue
            (gradient,) = torch.autograd.grad(total, images, retain_graph=True)
            left, top, right, bottom = fields[layer].box(y, x)
            outside = gradient[0].clone()
            outside[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 0
            assert not outside.any(), (layer, y, x)


def changes(network: Network) -> Iterator[tuple[int, int, int, int]]:
    """Yield rows, columns and position of windows: at corners, near the middle, and the whole image."""
    side = network.spec.input_size
    for rows, columns in ((3, 3), (2, 5)):
        for y, x in ((0, 0), (side - rows, side - columns), (side // 2 - 1, side // 3)):
            yield rows, columns, y, x
    yield side, side, 0, 0


@pytest.mark.parametrize("seed", SEEDS)
def test_recomputed_layers_equal_a_whole_forward_pass(seed: int) -> None:
    network = random_network(seed)
    images = images_for(network)
    traced, names = trace(network, images), [layer.name for layer in network.spec.layers]
    generator = torch.Generator().manual_seed(2)
    for rows, columns, y, x in changes(network):
        new = torch.randn(1, images.shape[1], rows, columns, generator=generator, dtype=images.dtype)
        changed = images[1:].clone()
        changed[:, :, y : y + rows, x : x + columns] = new
        expected = run_by_torch(network, changed)
        recomputed = set()
        change = Signal(new, torch.tensor([1]), torch.tensor([[y, x]]))
        for part in recompute(network, traced, change, names):
            for name, signal in part.outputs.items():
                whole = paste(traced.outputs[name][1:], signal)
                torch.testing.assert_close(
                    whole, expected[name], msg=lambda text, name=name: f"{name}: {text}"
                )
                recomputed.add(name)
        assert recomputed == set(names)


def paste(maps: Tensor, signal: Signal) -> Tensor:
    if signal.values.dim() == 2:
        return signal.values
    (top, left), (rows, columns) = signal.origins[0].tolist(), signal.size
    pasted = maps.clone()
    pasted[:, :, top : top + rows, left : left + columns] = signal.values
    return pasted


@pytest.mark.parametrize("seed", SEEDS)
def test_onnx_runtime_returns_the_same_outputs(seed: int) -> None:
    network = random_network(seed, dtype=torch.float32)
    images = images_for(network)
    weights = {name: tensor.numpy() for name, tensor in network.layers.state_dict().items()}
    names = [layer.name for layer in network.spec.layers]
    graph = with_layers(onnx_graph(network.spec, weights), network.spec, names)
    session = open_session(graph, threads=1, device="cpu")
    expected = run_by_torch(network, images)
    for name, values in zip(names, session.run(names, {"input": images.numpy()}), strict=True):
        np.testing.assert_allclose(values, expected[name].numpy(), rtol=1e-4, atol=1e-5, err_msg=name)
