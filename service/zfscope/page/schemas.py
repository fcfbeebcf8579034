"""Models of responses for OpenAPI, derived from the classes of `zfscope.answers`."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from zfscope.answers import Analyzed, AnalyzerInfo
from zfscope.page.results import json_name
from zfscope.results import Analysis, Cell, Picture, Table


class PictureLink(BaseModel):
    """A PNG picture: a link relative to the address of the page, or the file itself in base64.

    scale: what its grey levels or colours mean. The link is valid for some minutes.
    """

    name: str
    scale: str
    url: str | None = Field(default=None, description="Link relative to the address of the page.")
    base64: str | None = Field(default=None, description="The file, if pictures are inline.")


class TensorLink(BaseModel):
    """An array in numpy's format .npy."""

    dtype: str
    shape: list[int]
    url: str = Field(description="Link relative to the address of the page.")


class PhotoSize(BaseModel):
    """Size of the upright photo in pixels."""

    width: int
    height: int


# Models of classes that are not converted member by member.
_CONVERTED: Mapping[type, Any] = {
    Picture: PictureLink,
    np.ndarray: TensorLink,
    Table: list[dict[str, Cell]],
    Any: Any,
}


@cache
def response_model(kind: type) -> type[BaseModel]:
    """Return the model of the JSON of a dataclass."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    members: dict[str, Any] = {json_name(kind, name): (_member(name, hints[name]), ...) for name in names}
    if kind is Analyzed:
        members |= _members(response_model(Analysis))
        del members["analysis"]
    if kind is AnalyzerInfo:
        members["photos"] = (tuple[int, int], ...)
        del members["min_images"], members["max_images"]
    return create_model(
        kind.__name__,
        __config__=ConfigDict(extra="forbid"),
        __doc__=(kind.__doc__ or "").replace("photo_size: (height, width)", "photo: width and height"),
        **members,
    )


def _members(model: type[BaseModel]) -> dict[str, Any]:
    return {name: (field.annotation, ...) for name, field in model.model_fields.items()}


def _member(name: str, kind: Any) -> Any:
    return PhotoSize if name == "photo_size" else _json_type(kind)


def _json_type(kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    converted = _CONVERTED.get(origin or kind)
    if converted is not None:
        return converted
    if origin in (Union, types.UnionType):
        return Union[*(_json_type(each) for each in inner)]
    if origin in (tuple, Sequence, list):
        return _list_type(inner)
    if origin is Mapping:
        return dict[str, _json_type(inner[1])]  # type: ignore[misc]
    return response_model(kind) if isinstance(kind, type) and is_dataclass(kind) else kind


def _list_type(inner: tuple[Any, ...]) -> Any:
    if (len(inner) == 2 and inner[1] is Ellipsis) or len(inner) == 1:
        return list[_json_type(inner[0])]  # type: ignore[misc]
    return tuple[*(_json_type(each) for each in inner)]  # type: ignore[misc]
