"""Runtimes of the forward pass: ONNX Runtime, torch and TorchServe, behind one interface."""

from zfscope.runtimes.create import RUNTIMES, LoadedModel, create_runtime, load_model
from zfscope.runtimes.onnx.runtime import OnnxRuntime
from zfscope.runtimes.protocol import MapMaxima, Runtime
from zfscope.runtimes.torchserve import TorchServe

__all__ = [
    "RUNTIMES",
    "LoadedModel",
    "MapMaxima",
    "OnnxRuntime",
    "Runtime",
    "TorchServe",
    "create_runtime",
    "load_model",
]
