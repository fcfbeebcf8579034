"""The deconvnet: activations of any layer carried back to pixels (Sec 2.1)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import get_args

import torch
from torch import Tensor

from zfscope.engine.backward import LayerContext, Normalisation, Rule
from zfscope.engine.cpu import Step, step_down
from zfscope.engine.cpu.threads import shared_out
from zfscope.engine.seeds import Seed, seed_signal
from zfscope.engine.signal import Signal, added, put
from zfscope.engine.trace import Trace
from zfscope.errors import InputError
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT

BATCH_VALUES: Mapping[str, int] = {"cpu": 400_000, "cuda": 2**27}
"""How many values of a layer go down at once: on a CPU what the caches of a core hold, measured."""


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
    """Project seeds of one layer back to pixels: (seeds, 3, H, W), signed, zero where nothing comes from.

    Every seed starts from its own activation with all others of the layer set to zero. Units of
    feature maps are carried down inside their receptive field only. No biases, no rectification at
    the pixels. Raises NotFound for an unknown layer or unit, InputError for no seed or an unknown option.
    """
    network.spec.layer(layer)
    check_choice("rule", rule, get_args(Rule))
    check_choice("normalisation", normalisation, get_args(Normalisation))
    sources = network.spec.sources
    start = seed_signal(trace, layer, seeds)
    contexts = [
        LayerContext(below, trace, sources[below.name], network.weights(below.name), rule, normalisation)
        for below in reversed(network.spec.layers)
    ]
    steps = [(context, step_down(context, start.values.device)) for context in contexts]
    # Neighbours overhang the maps alike: together, little is carried that is cleared again.
    order = sorted(range(len(seeds)), key=start.origins.tolist().__getitem__)
    pixels = start.values.new_empty(len(seeds), *network.shapes[INPUT])

    @torch.no_grad()  # torch keeps this for each thread
    def carry_down(some: Sequence[int]) -> None:
        left = iter(some)
        for signal in _descend({layer: start.chosen(list(some))}, steps):
            put(signal, [pixels[seed].zero_() for seed in islice(left, len(signal.values))])

    if pixels.device.type == "cpu":
        shared_out(carry_down, order)
    else:
        carry_down(order)
    return pixels


def _descend(coming: Mapping[str, Signal], steps: Sequence[tuple[LayerContext, Step]]) -> Iterator[Signal]:
    """Carry what is coming down to each layer through the steps that are left, to pixels.

    A batch that outgrows the cache goes on in parts: one signal each, in order.
    """
    coming = dict(coming)
    for done, (context, step) in enumerate(steps):
        layer = context.layer.name
        if layer not in coming:
            continue
        parts = _parts(coming, layer)
        if len(parts) > 1:
            for part in parts:
                yield from _descend(part, steps[done:])
            return
        below = step(coming.pop(layer))
        for source, signal in zip(context.sources, below, strict=True):
            coming[source] = added(coming[source], signal) if source in coming else signal
    yield coming[INPUT]


def _parts(coming: Mapping[str, Signal], layer: str) -> Sequence[Mapping[str, Signal]]:
    """Split the batch so that what comes to the layer stays small."""
    values = coming[layer].values
    count = max(1, BATCH_VALUES[values.device.type] // values[0].numel())
    return [
        {name: signal.chosen(slice(start, start + count)) for name, signal in coming.items()}
        for start in range(0, len(values), count)
    ]


def check_choice(field: str, value: str, allowed: Sequence[str]) -> None:
    """Raise InputError, with what is allowed, unless the value is."""
    if value not in allowed:
        raise InputError(f"{field} = '{value}'; allowed are {', '.join(allowed)}", field=field)
