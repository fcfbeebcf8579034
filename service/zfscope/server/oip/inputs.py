"""Input tensors, raw or as typed lists. Metadata is validated before contents are read."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.tensors import TensorScale
from zfscope.inference import inference_pb2 as pb
from zfscope.networks.layer import Shape
from zfscope.results import MAX_AXES
from zfscope.v1 import image_pb2
from zfscope.wire.tensors import tensor_to_wire

Tensor = pb.ModelInferRequest.InferInputTensor

# The two inputs: preprocessed tensors, and encoded files.
INPUT, PHOTOS = "input", "images"
TYPES: Mapping[str, str] = {INPUT: "FP32", PHOTOS: "BYTES"}
_CONTENTS: Mapping[str, str] = {"FP32": "fp32_contents", "BYTES": "bytes_contents"}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class ImageInput:
    """A validated input. raw: its bytes; None if it was sent as a typed list.

    field: field of the request with the contents.
    """

    name: str
    shape: Shape
    raw: bytes | None
    elements: Sequence[Any]
    field: str

    @property
    def images(self) -> int:
        """Number of images."""
        return self.shape[0]


def parse_images(request: pb.ModelInferRequest) -> ImageInput | None:
    """Return the input of a request; None if it has none.

    Raises InputError for an unknown input, a wrong type, or a shape that does not match the contents.
    """
    if len(request.inputs) > 1:
        names = ", ".join(f"'{tensor.name:.80}'" for tensor in request.inputs[:2])
        raise InputError(
            f"{len(request.inputs)} inputs, {names} ...; send one, {_allowed_inputs()}", field="inputs"
        )
    if len(request.raw_input_contents) not in (0, len(request.inputs)):
        message = (
            f"{len(request.raw_input_contents)} for {len(request.inputs)} inputs; send one for each, or none"
        )
        raise InputError(message, field="raw_input_contents")
    if not request.inputs:
        return None
    tensor, field = request.inputs[0], "inputs[0]"
    _check_metadata(tensor, field)
    raw = request.raw_input_contents[0] if request.raw_input_contents else None
    return _read_input(tensor, raw, field)


def numbers_of(sent: ImageInput) -> NDArray[np.float32]:
    """Return an FP32 input as an array."""
    numbers = np.array(sent.elements, "<f4") if sent.raw is None else np.frombuffer(sent.raw, "<f4")
    return numbers.reshape(sent.shape)


def inputs_to_wire(sent: ImageInput, scale: TensorScale = "normalised") -> dict[str, image_pb2.Image]:
    """Return the images by the name of their field in messages. Raises InputError for invalid lengths."""
    return {f"{sent.name}[{index}]": image for index, image in enumerate(_images(sent, scale))}


def _check_metadata(tensor: Tensor, field: str) -> None:
    if tensor.name not in TYPES:
        raise InputError(
            f"input '{tensor.name:.80}' not found; send {_allowed_inputs()}", field=f"{field}.name"
        )
    expected = TYPES[tensor.name]
    if tensor.datatype != expected:
        message = f"datatype '{tensor.datatype:.80}' of '{tensor.name}' is invalid; expected {expected}"
        raise InputError(message, field=f"{field}.datatype")
    if tensor.parameters:
        message = "inputs take no parameters; tensors in shared memory are not supported, send their contents"
        raise InputError(message, field=f"{field}.parameters")
    if not 1 <= len(tensor.shape) <= MAX_AXES or any(extent < 1 for extent in tensor.shape):
        message = f"{str(list(tensor.shape[:MAX_AXES]))[:-1]}{', ...' * (len(tensor.shape) > MAX_AXES)}]"
        allowed = f"allowed: 1 to {MAX_AXES} axes, each of at least 1"
        raise InputError(f"shape {message} is invalid; {allowed}", field=f"{field}.shape")
    if tensor.name == PHOTOS and tuple(tensor.shape[1:]) not in {(), (1,)}:
        message = f"shape {list(tensor.shape)} of '{PHOTOS}' is invalid; expected [photos] or [photos, 1]"
        raise InputError(message, field=f"{field}.shape")


def _read_input(tensor: Tensor, raw: bytes | None, field: str) -> ImageInput:
    """Return an input. Raises InputError unless its size matches its shape."""
    shape, contents = tuple(tensor.shape), _CONTENTS[tensor.datatype]
    elements, filled = math.prod(shape), [field.name for field, _ in tensor.contents.ListFields()]
    if raw is not None:
        if filled:
            message = f"both {contents} and raw contents are set; send one of them"
            raise InputError(message, field=f"{field}.contents")
        _check_bytes(tensor.datatype, len(raw), shape, elements)
        return ImageInput(tensor.name, shape, raw, (), "raw_input_contents[0]")
    if filled != [contents]:
        message = f"{', '.join(filled) or 'nothing'} is set; send {tensor.datatype} raw or in {contents}"
        raise InputError(message, field=f"{field}.contents")
    data = getattr(tensor.contents, contents)
    if len(data) != elements:
        message = f"{len(data)} elements; shape {list(shape)} requires {elements}"
        raise InputError(message, field=f"{field}.contents.{contents}")
    return ImageInput(tensor.name, shape, None, data, f"{field}.contents.{contents}")


def _check_bytes(datatype: str, size: int, shape: Shape, elements: int) -> None:
    """Raise InputError if the number of bytes does not match the shape; lengths of BYTES are read later."""
    if datatype == "FP32" and size != 4 * elements:
        message = f"{size} bytes; shape {list(shape)} of FP32 requires {4 * elements}"
        raise InputError(message, field="raw_input_contents[0]")
    if datatype == "BYTES" and size < _LENGTH.size * elements:
        message = f"{size} bytes; too few for {elements} elements, each preceded by its length"
        raise InputError(message, field="raw_input_contents[0]")


def _images(sent: ImageInput, scale: TensorScale) -> Iterator[image_pb2.Image]:
    if sent.name == PHOTOS:
        return (image_pb2.Image(encoded=file) for file in _files(sent))
    number = image_pb2.TensorScale.Value(f"TENSOR_SCALE_{scale.upper()}")
    return (
        image_pb2.Image(tensor=tensor_to_wire(numbers), tensor_scale=number) for numbers in numbers_of(sent)
    )


def _files(sent: ImageInput) -> Sequence[bytes]:
    """Return the elements of BYTES; in raw contents each follows its length."""
    if sent.raw is None:
        return sent.elements
    data, elements, end = sent.raw, [], 0
    for index in range(math.prod(sent.shape)):
        start = end + _LENGTH.size
        if start > len(data):
            raise InputError(f"the length of element {index} is truncated at byte {end}", field=sent.field)
        (length,) = _LENGTH.unpack_from(data, end)
        end = start + length
        if end > len(data):
            left = len(data) - start
            raise InputError(f"element {index} has {length} bytes; only {left} are left", field=sent.field)
        elements.append(data[start:end])
    if end != len(data):
        raise InputError(f"{len(data) - end} bytes after the last element", field=sent.field)
    return elements


def _allowed_inputs() -> str:
    return " or ".join(f"'{name}' ({datatype})" for name, datatype in TYPES.items())
