"""The served gRPC services, with their descriptors for reflection."""

from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from zfscope.inference import inference_pb2
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2

_STANDARD_PROTOS = (health_pb2, reflection_pb2, channelz_pb2)
_ZFSCOPE_PROTOS = (model_pb2, classification_pb2, analysis_pb2, inference_pb2)

SERVICES = tuple(
    service.full_name for proto in _ZFSCOPE_PROTOS for service in proto.DESCRIPTOR.services_by_name.values()
)
"""Ours, in full names."""
CHANNELZ: str = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name


class Method(NamedTuple):
    """A method as metrics and traces name it. kind: unary, server_stream, client_stream or bidi_stream."""

    kind: str
    service: str
    name: str


def _method(method: MethodDescriptor) -> Method:
    kinds = {(False, True): "server_stream", (True, False): "client_stream", (True, True): "bidi_stream"}
    kind = kinds.get((method.client_streaming, method.server_streaming), "unary")
    return Method(kind, method.containing_service.full_name, method.name)


METHODS_BY_PATH: Mapping[str, Method] = {
    f"/{service.full_name}/{method.name}": _method(method)
    for proto in (*_ZFSCOPE_PROTOS, *_STANDARD_PROTOS)
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""All methods that there are, by the path of a call."""
METHOD_NAMES = tuple(method.name for method in METHODS_BY_PATH.values() if method.service in SERVICES)
"""Those of our services, by name: no two share one."""


def find_method(path: str) -> Method:
    """Find a method by its path; of one that there is not no word is kept."""
    return METHODS_BY_PATH.get(path, Method("unknown", "unknown", "unknown"))


def descriptor_pool() -> DescriptorPool:
    """Return a pool with the protos of all that is served: those of `inference` have one of their own."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        pool.AddSerializedFile(file.serialized_pb)

    for proto in (*_ZFSCOPE_PROTOS, *_STANDARD_PROTOS):
        add(proto.DESCRIPTOR)
    return pool
