"""Isolation of projections: concurrent calls, and no changes to the module, the trace or gradients."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import torch
from torch import Tensor

from zfscope.engine import Seed, Trace, Unit, project, strongest_units, trace
from zfscope.engine.backward import Rule
from zfscope.networks import Network

RULES: list[Rule] = ["deconvnet", "guided", "gradient"]


def test_concurrent_projections_equal_sequential_ones(
    branchy_network: Network, images_for: Callable[..., Tensor]
) -> None:
    """Hooks on a shared module would make concurrent requests interfere."""
    start = threading.Barrier(16)

    def run(number: int, *, wait: bool) -> Tensor:
        images = images_for(branchy_network, 1, seed=number)
        if wait:
            start.wait()
        traced = trace(branchy_network, images)
        layer = ("both", "sum", "scores", "joined")[number % 4]
        units = strongest_units(traced, layer, 0, 3)
        return project(branchy_network, traced, layer, units, rule=RULES[number % 3])

    expected = [run(number, wait=False) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        concurrent = list(pool.map(lambda number: run(number, wait=True), range(16)))
    for pixels, sequential in zip(concurrent, expected, strict=True):
        torch.testing.assert_close(pixels, sequential, rtol=1e-12, atol=1e-14)


def test_the_module_and_the_trace_are_not_modified(
    tiny_network: Network, tiny_images: Tensor, mixed_seeds: Callable[[Trace, str], list[Seed]]
) -> None:
    """No hooks, no new attributes, no changed weights or outputs."""
    state = {key: value.clone() for key, value in tiny_network.state_dict().items()}
    attributes = [dict(vars(module)) for module in tiny_network.modules()]
    traced = trace(tiny_network, tiny_images)
    recorded = {name: output.clone() for name, output in (traced.outputs | traced.switches).items()}  # type: ignore[operator]  # both are dicts
    for rule, layer in product(RULES, tiny_network.spec.layers):
        project(
            tiny_network,
            traced,
            layer.name,
            mixed_seeds(traced, layer.name),
            rule=rule,
            normalisation="gradient",
        )
    assert [dict(vars(module)) for module in tiny_network.modules()] == attributes
    assert not any(module._forward_hooks or module._backward_hooks for module in tiny_network.modules())
    for key, value in tiny_network.state_dict().items():
        assert torch.equal(value, state[key]), key
    for name, output in (traced.outputs | traced.switches).items():  # type: ignore[operator]  # both are dicts
        assert torch.equal(output, recorded[name]), name


def test_no_gradients_are_recorded(tiny_network: Network, tiny_images: Tensor) -> None:
    tiny_network.requires_grad_(True)
    pixels = project(tiny_network, trace(tiny_network, tiny_images), "fc8", [Unit(0, 0)])
    assert not pixels.requires_grad
    assert all(parameter.grad is None for parameter in tiny_network.parameters())
