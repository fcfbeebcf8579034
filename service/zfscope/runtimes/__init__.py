"""Who runs the forward pass: torch or ONNX Runtime, behind one Protocol."""

from zfscope.runtimes.create import RUNTIMES, create_runtime
from zfscope.runtimes.onnx_runtime import OnnxRuntime
from zfscope.runtimes.protocol import Runtime
from zfscope.runtimes.torch_runtime import TorchRuntime

__all__ = ["RUNTIMES", "OnnxRuntime", "Runtime", "TorchRuntime", "create_runtime"]
