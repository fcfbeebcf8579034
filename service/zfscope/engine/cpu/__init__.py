"""Fast forms of two steps of the way down, for CPUs; the plain ones are in `engine.backward`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from zfscope.engine.backward import DOWN, LayerContext, filter_transposed, unpool
from zfscope.engine.cpu.transpose import TransposedConvolution
from zfscope.engine.cpu.unpooling import Unpooling
from zfscope.engine.signal import Signal

Step = Callable[[Signal], Sequence[Signal]]
"""The signal at a layer's output to that at each of its inputs."""

# By the plain form: a class, made once for a layer and called with each signal that comes by.
FAST: Mapping[Any, Callable[[LayerContext], Step]] = {
    filter_transposed: TransposedConvolution,
    unpool: Unpooling,
}


def step_down(context: LayerContext, device: torch.device) -> Step:
    """Return the way down through a layer: the plain form, but on a CPU the fast one where there is one."""
    plain = DOWN[context.layer.kind]
    if device.type == "cpu" and plain in FAST:
        return FAST[plain](context)
    return lambda signal: plain(context.layer, signal, context)
