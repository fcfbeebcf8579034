"""Requests that are small on the wire and large in memory, and connections that send nothing."""

import socket
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from tests.support.service_process import ConnectedService, memory_kib
from zfscope.v1 import analysis_pb2 as pb
from zfscope.v1 import classification_pb2, image_pb2, tensor_pb2
from zfscope.v1.analysis_pb2_grpc import AnalysisServiceStub
from zfscope.v1.classification_pb2_grpc import ClassificationServiceStub

MIB = 1 << 20
# Allowed growth of the memory. A request of up to 52 MiB is held as bytes, as a message and as decoded
# values; an unpacked bomb would exceed this.
MAX_GROWTH_MIB = 260


def peak_mib(service: ConnectedService) -> int:
    """Return the peak resident memory of a service in MiB."""
    return memory_kib(service.process, "VmHWM") // 1024


def nested_value(levels: int) -> Value:
    """Return a list in a list in a list ..., of the given depth."""
    value = Value(number_value=1)
    for _ in range(levels):
        value = Value(list_value=ListValue(values=[value]))
    return value


def analyze(photo: bytes, levels: int) -> bytes:
    """Return an AnalyzeRequest with a parameter of nested lists."""
    if levels <= 30:
        parameters = Struct(fields={"top": nested_value(levels)})
        request = pb.AnalyzeRequest(analyzer="project", parameters=parameters)
        request.images.add(encoded=photo)
        return request.SerializeToString()
    inner = b""
    # A Value of a ListValue of a Value, encoded by hand: protobuf limits nesting to 100.
    for _ in range(levels):
        inner = b"\x32" + varint(len(inner)) + inner
        inner = b"\x0a" + varint(len(inner)) + inner
    entry = b"\x0a\x03top\x12" + varint(len(inner)) + inner
    parameters = b"\x0a" + varint(len(entry)) + entry
    head = pb.AnalyzeRequest(analyzer="project").SerializeToString()
    number = pb.AnalyzeRequest.DESCRIPTOR.fields_by_name["parameters"].number
    return head + bytes([number << 3 | 2]) + varint(len(parameters)) + parameters


def varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    return encoded + bytes([number])


Send = Callable[[grpc.Channel, bytes], Any]


def gzip_bomb(channel: grpc.Channel, photo: bytes) -> Any:
    """Send 400 MiB of zeros, compressed to 400 kB."""
    stub = ClassificationServiceStub(channel)
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=bytes(400 * MIB)))
    return stub.Classify(request, compression=grpc.Compression.Gzip, timeout=60)


def million_classes(channel: grpc.Channel, photo: bytes) -> Any:
    request = pb.OccludeRequest(image=image_pb2.Image(encoded=photo), classes=["a"] * 1_000_000)
    return AnalysisServiceStub(channel).Occlude(request, timeout=60)


def million_units(channel: grpc.Channel, photo: bytes) -> Any:
    request = pb.ProjectRequest(image=image_pb2.Image(encoded=photo), layer="conv5")
    request.units.add(map=1, y=0, x=0)
    request.units.MergeFrom([request.units[0]] * 1_000_000)
    return AnalysisServiceStub(channel).Project(request, timeout=60)


def million_images(channel: grpc.Channel, photo: bytes) -> Any:
    request = pb.CorrespondRequest(images=[image_pb2.Image(encoded=b"a")] * 1_000_000)
    return AnalysisServiceStub(channel).Correspond(request, timeout=60)


def nested_lists(levels: int) -> Send:
    def send(channel: grpc.Channel, photo: bytes) -> Any:
        path = "/zfscope.v1.AnalysisService/Analyze"
        call = channel.unary_stream(path, request_serializer=bytes, response_deserializer=bytes)
        return list(call(analyze(photo, levels), timeout=60))

    return send


def shape_that_overflows(channel: grpc.Channel, photo: bytes) -> Any:
    tensor = tensor_pb2.Tensor(data_type=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2**62, 4], data=bytes(4))
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(tensor=tensor))
    return ClassificationServiceStub(channel).Classify(request, timeout=60)


INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
# The status of gRPC for a compression that the server does not accept.
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
BOMBS: dict[str, tuple[Send, set[grpc.StatusCode]]] = {
    "gzip": (gzip_bomb, {UNIMPLEMENTED}),
    "a million classes": (million_classes, {INVALID}),
    "a million units": (million_units, {INVALID, EXHAUSTED}),
    "a million images": (million_images, {INVALID, EXHAUSTED}),
    "20 nested lists": (nested_lists(20), {INVALID}),
    "45 nested lists": (nested_lists(45), {INVALID}),
    "2,000 nested lists": (nested_lists(2000), {INVALID}),
    "a shape that overflows": (shape_that_overflows, {INVALID}),
}


def test_bombs_are_rejected_with_a_client_error_and_little_memory(
    connected_service: ConnectedService, photo: bytes
) -> None:
    growth: dict[str, int] = {}
    for name, (send, allowed) in BOMBS.items():
        before = peak_mib(connected_service)
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                send(connected_service.channel, photo)
            assert caught.value.code() in allowed, f"{name}: {caught.value.code()} {caught.value.details()}"
        growth[name] = peak_mib(connected_service) - before
    assert all(mib < MAX_GROWTH_MIB for mib in growth.values()), growth
    stub = ClassificationServiceStub(connected_service.channel)
    request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
    assert stub.Classify(request, timeout=60).classes


def test_connections_that_send_little_or_nothing_do_not_delay_others(
    connected_service: ConnectedService, photo: bytes
) -> None:
    host, _, port = connected_service.address.rpartition(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    connections = [socket.create_connection((host, int(port))) for _ in range(50)]
    try:
        for number, connection in enumerate(connections):
            connection.sendall(preface[: number % len(preface)])
        stub = ClassificationServiceStub(connected_service.channel)
        request = classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))
        assert stub.Classify(request, timeout=30).classes
    finally:
        for connection in connections:
            connection.close()
