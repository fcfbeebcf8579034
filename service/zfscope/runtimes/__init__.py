"""Who runs the forward pass: ONNX Runtime, torch or TorchServe, behind one Protocol; and who reduces it."""

from zfscope.runtimes.create import RUNTIMES, create_reducing, create_runtime
from zfscope.runtimes.loaded import Loaded, load_model
from zfscope.runtimes.onnx_reducing import OnnxReducing
from zfscope.runtimes.onnx_runtime import OnnxRuntime
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.reducing import Reduced, Reducing
from zfscope.runtimes.torchserve.address import TorchServe

__all__ = [
    "RUNTIMES",
    "Loaded",
    "OnnxReducing",
    "OnnxRuntime",
    "Reduced",
    "Reducing",
    "Runtime",
    "TorchServe",
    "create_reducing",
    "create_runtime",
    "load_model",
]
