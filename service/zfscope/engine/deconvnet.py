"""The deconvnet: projection of the activations of any layer back to pixels (Sec 2.1)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import get_args

import torch
from torch import Tensor

from zfscope.engine.backward import LayerContext, Normalisation, Rule
from zfscope.engine.cpu import BackwardStep, backward_step
from zfscope.engine.cpu.threads import map_parallel
from zfscope.engine.seeds import Seed, seed_signal
from zfscope.engine.signal import Signal, add, write_into
from zfscope.engine.trace import Trace
from zfscope.errors import InputError
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT

# Maximum number of a layer's values per batch of seeds; on the CPU, as many as fit a core's cache (measured).
BATCH_VALUES: Mapping[str, int] = {"cpu": 3 * 2**18, "cuda": 2**27}


@torch.no_grad()
def project(
    network: Network,
    trace: Trace,
    layer: str,
    seeds: Sequence[Seed],
    *,
    rule: Rule = "deconvnet",
    normalisation: Normalisation = "skip",
) -> Tensor:
    """Project seeds in one layer back to pixels: (seeds, C, H, W), signed, zero outside receptive fields.

    Each projection starts from the activation of its seed, with all other activations of the layer set to
    zero. Units of feature maps are projected within their receptive fields only. Biases are not applied, and
    the pixels are not rectified. The signal has the precision of the network; the trace may have a higher
    one, so that its switches do not depend on ties between rounded values. Raises NotFound for an unknown
    layer or unit, InputError without seeds or for an unknown option.
    """
    layer = network.spec.layer(layer).name
    check_choice("rule", rule, get_args(Rule))
    check_choice("normalisation", normalisation, get_args(Normalisation))
    sources = network.spec.sources
    start = seed_signal(trace, layer, seeds).to(next(network.parameters()).dtype)
    contexts = [
        LayerContext(below, trace, sources[below.name], network.weights(below.name), rule, normalisation)
        for below in reversed(network.spec.layers)
    ]
    steps = [(context, backward_step(context, start.values.device)) for context in contexts]
    # All windows of a batch have one size: if neighbours share a batch, little of it lies outside the maps.
    order = sorted(range(len(seeds)), key=start.origins.tolist().__getitem__)
    pixels = start.values.new_empty(len(seeds), *network.shapes[INPUT])

    @torch.no_grad()  # the setting is per thread
    def project_batch(batch: Sequence[int]) -> None:
        remaining = iter(batch)
        for signal in _backward({layer: start.select(list(batch))}, steps):
            write_into(signal, [pixels[seed].zero_() for seed in islice(remaining, len(signal.values))])

    if pixels.device.type == "cpu":
        map_parallel(project_batch, order)
    else:
        project_batch(order)
    return pixels


def _backward(
    pending: Mapping[str, Signal], steps: Sequence[tuple[LayerContext, BackwardStep]]
) -> Iterator[Signal]:
    """Apply the remaining steps to the pending signals of each layer; yield the signals at the pixels.

    A batch that exceeds BATCH_VALUES at a layer is split there; its parts are yielded in order.
    """
    pending = dict(pending)
    for index, (context, step) in enumerate(steps):
        layer = context.layer.name
        if layer not in pending:
            continue
        parts = _split_batch(pending, layer)
        if len(parts) > 1:
            for part in parts:
                yield from _backward(part, steps[index:])
            return
        below = step(pending.pop(layer))
        for source, signal in zip(context.sources, below, strict=True):
            if source in pending:
                signal = add(pending[source], signal, *context.trace.maps(source).shape[2:])
            pending[source] = signal
    yield pending[INPUT]


def _split_batch(pending: Mapping[str, Signal], layer: str) -> Sequence[Mapping[str, Signal]]:
    """Split the batch so that the layer's signal has at most BATCH_VALUES values."""
    values = pending[layer].values
    count = max(1, BATCH_VALUES[values.device.type] // values[0].numel())
    return [
        {name: signal.select(slice(start, start + count)) for name, signal in pending.items()}
        for start in range(0, len(values), count)
    ]


def check_choice(field: str, value: str, allowed: Sequence[str]) -> None:
    """Raise InputError unless the value is one of those allowed."""
    if value not in allowed:
        raise InputError(f"{field} = '{value}' is invalid; allowed: {', '.join(allowed)}", field=field)
