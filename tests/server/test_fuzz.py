"""Requests that went wrong, to every RPC: none is a fault of the service, none hangs, none leaks.

ZFSCOPE_FUZZ says how many; `make fuzz` sends 20,000.
"""

import base64
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.server.mutations import mutated
from zfscope.server.protos import SERVICES, pool_of_all

MESSAGES = int(os.environ.get("ZFSCOPE_FUZZ", "400"))
LONGEST_S = 60
FAULTS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
}
GROWTH, ROOM_MIB = 1.1, 20
"""What memory may grow by after the first quarter, by which time caches are warm."""

Fields = Mapping[str, Any]


def seeds(photo: bytes) -> Mapping[str, list[Fields]]:
    """Give good requests of every method that takes anything, as JSON has them."""
    image = {"encoded": photo}
    pixels = {
        "tensor": {"dataType": "DATA_TYPE_FLOAT32", "shape": [3, 32, 32], "data": bytes(4 * 3 * 32 * 32)}
    }
    box = {"x0": 20, "y0": 15, "x1": 36, "y1": 30}
    crops = np.zeros((1, 3, 32, 32), np.float32)
    infer = {"name": "input", "datatype": "FP32", "shape": list(crops.shape)}
    return {
        "GetModel": [{"model": "tiny", "version": 1}],
        "Classify": [{"image": image, "model": "tiny", "top": 2}, {"image": pixels}],
        "Project": [
            {"image": image, "layer": "conv5", "top": 2, "control": True},
            {"image": image, "layer": "conv5", "units": [{"map": 1, "y": 2, "x": 3}], "tensors": True},
        ],
        "Occlude": [
            {"image": image, "layer": "relu5", "window": 8, "stride": 8},
            {"image": image, "layer": "relu5", "boxes": [box], "fill": "#808080", "classes": ["ant"]},
        ],
        "MeasureInvariance": [
            {"images": [image], "layers": ["relu1", "relu5"], "transformations": ["TRANSFORMATION_ROTATION"]}
        ],
        "Correspond": [
            {"images": [image, image], "layers": ["relu1"], "parts": [{"name": "eye", "boxes": [box, box]}]}
        ],
        "CompareArchitectures": [
            {"models": [{"name": "tiny", "version": 1}, {"name": "tiny"}], "images": [image]}
        ],
        "TopK": [{"model": "tiny", "index": "val", "layer": "conv5", "count": 2}],
        "Evolve": [{"model": "tiny", "index": "val", "layer": "conv5", "epochs": [1]}],
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
            {"modelName": "tiny/project", "inputs": [{"name": "images", "datatype": "BYTES", "shape": [1]}]},
        ],
    }


def as_message(descriptor: Any, fields: Fields) -> Message:
    """Write a request from what JSON has, but bytes as bytes."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    message: Message = GetMessageClass(descriptor)()
    return ParseDict(plain(dict(fields)), message, descriptor_pool=POOL)


POOL = pool_of_all()
EVERY_METHOD = [method for name in SERVICES for method in POOL.FindServiceByName(name).methods]


def resident_mib(process: "subprocess.Popen[str]") -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.fixture
def fuzzed(
    start: Callable[..., "subprocess.Popen[str]"],
) -> Iterator[tuple["subprocess.Popen[str]", grpc.Channel]]:
    """A service as a process of its own, and a plain connection to it."""
    process = start(listen="127.0.0.1:0")
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    process.stdout.readline()  # it serves
    with grpc.insecure_channel(address) as channel:
        yield process, channel


def test_whatever_is_sent_is_the_callers_fault_and_harms_nobody(
    fuzzed: tuple["subprocess.Popen[str]", grpc.Channel], photo: bytes
) -> None:
    process, channel = fuzzed
    good = seeds(photo)
    requests = [
        (method, as_message(method.input_type, fields))
        for method in EVERY_METHOD
        for fields in good.get(method.name, [{}])
    ]
    codes: dict[str, set[str]] = {method.name: set() for method in EVERY_METHOD}
    memory: list[float] = []

    def send(method: Any, data: bytes) -> grpc.StatusCode:
        path = f"/{method.containing_service.full_name}/{method.name}"
        kind = channel.unary_stream if method.server_streaming else channel.unary_unary
        try:
            answer = kind(path, request_serializer=bytes, response_deserializer=bytes)(
                data, timeout=LONGEST_S
            )
            if method.server_streaming:
                for _ in answer:
                    pass
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    @settings(
        max_examples=MESSAGES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        method, seed = data.draw(st.sampled_from(requests))
        sent = data.draw(mutated(seed))
        code = send(method, sent)
        assert code not in FAULTS, f"{method.name}: {code} for {sent!r}"
        codes[method.name].add(code.name)
        memory.append(resident_mib(process))

    for method, request in requests:  # the good ones do work, but for those of an index
        wanted = {"NOT_FOUND"} if method.name in ("TopK", "Evolve") else {"OK"}
        if not (method.name == "ModelInfer" and "project" in str(request)):
            assert send(method, request.SerializeToString()).name in wanted, method.name
    fuzz()
    warm, last = memory[len(memory) // 4], memory[-1]
    assert last <= GROWTH * warm + ROOM_MIB, f"{warm:.0f} MiB after a quarter, {last:.0f} MiB in the end"
    assert process.poll() is None
    assert all(codes.values())
    told = ", ".join(f"{name} {' '.join(sorted(seen))}" for name, seen in codes.items())
    print(f"{MESSAGES} messages; {warm:.0f} MiB, then {last:.0f} MiB; {told}")  # noqa: T201  (`make fuzz` shows it)
