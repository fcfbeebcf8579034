"""Fully connected layers on the CPU, for many rows: twice as fast as torch's where MKL is slow, as on AMD."""

from collections.abc import Callable

import torch
from torch import Tensor

# From this many rows on, the faster products make up for arranging the weights.
MANY_ROWS = 300

_OPERATORS = "mkldnn"


def packed_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """Return a function from inputs, (N, inputs), to outputs by oneDNN, with the weights in its own layout.

    Takes as much memory as the weights, while the function exists. None if torch cannot do it: on a GPU, in
    another precision than float32, or in a build without oneDNN. The operators are those of torch's compiler;
    they are not part of its public interface.
    """
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return None
    try:
        operators = getattr(torch.ops, _OPERATORS)
        packed = operators._reorder_linear_weight(weight.contiguous(), MANY_ROWS)
        multiply = operators._linear_pointwise
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return lambda inputs: multiply(inputs, packed, bias, "none", [], "")
