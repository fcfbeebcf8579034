"""Mutated requests to every RPC: none causes a server error, hangs or leaks memory.

ZFSCOPE_FUZZ: number of requests, 400 by default; `make fuzz` sends 20,000.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.mutations import mutated
from tests.support.service_process import ConnectedService, memory_kib
from zfscope.client.arrays import attribution_to_wire
from zfscope.server.protos import SERVICES, descriptor_pool

MESSAGES = int(os.environ.get("ZFSCOPE_FUZZ", "400"))
TIMEOUT_S = 60
SERVER_ERRORS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
}
# Allowed growth of the memory, as a factor and in MiB, after the first quarter of the requests, when the
# caches are warm.
GROWTH_FACTOR, GROWTH_MIB = 1.1, 20

Fields = Mapping[str, Any]


def seeds(photo: bytes) -> Mapping[str, list[Fields]]:
    """Return valid requests of every method with a non-empty request, as JSON objects with raw bytes."""
    image = {"encoded": photo}
    pixels = {
        "tensor": {"dataType": "DATA_TYPE_FLOAT32", "shape": [3, 32, 32], "data": bytes(4 * 3 * 32 * 32)}
    }
    levels = {"dataType": "DATA_TYPE_UINT8", "shape": [3, 32, 32], "data": bytes(3 * 32 * 32)}
    stated = {"tensor": levels, "tensorScale": "TENSOR_SCALE_PIXELS_255"}
    box = {"x0": 20, "y0": 15, "x1": 36, "y1": 30}
    crops = np.zeros((1, 3, 32, 32), np.float32)
    npy = attribution_to_wire(np.eye(32))
    infer = {"name": "input", "datatype": "FP32", "shape": list(crops.shape)}
    return {
        "GetModel": [{"model": "tiny", "version": 1}],
        "Classify": [{"image": image, "model": "tiny", "top": 2}, {"image": pixels}, {"image": stated}],
        "Project": [
            {"image": image, "layer": "conv5", "top": 2, "control": True},
            {"image": image, "layer": "conv5", "units": [{"map": 1, "y": 2, "x": 3}], "tensors": True},
        ],
        "Activations": [
            {"image": image, "layer": "conv5", "y": 24, "x": 30, "top": 2, "rank": "RANK_SUM"},
            {"image": image, "layer": "conv5", "maps": [1, 2], "box": box, "tensors": True},
        ],
        "Occlude": [
            {"image": image, "layer": "relu5", "window": 8, "stride": 8},
            {"image": image, "layer": "relu5", "boxes": [box], "fill": "#808080", "classes": ["ant"]},
        ],
        "MeasureInvariance": [
            {"images": [image], "layers": ["relu1", "relu5"], "transformations": ["TRANSFORMATION_ROTATION"]}
        ],
        "MeasureFaithfulness": [
            {"images": [image], "methodParameters": {"window": 16}, "step": 0.5, "labels": ["ant"]},
            {"images": [image], "attribution": npy, "boxes": [box], "removal": "REMOVAL_GREY", "random": 1},
        ],
        "Correspond": [
            {"images": [image, image], "layers": ["relu1"], "parts": [{"name": "eye", "boxes": [box, box]}]}
        ],
        "CompareArchitectures": [
            {"models": [{"name": "tiny", "version": 1}, {"name": "tiny"}], "images": [image]}
        ],
        "TopK": [{"model": "tiny", "index": "val", "layer": "conv5", "count": 2}],
        "Evolve": [{"model": "tiny", "index": "val", "layer": "conv5", "epochs": [1]}],
        "GetIndexedPhoto": [
            {"model": "tiny", "index": "val", "blake2b": 32 * "0", "offset": "1", "maxBytes": 9}
        ],
        "ListAnalyzers": [{"model": "tiny"}],
        "Analyze": [
            {"analyzer": "project", "images": [image], "parameters": {"layer": "conv5", "top": 2}},
            {"analyzer": "occlude", "images": [image], "parameters": {"window": 8, "layer": "relu5"}},
        ],
        "ModelReady": [{"name": "tiny", "version": "1"}],
        "ModelMetadata": [{"name": "tiny"}],
        "ModelConfig": [{"name": "tiny"}],
        "ModelInfer": [
            {"modelName": "tiny", "inputs": [infer], "rawInputContents": [crops.tobytes()]},
            {
                "modelName": "tiny",
                "inputs": [infer],
                "rawInputContents": [crops.tobytes()],
                "parameters": {"tensor_scale": {"stringParam": "pixels_1"}},
            },
            {
                "modelName": "tiny/project",
                "inputs": [
                    {
                        "name": "images",
                        "datatype": "BYTES",
                        "shape": [1],
                        "contents": {"bytesContents": [photo]},
                    }
                ],
            },
        ],
    }


def as_message(descriptor: Any, fields: Fields) -> Message:
    """Parse a request from a JSON object whose bytes are not encoded as base64."""

    def encode_bytes(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if isinstance(value, dict):
            return {name: encode_bytes(each) for name, each in value.items()}
        return [encode_bytes(each) for each in value] if isinstance(value, list) else value

    message: Message = GetMessageClass(descriptor)()
    return ParseDict(encode_bytes(dict(fields)), message, descriptor_pool=POOL)


POOL = descriptor_pool()
EVERY_METHOD = [method for name in SERVICES for method in POOL.FindServiceByName(name).methods]


@dataclass(frozen=True)
class FuzzTarget:
    """A service, with the statuses of its calls and its memory."""

    service: ConnectedService
    statuses: dict[str, set[str]] = field(
        default_factory=lambda: {method.name: set() for method in EVERY_METHOD}
    )
    memory: list[float] = field(default_factory=list)

    def send(self, method: Any, data: bytes) -> tuple[grpc.StatusCode, str]:
        """Send bytes to a method and read the whole response; return status and message."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        kind = (
            self.service.channel.unary_stream if method.server_streaming else self.service.channel.unary_unary
        )
        call = kind(path, request_serializer=bytes, response_deserializer=bytes)
        try:
            answer = call(data, timeout=TIMEOUT_S)
            if method.server_streaming:
                list(answer)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    def check(self, method: Any, data: bytes) -> None:
        """Send a possibly invalid request; fail on a server error."""
        code, message = self.send(method, data)
        if code in SERVER_ERRORS:
            pytest.fail(f"{method.name}: {code}, {message}, for {data[:300]!r} ...{data[-300:]!r}")
        self.statuses[method.name].add(code.name)
        self.memory.append(memory_kib(self.service.process, "VmRSS") / 1024)


@pytest.fixture
def target(connected_service: ConnectedService) -> FuzzTarget:
    return FuzzTarget(connected_service)


def fuzz(target: FuzzTarget, method: Any, seed: Message, *, messages: int) -> None:
    """Send the given number of mutated requests to a method."""

    @settings(
        max_examples=messages,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(seed))
    def send(data: bytes) -> None:
        target.check(method, data)

    send()


def test_mutated_requests_are_client_errors_and_do_not_affect_the_service(
    target: FuzzTarget, photo: bytes
) -> None:
    valid = seeds(photo)
    requests = [
        (method, as_message(method.input_type, fields))
        for method in EVERY_METHOD
        for fields in valid.get(method.name, [{}])
    ]
    for method, request in requests:  # the seeds are valid, except for a missing index
        of_index = method.name in ("TopK", "Evolve", "GetIndexedPhoto")
        expected = grpc.StatusCode.NOT_FOUND if of_index else grpc.StatusCode.OK
        assert target.send(method, request.SerializeToString())[0] is expected, method.name

    for method, seed in requests:  # one after the other, so that each method gets requests
        fuzz(target, method, seed, messages=-(-MESSAGES // len(requests)))
    warm, last = target.memory[len(target.memory) // 4], target.memory[-1]
    statuses = ", ".join(f"{name} {' '.join(sorted(codes))}" for name, codes in target.statuses.items())
    print(f"{MESSAGES} messages; {warm:.0f} MiB, then {last:.0f} MiB; {statuses}")  # noqa: T201  (`make fuzz` shows it)
    assert last <= GROWTH_FACTOR * warm + GROWTH_MIB
    assert target.service.process.poll() is None
    assert all(target.statuses.values())
