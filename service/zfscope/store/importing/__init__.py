"""Importing networks defined elsewhere into the store, without changing their architecture."""

from zfscope.store.importing.imported import ImportedModel, OpaqueNetwork
from zfscope.store.importing.onnx import read_onnx, read_opaque
from zfscope.store.importing.publish import publish

__all__ = ["ImportedModel", "OpaqueNetwork", "publish", "read_onnx", "read_opaque"]
