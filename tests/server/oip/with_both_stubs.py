"""Import the stubs of Triton and of zfscope into one process and print their differences as JSON."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2

from zfscope.inference import inference_pb2 as zfscope_pb2


def triton_message(name: str) -> Any:
    """Return Triton's message descriptor of the given full name."""
    return service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(name)


def messages(descriptors: Any) -> Iterator[Any]:
    """Yield message descriptors and those nested in them."""
    for message in descriptors:
        yield message
        yield from messages(message.nested_types)


def describe_field(field: Any) -> list[Any]:
    """Return the properties of a field that are compared."""
    typed = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else ""
    return [field.name, field.number, field.type, field.is_repeated, typed and typed.full_name, oneof]


def differences() -> Iterator[str]:
    """Yield messages, enums and methods of zfscope that differ from Triton's."""
    for message in messages(zfscope_pb2.DESCRIPTOR.message_types_by_name.values()):
        triton = {field.number: describe_field(field) for field in triton_message(message.full_name).fields}
        for field in message.fields:
            if triton.get(field.number) != describe_field(field):
                yield f"{message.full_name}: {describe_field(field)} is {triton.get(field.number)}"
    enums = (
        (zfscope_pb2.DESCRIPTOR.enum_types_by_name["DataType"], model_config_pb2.DataType.DESCRIPTOR),
        (zfscope_pb2.ModelInput.Format.DESCRIPTOR, model_config_pb2.ModelInput.Format.DESCRIPTOR),
    )
    for own, other in enums:
        if {each.name: each.number for each in own.values} != {
            each.name: each.number for each in other.values
        }:
            yield own.full_name
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in zfscope_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        triton = service.methods_by_name[method.name]
        triton_types = (triton.input_type.full_name, triton.output_type.full_name)
        if (method.input_type.full_name, method.output_type.full_name) != triton_types:
            yield method.full_name


def main() -> None:
    request = service_pb2.ModelInferRequest(model_name="tiny", raw_input_contents=[b"1"])
    request.parameters["top"].int64_param = 3
    crossed = zfscope_pb2.ModelInferRequest.FromString(request.SerializeToString())
    compared = messages(zfscope_pb2.DESCRIPTOR.message_types_by_name.values())
    result = {
        "differences": list(differences()),
        "compared": [message.full_name for message in compared],
        "crossed": crossed.parameters["top"].int64_param,
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
