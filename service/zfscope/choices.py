"""Choices offered on the command line, in settings and in Python; the first is the default."""

from enum import StrEnum


class RuntimeName(StrEnum):
    """Runtimes of the forward pass."""

    onnx = "onnx"
    torch = "torch"
    torchserve = "torchserve"


class DeviceName(StrEnum):
    """Devices of the forward pass."""

    cpu = "cpu"
    cuda = "cuda"


class PrecisionName(StrEnum):
    """Precisions of computations, the finest first."""

    float32 = "float32"
    tf32 = "tf32"
    bfloat16 = "bfloat16"


def coarsest(*precisions: str) -> PrecisionName:
    """Return the coarsest of several precisions: that of a result that depends on all of them."""
    return max(map(PrecisionName, precisions), key=list(PrecisionName).index)


def runtime_for(precision: str | None) -> RuntimeName:
    """Return the runtime of commands that do not offer the choice: the default one, or torch for bfloat16."""
    return RuntimeName.torch if precision == PrecisionName.bfloat16 else RuntimeName.onnx


class EngineName(StrEnum):
    """Engines that process the photos of a data set."""

    local = "local"
    ray = "ray"
