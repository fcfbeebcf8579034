"""Precisions of the forward pass: which exist, and what this machine has a fast path for."""

import copy

import torch

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable
from zfscope.networks.network import Network

# Data type of weights and activations by precision; scores and maps are returned as float32.
DATA_TYPES = {PrecisionName.float32: torch.float32, PrecisionName.bfloat16: torch.bfloat16}


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def network_in(network: Network, precision: str) -> Network:
    """Return a network with weights of a precision: itself if they already are."""
    wanted = DATA_TYPES[PrecisionName(precision)]
    is_same = next(network.parameters()).dtype == wanted
    return network if is_same else copy.deepcopy(network).to(wanted)


def check_precision(precision: str, *, runtime: str, device: str) -> None:
    """Raise RuntimeUnavailable unless a runtime computes in a precision as fast as the device can."""
    if precision == PrecisionName.float32:
        return
    if runtime != "torch":
        raise RuntimeUnavailable(
            f"runtime '{runtime}' does not compute in {precision}: {_REASONS[runtime]}; use runtime torch",
            field="precision",
        )
    if not has_bfloat16(torch.device(device)):
        raise RuntimeUnavailable(f"precision {precision} {_lacking(device)}", field="precision")


_REASONS = {
    "onnx": "ONNX Runtime has no convolution of this type for x86 processors",
    "torchserve": "the server runs the archive's graph in float32",
}


def _lacking(device: str) -> str:
    """Return what a device without a fast path needs, and what it has."""
    if device == "cuda":
        return "needs a GPU of compute capability 8.0 or newer (Ampere); this one is older"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"needs AMX or AVX512-BF16; this processor has {capability} without either: use float32"
