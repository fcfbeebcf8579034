"""Fast CPU implementations of two backward steps of `engine.backward`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from zfscope.engine.backward import BACKWARD, LayerContext, filter_transposed, unpool
from zfscope.engine.cpu.transpose import TransposedConvolution
from zfscope.engine.cpu.unpooling import Unpooling
from zfscope.engine.signal import Signal

# Maps the signal at a layer's output to the signals at its inputs.
BackwardStep = Callable[[Signal], Sequence[Signal]]

# Fast implementation by reference implementation: instantiated once per layer, called for each signal.
FAST: Mapping[Any, Callable[[LayerContext], BackwardStep]] = {
    filter_transposed: TransposedConvolution,
    unpool: Unpooling,
}


def backward_step(context: LayerContext, device: torch.device) -> BackwardStep:
    """Return the backward step of a layer: the fast implementation on the CPU if available."""
    reference = BACKWARD[context.layer.kind]
    if device.type == "cpu" and reference in FAST:
        return FAST[reference](context)
    return lambda signal: reference(context.layer, signal, context)
