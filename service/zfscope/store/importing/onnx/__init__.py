"""Importing ONNX graphs as networks: simplified by ONNX Runtime, read, and compared with the original."""

from zfscope.store.importing.onnx.read import OnnxReading, read_onnx, read_opaque

__all__ = ["OnnxReading", "read_onnx", "read_opaque"]
