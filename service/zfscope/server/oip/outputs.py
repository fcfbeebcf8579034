"""Output tensors: those requested, and their serialisation, raw or as typed lists."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.inference import inference_pb2 as pb
from zfscope.results import Notice

# Numbers, or bytes objects (dtype object) for BYTES.
Array = NDArray[Any]

CLASSIFICATION = "classification"
WARNINGS = "warnings"
_TYPES: Mapping[np.dtype[Any], tuple[str, str]] = {
    np.dtype("u1"): ("UINT8", "uint_contents"),
    np.dtype("<i8"): ("INT64", "int64_contents"),
    np.dtype("<f2"): ("FP16", ""),
    np.dtype("<f4"): ("FP32", "fp32_contents"),
    np.dtype(object): ("BYTES", "bytes_contents"),
}


@dataclass(frozen=True)
class RequestedOutput:
    """A requested output. classes: number of most likely classes to return as text; 0 for the scores."""

    name: str
    classes: int
    field: str


def requested_outputs(request: pb.ModelInferRequest, default: Sequence[str]) -> list[RequestedOutput]:
    """Return the requested outputs in order. Raises InputError for duplicate names or invalid parameters."""
    if not request.outputs:
        return [RequestedOutput(name, 0, "outputs") for name in default]
    requested = {}
    for index, output in enumerate(request.outputs):
        field = f"outputs[{index}]"
        if output.name in requested:
            raise InputError(f"'{output.name:.80}' is requested twice", field=f"{field}.name")
        requested[output.name] = RequestedOutput(output.name, _classes(output, field), field)
    return list(requested.values())


def bytes_array(elements: Sequence[bytes]) -> Array:
    """Return bytes objects as an array of one axis."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array


def response_to_wire(
    request: pb.ModelInferRequest,
    *,
    model: str,
    version: int,
    outputs: Mapping[str, Array],
    warnings: Sequence[Notice] = (),
) -> pb.ModelInferResponse:
    """Return a response, as typed lists if the request used them, otherwise raw; warnings are a parameter.

    FP16 has no typed list, and forms cannot be mixed: with an FP16 output all are raw.
    """
    arrays = {name: np.asarray(array, array.dtype.newbyteorder("<")) for name, array in outputs.items()}
    typed = any(tensor.HasField("contents") for tensor in request.inputs)
    raw = not typed or any(not _TYPES[array.dtype][1] for array in arrays.values())
    written = [_tensor(name, array, typed=not raw) for name, array in arrays.items()]
    return pb.ModelInferResponse(
        model_name=model,
        model_version=str(version),
        id=request.id,
        parameters=_parameters(warnings),
        outputs=written,
        raw_output_contents=[_raw(array) for array in arrays.values()] if raw else (),
    )


def _parameters(warnings: Sequence[Notice]) -> dict[str, pb.InferParameter]:
    """Return the warnings as a JSON parameter, [{"code", "message", "field"}]; empty without warnings."""
    if not warnings:
        return {}
    return {WARNINGS: pb.InferParameter(string_param=json.dumps([asdict(notice) for notice in warnings]))}


def _classes(output: pb.ModelInferRequest.InferRequestedOutputTensor, field: str) -> int:
    for name, value in output.parameters.items():
        if name != CLASSIFICATION:
            message = f"unknown parameter '{name:.80}' of an output; available: {CLASSIFICATION}"
            raise InputError(message, field=f"{field}.parameters")
        if value.WhichOneof("parameter_choice") != "int64_param" or value.int64_param < 1:
            message = f"{CLASSIFICATION} must be an integer of at least 1 (int64_param)"
            raise InputError(message, field=f"{field}.parameters.{CLASSIFICATION}")
        return value.int64_param
    return 0


def _tensor(name: str, array: Array, *, typed: bool) -> pb.ModelInferResponse.InferOutputTensor:
    datatype, contents = _TYPES[array.dtype]
    tensor = pb.ModelInferResponse.InferOutputTensor(name=name, datatype=datatype, shape=array.shape)
    if typed:
        getattr(tensor.contents, contents).extend(array.ravel().tolist())
    return tensor


def _raw(array: Array) -> bytes:
    return b"".join(_packed(array)) if array.dtype == object else np.ascontiguousarray(array).tobytes()


def _packed(array: Array) -> Iterator[bytes]:
    for element in array.ravel():
        yield struct.pack("<I", len(element))
        yield element
