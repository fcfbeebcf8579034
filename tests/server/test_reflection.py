"""Server reflection v1 and v1alpha: stock clients list and call the services."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from pydantic import SecretStr

from zfscope.server.protos import SERVICES
from zfscope.server.reflection import v1_file

BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or "buf"
PATHS = {
    version: f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    for version in ("v1", "v1alpha")
}
KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_INT32: "int32",
}
# Fields of grpc/reflection/v1/reflection.proto as published: message, field, number, type.
V1_FIELDS = """
ServerReflectionRequest host 1 string
ServerReflectionRequest file_by_filename 3 string
ServerReflectionRequest file_containing_symbol 4 string
ServerReflectionRequest file_containing_extension 5 ExtensionRequest
ServerReflectionRequest all_extension_numbers_of_type 6 string
ServerReflectionRequest list_services 7 string
ExtensionRequest containing_type 1 string
ExtensionRequest extension_number 2 int32
ServerReflectionResponse valid_host 1 string
ServerReflectionResponse original_request 2 ServerReflectionRequest
ServerReflectionResponse file_descriptor_response 4 FileDescriptorResponse
ServerReflectionResponse all_extension_numbers_response 5 ExtensionNumberResponse
ServerReflectionResponse list_services_response 6 ListServiceResponse
ServerReflectionResponse error_response 7 ErrorResponse
FileDescriptorResponse file_descriptor_proto 1 repeated bytes
ExtensionNumberResponse base_type_name 1 string
ExtensionNumberResponse extension_number 2 repeated int32
ListServiceResponse service 1 repeated ServiceResponse
ServiceResponse name 1 string
ErrorResponse error_code 1 int32
ErrorResponse error_message 2 string
"""


def curl(address: str, protocol: str, *arguments: str) -> str:
    """Run `buf curl`, a stock client that knows the services by reflection alone; return what it prints."""
    options = ["--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", protocol]
    result = subprocess.run(
        [
            BUF,
            "curl",
            *options,
            *(argument.replace("ADDRESS", f"http://{address}") for argument in arguments),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("protocol", ["grpc-v1", "grpc-v1alpha"])
def test_a_stock_client_lists_and_calls_the_services(service: Any, protocol: str) -> None:
    listed = curl(service.address, protocol, "--list-services", "ADDRESS").split()
    assert set(listed) == {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    answer = curl(service.address, protocol, "ADDRESS/zfscope.v1.ModelService/ListModels")
    assert {model["name"] for model in json.loads(answer)["models"]} == {"tiny", "other"}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_itself(channel: grpc.Channel, version: str) -> None:
    call = channel.stream_stream(
        PATHS[version],
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    symbol = f"grpc.reflection.{version}.ServerReflection"
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    (response,) = call(iter([request]), timeout=30)
    pool = DescriptorPool()
    for file in response.file_descriptor_response.file_descriptor_proto:
        pool.AddSerializedFile(file)
    (method,) = pool.FindServiceByName(symbol).methods
    assert (method.name, method.input_type.full_name) == (
        "ServerReflectionInfo",
        f"grpc.reflection.{version}.ServerReflectionRequest",
    )


def test_the_messages_of_v1_are_the_published_ones() -> None:
    pool = DescriptorPool()
    pool.Add(v1_file())
    file = pool.FindFileByName("grpc/reflection/v1/reflection.proto")
    fields = [
        f"{message.name} {field.name} {field.number} {'repeated ' if field.is_repeated else ''}"
        f"{field.message_type.name if field.message_type else KINDS[field.type]}"
        for message in file.message_types_by_name.values()
        for field in message.fields
    ]
    assert sorted(fields) == sorted(V1_FIELDS.split("\n")[1:-1])


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_a_token_is_required(settings: Any, make_service: Callable[[Any], Any], version: str) -> None:
    service = make_service(settings.model_copy(update={"token": SecretStr("0123456789abcdef")}))
    with grpc.insecure_channel(service.address) as channel, pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(PATHS[version])(iter([b""]), timeout=30))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
