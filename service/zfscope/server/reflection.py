"""Server reflection, versions v1 and v1alpha: grpcio-reflection has v1alpha alone.

Only the package differs; messages and fields are equal, so one servicer and one set of messages serve both.
"""

from collections.abc import Sequence

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
_SERVICE, _METHOD = "ServerReflection", "ServerReflectionInfo"
# Full names of both services.
SERVICES = (f"{_V1}.{_SERVICE}", f"{_ALPHA}.{_SERVICE}")


def v1_file() -> FileDescriptorProto:
    """Return the proto of v1, made from that of v1alpha."""
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", _V1
    for field in (field for message in file.message_type for field in message.field):
        if field.type_name:  # of a message
            field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
    for method in (method for service in file.service for method in service.method):
        method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
        method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
    return file


def add_reflection(server: grpc.aio.Server, names: Sequence[str], pool: DescriptorPool) -> None:
    """Serve both versions. names: full names of the listed services, without those of reflection."""
    servicer = aio.ReflectionServicer([*names, *SERVICES], pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for service in SERVICES:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {_METHOD: handler}),))
