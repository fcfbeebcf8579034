"""Who runs the forward pass: torch or ONNX Runtime, behind one Protocol; and who reduces it for a scan."""

from zfscope.runtimes.create import RUNTIMES, create_reducing, create_runtime
from zfscope.runtimes.onnx_reducing import OnnxReducing
from zfscope.runtimes.onnx_runtime import OnnxRuntime
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.reducing import Reduced, Reducing
from zfscope.runtimes.torch_reducing import TorchReducing
from zfscope.runtimes.torch_runtime import TorchRuntime

__all__ = [
    "RUNTIMES",
    "OnnxReducing",
    "OnnxRuntime",
    "Reduced",
    "Reducing",
    "Runtime",
    "TorchReducing",
    "TorchRuntime",
    "create_reducing",
    "create_runtime",
]
