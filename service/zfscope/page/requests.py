"""Models of request bodies, derived from the methods of the client."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    create_model,
)

from zfscope.client.arrays import Attribution
from zfscope.client.files import File
from zfscope.client.photos import Photo
from zfscope.page.methods import Method
from zfscope.page.photos import HASH
from zfscope.page.results import Pictures

_ALLOWED = 'the hash of an uploaded photo, or {"base64": "..."}'


@dataclass(frozen=True)
class PhotoHash:
    """Hash of a photo in memory."""

    hash: str


def read_reference(value: Any) -> bytes | PhotoHash:
    """Return the bytes of a photo, or its hash. Raises ValueError for any other value."""
    if isinstance(value, bytes):  # a part of a multipart request
        return value
    if isinstance(value, str) and HASH.fullmatch(value):
        return PhotoHash(value)
    if isinstance(value, dict) and set(value) == {"base64"} and isinstance(value["base64"], str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"base64 is not valid: {error}") from error
    raise ValueError(f"not a photo; allowed: {_ALLOWED}")


PhotoReference = Annotated[
    Any,
    PlainValidator(read_reference),
    WithJsonSchema(
        {
            "title": "Photo",
            "description": f"A photo: {_ALLOWED}; in a multipart request, a part of this name.",
            "anyOf": [
                {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                {
                    "type": "object",
                    "properties": {"base64": {"type": "string", "contentEncoding": "base64"}},
                    "required": ["base64"],
                    "additionalProperties": False,
                },
            ],
        }
    ),
]

_ARGUMENTS: Mapping[str, str] = {
    "photo": "Photo to analyze.",
    "photos": "Photos to analyze, in order.",
    "blake2b": "Hash of the photo's file, as in the records of `v1/top-k`.",
    "parts": "For each part name, one box per photo in photo pixels, in the order of the photos.",
    "models": "Models to compare, each NAME or NAME:VERSION.",
    "parameters": "Parameters of the analyzer, as described by its schema in `v1/analyzers`.",
}
# Types that requests state strictly: a number is not a boolean, and text is neither.
_STRICT: Mapping[Any, Any] = {bool: StrictBool, int: StrictInt}


def request_model(method: Method) -> type[BaseModel]:
    """Return the model of a method's request body; null is the same as leaving a member out."""
    members: dict[str, Any] = {}
    for name, kind in method.arguments.items():
        if name != "analyzer":  # part of the URL
            required = name not in ("parameters",)
            members[name] = _member(_json_type(kind), _ARGUMENTS[name], required=required)
    for name, option in method.options.items():
        kind = Pictures if name == "pictures" else option.type
        members[name] = _member(_json_type(kind), option.description, required=False)
    title = "".join(part.capitalize() for part in method.path.split("-"))
    return create_model(
        f"{title}Request", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **members
    )


def _member(kind: Any, description: str, *, required: bool) -> Any:
    if required:
        return kind, Field(description=description)
    return kind | None, Field(default=None, description=description)


def _json_type(kind: Any) -> Any:
    """Return the type of a request's member for the type of an argument."""
    if kind in (Photo, File, Attribution):
        return PhotoReference
    if kind in _STRICT:
        return _STRICT[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Sequence:
        return list[_json_type(inner[0])]  # type: ignore[misc]
    if origin is Mapping:
        return dict[str, _json_type(inner[1])]  # type: ignore[misc]
    if _is_optional(kind):
        return Union[*(_json_type(each) for each in inner)]
    return kind


def _is_optional(kind: Any) -> bool:
    return type(None) in get_args(kind)
