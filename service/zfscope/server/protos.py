"""Served gRPC services and methods, and their descriptors for reflection."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from zfscope.inference import inference_pb2
from zfscope.server import reflection
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2

_STANDARD_PROTOS = (health_pb2, reflection_pb2, channelz_pb2)
_ZFSCOPE_PROTOS = (model_pb2, classification_pb2, analysis_pb2, inference_pb2)
_PROTOS = (*_ZFSCOPE_PROTOS, *_STANDARD_PROTOS)

# Full names of the services of zfscope, without the standard ones.
SERVICES = tuple(
    service.full_name for proto in _ZFSCOPE_PROTOS for service in proto.DESCRIPTOR.services_by_name.values()
)
CHANNELZ: str = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name


class Method(NamedTuple):
    """RPC method as named in metrics and traces.

    kind: unary, server_stream, client_stream or bidi_stream. service: full name of the service.
    """

    kind: str
    service: str
    name: str


def _method(method: MethodDescriptor) -> Method:
    kinds = {(False, True): "server_stream", (True, False): "client_stream", (True, True): "bidi_stream"}
    kind = kinds.get((method.client_streaming, method.server_streaming), "unary")
    return Method(kind, method.containing_service.full_name, method.name)


@cache
def descriptor_pool() -> DescriptorPool:
    """Return a pool with all served protos; the default pool lacks those of `inference`."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        pool.AddSerializedFile(file.serialized_pb)

    for proto in _PROTOS:
        add(proto.DESCRIPTOR)
    pool.Add(reflection.v1_file())
    return pool


def _all_services() -> Iterator[ServiceDescriptor]:
    for proto in _PROTOS:
        yield from proto.DESCRIPTOR.services_by_name.values()
    yield descriptor_pool().FindServiceByName(reflection.SERVICES[0])


# All methods that the service can serve, by path: /SERVICE/METHOD.
METHODS_BY_PATH: Mapping[str, Method] = {
    f"/{service.full_name}/{method.name}": _method(method)
    for service in _all_services()
    for method in service.methods
}
# Names of the methods of SERVICES, which are unique.
METHOD_NAMES = tuple(method.name for method in METHODS_BY_PATH.values() if method.service in SERVICES)


def find_method(path: str) -> Method:
    """Return the method with a path; all unknown paths become `unknown`, which bounds the metric labels."""
    return METHODS_BY_PATH.get(path, Method("unknown", "unknown", "unknown"))
