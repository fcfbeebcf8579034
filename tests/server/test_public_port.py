"""Methods on the public port: none changes a model, the store or the service."""

import grpc
import pytest

from zfscope.server.protos import SERVICES, descriptor_pool

# Every method. Add a new one only if it changes no state.
READ_ONLY_METHODS = {
    "zfscope.v1.ModelService": {"ListModels", "GetModel"},
    "zfscope.v1.ClassificationService": {"Classify"},
    "zfscope.v1.AnalysisService": {
        "ListAnalyzers",
        "Analyze",
        "Project",
        "Activations",
        "Occlude",
        "MeasureFaithfulness",
        "MeasureInvariance",
        "Correspond",
        "CompareArchitectures",
        "TopK",
        "Evolve",
        "GetIndexedPhoto",
    },
    "inference.GRPCInferenceService": {
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelConfig",
        "ModelInfer",
        "ModelStatistics",
        "RepositoryIndex",
    },
}


def test_every_method_is_on_the_list_of_read_only_methods() -> None:
    pool = descriptor_pool()
    offered = {name: {method.name for method in pool.FindServiceByName(name).methods} for name in SERVICES}

    assert offered == READ_ONLY_METHODS


@pytest.mark.parametrize(
    "method",
    [
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
        "/inference.GRPCInferenceService/SystemSharedMemoryRegister",
        "/inference.GRPCInferenceService/TraceSetting",
        "/inference.GRPCInferenceService/LogSettings",
        "/org.pytorch.serve.grpc.management.ManagementAPIsService/RegisterModel",
    ],
)
def test_state_changing_methods_of_other_servers_are_unimplemented(
    channel: grpc.Channel, method: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=30)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
