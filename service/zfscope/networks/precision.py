"""Precisions of a network's weights and activations."""

import copy

import torch

from zfscope.choices import PrecisionName
from zfscope.networks.gpu import gpu_precision
from zfscope.networks.network import Network

# Data type of weights and activations by precision. TF32 is how a GPU multiplies float32 values.
DATA_TYPES = {
    PrecisionName.float32: torch.float32,
    PrecisionName.tf32: torch.float32,
    PrecisionName.bfloat16: torch.bfloat16,
}


def network_in(network: Network, precision: str) -> Network:
    """Return a network with weights of a precision: itself if they already are."""
    wanted = DATA_TYPES[PrecisionName(precision)]
    fits = _is_half(network) == (wanted == torch.bfloat16)
    return network if fits else copy.deepcopy(network).to(wanted)


def precision_of(network: Network, device: str) -> str:
    """Return the name of the precision in which a network computes on a device, `cpu` or `cuda`.

    A network in float64 counts as float32.
    """
    if _is_half(network):
        return PrecisionName.bfloat16.value
    return (gpu_precision() if device == "cuda" else PrecisionName.float32).value


def _is_half(network: Network) -> bool:
    return next(network.parameters()).dtype == torch.bfloat16
