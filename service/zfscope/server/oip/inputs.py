"""Tensors that come in, raw or in typed lists: their words are checked before a byte is read as a number."""

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
from zfscope.networks.layers import Shape
from zfscope.results import MAX_AXES
from zfscope.v1 import image_pb2
from zfscope.wire.tensors import tensor_to_wire

Tensor = pb.ModelInferRequest.InferInputTensor

INPUT, PHOTOS = "input", "images"
"""The two ways to send images: as the network reads them, and as files."""
TYPES: Mapping[str, str] = {INPUT: "FP32", PHOTOS: "BYTES"}
_CONTENTS: Mapping[str, str] = {"FP32": "fp32_contents", "BYTES": "bytes_contents"}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, eq=False)
class Sent:
    """An input whose type, shape and size agree. raw: its bytes, None where it came as elements.

    field: of the request, where those are.
    """

    name: str
    shape: Shape
    raw: bytes | None
    elements: Sequence[Any]
    field: str

    @property
    def images(self) -> int:
        """How many images it holds."""
        return self.shape[0]


def sent_images(request: pb.ModelInferRequest) -> Sent | None:
    """Return the one input of a request, None without one.

    Raises InputError for one that is unknown, whose type is not its own, or whose shape and bytes disagree.
    """
    if len(request.inputs) > 1:
        names = ", ".join(f"'{tensor.name:.80}'" for tensor in request.inputs[:2])
        raise InputError(f"{len(request.inputs)} inputs, {names} ...; give one, {_either()}", field="inputs")
    if len(request.raw_input_contents) not in (0, len(request.inputs)):
        told = (
            f"{len(request.raw_input_contents)} for {len(request.inputs)} inputs; give one for each, or none"
        )
        raise InputError(told, field="raw_input_contents")
    if not request.inputs:
        return None
    tensor, field = request.inputs[0], "inputs[0]"
    _check_words(tensor, field)
    raw = request.raw_input_contents[0] if request.raw_input_contents else None
    return _sent(tensor, raw, field)


def numbers_of(sent: Sent) -> NDArray[np.float32]:
    """Return the numbers of an input of FP32, in its shape."""
    numbers = np.array(sent.elements, "<f4") if sent.raw is None else np.frombuffer(sent.raw, "<f4")
    return numbers.reshape(sent.shape)


def images_to_wire(sent: Sent, scale: TensorScale = "normalised") -> dict[str, image_pb2.Image]:
    """Return each image, by what messages call it. Raises InputError for lengths that are none."""
    return {f"{sent.name}[{place}]": image for place, image in enumerate(_images(sent, scale))}


def _check_words(tensor: Tensor, field: str) -> None:
    if tensor.name not in TYPES:
        raise InputError(f"no input '{tensor.name:.80}'; give {_either()}", field=f"{field}.name")
    wanted = TYPES[tensor.name]
    if tensor.datatype != wanted:
        told = f"'{tensor.datatype:.80}' is not the type of '{tensor.name}'; {wanted} is"
        raise InputError(told, field=f"{field}.datatype")
    if tensor.parameters:
        told = "an input takes no parameters here; tensors in shared memory are not read, send their contents"
        raise InputError(told, field=f"{field}.parameters")
    if not 1 <= len(tensor.shape) <= MAX_AXES or any(extent < 1 for extent in tensor.shape):
        told = f"{str(list(tensor.shape[:MAX_AXES]))[:-1]}{', ...' * (len(tensor.shape) > MAX_AXES)}]"
        allowed = f"1 to {MAX_AXES} axes, each of 1 or more, are allowed"
        raise InputError(f"{told} is no shape; {allowed}", field=f"{field}.shape")
    if tensor.name == PHOTOS and tuple(tensor.shape[1:]) not in {(), (1,)}:
        told = f"{list(tensor.shape)} is not the shape of '{PHOTOS}'; [photos] is, or [photos, 1]"
        raise InputError(told, field=f"{field}.shape")


def _sent(tensor: Tensor, raw: bytes | None, field: str) -> Sent:
    """Return how an input was sent. Raises InputError unless its size fits its shape."""
    shape, contents = tuple(tensor.shape), _CONTENTS[tensor.datatype]
    elements, given = math.prod(shape), [found.name for found, _ in tensor.contents.ListFields()]
    if raw is not None:
        if given:
            told = f"{contents} are given, and raw contents too; give one of the two"
            raise InputError(told, field=f"{field}.contents")
        _check_bytes(tensor.datatype, len(raw), shape, elements)
        return Sent(tensor.name, shape, raw, (), "raw_input_contents[0]")
    if given != [contents]:
        told = f"{', '.join(given) or 'nothing'} is given; {tensor.datatype} is sent raw, or in {contents}"
        raise InputError(told, field=f"{field}.contents")
    data = getattr(tensor.contents, contents)
    if len(data) != elements:
        told = f"{len(data)} elements; shape {list(shape)} needs exactly {elements}"
        raise InputError(told, field=f"{field}.contents.{contents}")
    return Sent(tensor.name, shape, None, data, f"{field}.contents.{contents}")


def _check_bytes(datatype: str, size: int, shape: Shape, elements: int) -> None:
    """Refuse bytes that the shape cannot be made of; of BYTES the lengths are read later."""
    if datatype == "FP32" and size != 4 * elements:
        told = f"{size} bytes; shape {list(shape)} of FP32 needs exactly {4 * elements}"
        raise InputError(told, field="raw_input_contents[0]")
    if datatype == "BYTES" and size < _LENGTH.size * elements:
        told = f"{size} bytes; {elements} elements need more, each {_LENGTH.size} for its length alone"
        raise InputError(told, field="raw_input_contents[0]")


def _images(sent: Sent, scale: TensorScale) -> Iterator[image_pb2.Image]:
    if sent.name == PHOTOS:
        return (image_pb2.Image(encoded=file) for file in _files(sent))
    number = image_pb2.TensorScale.Value(f"TENSOR_SCALE_{scale.upper()}")
    return (
        image_pb2.Image(tensor=tensor_to_wire(numbers), tensor_scale=number) for numbers in numbers_of(sent)
    )


def _files(sent: Sent) -> Sequence[bytes]:
    """Return the elements of BYTES; raw, each stands behind its length."""
    if sent.raw is None:
        return sent.elements
    data, elements, end = sent.raw, [], 0
    for place in range(math.prod(sent.shape)):
        start = end + _LENGTH.size
        if start > len(data):
            raise InputError(f"the length of element {place} is cut off, at byte {end}", field=sent.field)
        (length,) = _LENGTH.unpack_from(data, end)
        end = start + length
        if end > len(data):
            left = len(data) - start
            raise InputError(f"element {place} says {length} bytes; {left} are left", field=sent.field)
        elements.append(data[start:end])
    if end != len(data):
        raise InputError(f"{len(data) - end} bytes after the last element", field=sent.field)
    return elements


def _either() -> str:
    return " or ".join(f"'{name}' ({datatype})" for name, datatype in TYPES.items())
