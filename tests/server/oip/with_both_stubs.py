"""Imports Triton's own stubs and ours into one process, and compares them: prints what differs, as JSON."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2

from zfscope.inference import inference_pb2 as ours


def theirs(name: str) -> Any:
    """Give their descriptor of a full name."""
    return service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(name)


def messages(found: Any) -> Iterator[Any]:
    for message in found:
        yield message
        yield from messages(message.nested_types)


def field_of(field: Any) -> list[Any]:
    typed = field.message_type or field.enum_type
    choice = field.containing_oneof.name if field.containing_oneof else ""
    return [field.name, field.number, field.type, field.is_repeated, typed and typed.full_name, choice]


def differences() -> Iterator[str]:
    for message in messages(ours.DESCRIPTOR.message_types_by_name.values()):
        known = {field.number: field_of(field) for field in theirs(message.full_name).fields}
        for field in message.fields:
            if known.get(field.number) != field_of(field):
                yield f"{message.full_name}: {field_of(field)} is {known.get(field.number)}"
    enums = (
        (ours.DESCRIPTOR.enum_types_by_name["DataType"], model_config_pb2.DataType.DESCRIPTOR),
        (ours.ModelInput.Format.DESCRIPTOR, model_config_pb2.ModelInput.Format.DESCRIPTOR),
    )
    for own, other in enums:
        if {of.name: of.number for of in own.values} != {of.name: of.number for of in other.values}:
            yield own.full_name
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in ours.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        known = service.methods_by_name[method.name]
        wanted = (known.input_type.full_name, known.output_type.full_name)
        if (method.input_type.full_name, method.output_type.full_name) != wanted:
            yield method.full_name


def main() -> None:
    request = service_pb2.ModelInferRequest(model_name="tiny", raw_input_contents=[b"1"])
    request.parameters["top"].int64_param = 3
    crossed = ours.ModelInferRequest.FromString(request.SerializeToString())
    compared = messages(ours.DESCRIPTOR.message_types_by_name.values())
    seen = {
        "differences": list(differences()),
        "compared": [message.full_name for message in compared],
        "crossed": crossed.parameters["top"].int64_param,
    }
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main()
