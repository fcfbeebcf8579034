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
    """Precisions of the forward pass."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class EngineName(StrEnum):
    """Engines of a scan."""

    local = "local"
    ray = "ray"
