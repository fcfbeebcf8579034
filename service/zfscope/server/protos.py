"""The services by their protos: what is served, and what reflection tells of it."""

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from zfscope.inference import inference_pb2
from zfscope.v1 import analysis_pb2, classification_pb2, model_pb2

_OURS = (model_pb2, classification_pb2, analysis_pb2, inference_pb2)

SERVICES = tuple(
    service.full_name for proto in _OURS for service in proto.DESCRIPTOR.services_by_name.values()
)
"""Ours, in full names."""

METHODS = tuple(
    method.name
    for proto in _OURS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
"""Their methods, by name: no two services share one."""

METHODS = tuple(
    method.name
    for proto in _OURS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
)
"""Their methods, by name: no two services share one."""


def pool_of_all() -> DescriptorPool:
    """Give a pool with the protos of all that is served: those of `inference` have one of their own."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for needed in file.dependencies:
            add(needed)
        pool.AddSerializedFile(file.serialized_pb)

    for proto in (*_OURS, health_pb2, reflection_pb2):
        add(proto.DESCRIPTOR)
    return pool
