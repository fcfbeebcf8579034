"""The model definitions that can be imported, by format name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from zfscope.errors import InputError, NotFound
from zfscope.networks.spec import NetworkSpec
from zfscope.store.importing.caffe_zf import caffe_zf
from zfscope.store.importing.imported import ImportedModel
from zfscope.store.importing.onnx_zfnet512 import onnx_zfnet512
from zfscope.store.importing.pytorchcv import pytorchcv
from zfscope.store.importing.tensors import read_tensors
from zfscope.store.importing.torchvision_alexnet import torchvision_alexnet
from zfscope.validation import first_fault

# Reads a model from a file. Raises ValueError for a file of another format.
Reader = Callable[[Path], ImportedModel]

FORMATS: Mapping[str, Reader] = {
    "pytorchcv": lambda path: pytorchcv(read_tensors(path)),
    "torchvision-alexnet": lambda path: torchvision_alexnet(read_tensors(path)),
    "onnx-zfnet512": onnx_zfnet512,
    "caffe-zf": lambda path: caffe_zf(read_tensors(path)),
}


def read_definition(path: Path, definition: str) -> ImportedModel:
    """Read a network from a file in one of the known formats.

    Raises NotFound for an unknown format, InputError if the file is missing or not in that format.
    """
    if definition not in FORMATS:
        raise NotFound(f"unknown format '{definition}'; available: {', '.join(FORMATS)}", field="format")
    try:
        return FORMATS[definition](path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}", field="file") from error
    except ValidationError as error:  # the layers do not form a valid network
        reason = first_fault(error, NetworkSpec)
        raise InputError(f"'{path}' is not in the format '{definition}': {reason}", field="file") from error
    except ValueError as error:
        raise InputError(f"'{path}' is not in the format '{definition}': {error}", field="file") from error
