"""Importing networks defined elsewhere into the store, without changing their architecture."""

from zfscope.store.importing.imported import ImportedModel
from zfscope.store.importing.onnx import read_onnx
from zfscope.store.importing.publish import publish

__all__ = ["ImportedModel", "publish", "read_onnx"]
