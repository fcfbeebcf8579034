"""Services, methods, messages and enums, with the comments of the protos."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc_tools
from google.protobuf import descriptor_pb2 as pb
from grpc_tools import protoc

from reference.markdown import anchor, code, table, text
from zfscope.server.protos import SERVICES

_PROTO = Path(__file__).parents[3] / "proto"
_WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
_FIELD = pb.FieldDescriptorProto
# Numbers of fields in descriptors, of which the paths of comments consist.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _METHODS, _VALUES, _NESTED, _NESTED_ENUMS = 2, 2, 2, 3, 4
# Types of other packages.
_LINKS = {".google.protobuf.Struct": "https://protobuf.dev/reference/protobuf/google.protobuf/#struct"}


class _Comments:
    """Comments of a file by the path of what they describe."""

    def __init__(self, file: pb.FileDescriptorProto) -> None:
        locations = file.source_code_info.location
        self._texts = {tuple(each.path): each.leading_comments for each in locations}

    def paragraphs(self, *path: int) -> str:
        """Return a comment as paragraphs of Markdown."""
        parts = self._texts.get(path, "").split("\n\n")
        return "".join(f"{text(part)}\n\n" for part in parts if part.strip())

    def line(self, *path: int) -> str:
        """Return a comment as one line of Markdown."""
        return text(self._texts.get(path, ""))


def rpcs() -> str:
    """Return a section for each service, then the messages and enums of each package."""
    files = [
        file for file in _descriptors() if file.package in {name.rpartition(".")[0] for name in SERVICES}
    ]
    services = [_services(file, _Comments(file)) for file in files]
    types = [_types(file, _Comments(file)) for file in files]
    return "".join([*services, *types])


def _descriptors() -> list[pb.FileDescriptorProto]:
    """Return the descriptors of the protos, with comments."""
    protos = [*_PROTO.glob("zfscope/v1/*.proto"), *_PROTO.glob("inference/*.proto")]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "protos.binpb"
        options = ("--include_source_info", f"--descriptor_set_out={out}")
        paths = (f"--proto_path={_PROTO}", f"--proto_path={_WELL_KNOWN}")
        if protoc.main(["protoc", *paths, *options, *map(str, sorted(protos))]):
            raise RuntimeError(f"protoc failed for the protos in {_PROTO}")
        return list(pb.FileDescriptorSet.FromString(out.read_bytes()).file)


def _services(file: pb.FileDescriptorProto, comments: _Comments) -> str:
    parts = []
    for number, service in enumerate(file.service):
        parts.append(f"## {file.package}.{service.name}\n\n{comments.paragraphs(_SERVICES, number)}")
        for index, method in enumerate(service.method):
            stream = "stream of " if method.server_streaming else ""
            signature = f"{_link(method.input_type)} → {stream}{_link(method.output_type)}\n\n"
            about = comments.paragraphs(_SERVICES, number, _METHODS, index)
            parts.append(f"### `{method.name}`\n\n{signature}{about}")
    return "".join(parts)


def _types(file: pb.FileDescriptorProto, comments: _Comments) -> str:
    head = f"## Messages of {file.name}\n\n"
    messages = [
        _message(f".{file.package}.{message.name}", message, comments, (_MESSAGES, number))
        for number, message in enumerate(file.message_type)
    ]
    enums = [
        _enum(f".{file.package}.{enum.name}", enum, comments, (_ENUMS, number))
        for number, enum in enumerate(file.enum_type)
    ]
    return head + "".join([*messages, *enums])


def _message(name: str, message: pb.DescriptorProto, comments: _Comments, path: tuple[int, ...]) -> str:
    """Return a section for a message and those nested in it."""
    nested = {f"{name}.{inner.name}": inner for inner in message.nested_type}
    maps = {inner: entry for inner, entry in nested.items() if entry.options.map_entry}
    rows = [
        (
            code(field.name),
            _type(field, maps),
            _choice(field, message) + comments.line(*path, _FIELDS, number),
        )
        for number, field in enumerate(message.field)
    ]
    inner = [
        _message(inner, nested[inner], comments, (*path, _NESTED, number))
        for number, inner in enumerate(nested)
        if inner not in maps
    ] + [
        _enum(f"{name}.{enum.name}", enum, comments, (*path, _NESTED_ENUMS, number))
        for number, enum in enumerate(message.enum_type)
    ]
    fields = table(("field", "type", "meaning"), rows) if rows else ""
    return f"{_heading(name)}{comments.paragraphs(*path)}{fields}{''.join(inner)}"


def _enum(name: str, enum: pb.EnumDescriptorProto, comments: _Comments, path: tuple[int, ...]) -> str:
    rows = [
        (code(value.name), str(value.number), comments.line(*path, _VALUES, number))
        for number, value in enumerate(enum.value)
    ]
    return f"{_heading(name)}{comments.paragraphs(*path)}{table(('value', 'number', 'meaning'), rows)}"


def _heading(name: str) -> str:
    return f"{anchor(name[1:])}### `{name.rpartition('.')[2]}`\n\n"


def _type(field: pb.FieldDescriptorProto, maps: Mapping[str, pb.DescriptorProto]) -> str:
    """Return the type of a field. maps: entries of map fields by the name of their message."""
    if field.type_name in maps:
        key, value = maps[field.type_name].field
        return f"map of {_scalar(key)} to {_scalar(value)}"
    return f"{_labels(field)}{_scalar(field)}"


def _labels(field: pb.FieldDescriptorProto) -> str:
    if field.label == _FIELD.LABEL_REPEATED:
        return "repeated "
    return "optional " if field.proto3_optional else ""


def _scalar(field: pb.FieldDescriptorProto) -> str:
    return _link(field.type_name) if field.type_name else _FIELD.Type.Name(field.type)[5:].lower()


def _choice(field: pb.FieldDescriptorProto, message: pb.DescriptorProto) -> str:
    """Return a note for a field of a oneof."""
    if not field.HasField("oneof_index") or field.proto3_optional:
        return ""
    return f"One of {code(message.oneof_decl[field.oneof_index].name)}. "


def _link(name: str) -> str:
    shown = code(name.rpartition(".")[2])
    if name.startswith(".google."):
        return f"[{shown}]({_LINKS[name]})" if name in _LINKS else code(name[1:])
    return f'<a href="#{name[1:]}">{shown}</a>'
