"""Which runtimes and devices have a fast path for a precision."""

import torch

from zfscope.choices import PrecisionName
from zfscope.errors import RuntimeUnavailable


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_tf32(device: torch.device) -> bool:
    """Return whether the device is a GPU that multiplies TF32 in hardware."""
    return (
        device.type == "cuda" and torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    )


def check_precision(precision: str, *, runtime: str, device: str) -> None:
    """Raise RuntimeUnavailable unless a runtime computes in a precision as fast as the device can."""
    if precision == PrecisionName.float32:
        return
    if reason := _REASONS.get((runtime, precision)):
        raise RuntimeUnavailable(
            f"runtime '{runtime}' does not compute in {precision}: {reason}; use runtime torch",
            field="precision",
        )
    is_fast = has_tf32 if precision == PrecisionName.tf32 else has_bfloat16
    if not is_fast(torch.device(device)):
        raise RuntimeUnavailable(f"precision {precision} {_lacking(precision, device)}", field="precision")


_SERVED = "the server runs the archive's graph in float32"
# Runtimes that never compute in a precision, whatever the device.
_REASONS = {
    ("onnx", "bfloat16"): "ONNX Runtime has no convolution of this type for x86 processors",
    ("torchserve", "bfloat16"): _SERVED,
    ("torchserve", "tf32"): _SERVED,
}


def _lacking(precision: str, device: str) -> str:
    """Return what a device without a fast path needs, and what it has."""
    if device == "cuda":
        found = "this one is older" if torch.cuda.is_available() else "torch found none"
        return f"needs a GPU of compute capability 8.0 or newer (Ampere); {found}"
    if precision == PrecisionName.tf32:
        return "is a mode of NVIDIA GPUs, not of the CPU; use device cuda, or precision float32 or bfloat16"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"needs AMX or AVX512-BF16; this processor has {capability} without either: use float32"
