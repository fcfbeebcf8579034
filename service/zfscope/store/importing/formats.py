"""The definitions of others that can be imported, by the names that users give them."""

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

Reader = Callable[[Path], ImportedModel]
"""A file to what is in it. Raises ValueError for a file of another kind."""

FORMATS: Mapping[str, Reader] = {
    "pytorchcv": lambda path: pytorchcv(read_tensors(path)),
    "torchvision-alexnet": lambda path: torchvision_alexnet(read_tensors(path)),
    "onnx-zfnet512": onnx_zfnet512,
    "caffe-zf": lambda path: caffe_zf(read_tensors(path)),
}


def read_definition(path: Path, definition: str) -> ImportedModel:
    """Read a network of others from a file.

    Raises NotFound for an unknown format, InputError for a file that is missing or not of it.
    """
    if definition not in FORMATS:
        raise NotFound(f"no format '{definition}'; there are {', '.join(FORMATS)}", field="format")
    try:
        return FORMATS[definition](path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}", field="file") from error
    except ValidationError as error:  # the layers do not make a network
        reason = first_fault(error, NetworkSpec)
        raise InputError(f"'{path}' is not of the format '{definition}': {reason}", field="file") from error
    except ValueError as error:
        raise InputError(f"'{path}' is not of the format '{definition}': {error}", field="file") from error
