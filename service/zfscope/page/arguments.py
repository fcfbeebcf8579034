"""Calls of the client made from the members of a request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from zfscope.answers.analysis import rename_fields
from zfscope.errors import InputError
from zfscope.page.errors import translate_validation
from zfscope.page.methods import Method
from zfscope.page.photos import PhotoMemory
from zfscope.page.requests import PhotoHash
from zfscope.page.results import Files, JsonEncoder
from zfscope.page.state import PageState

# Members that hold photos, and those of `analyze` that are not parameters of the analyzer.
_PHOTOS = ("photo", "photos", "masks")
_PARAMETERS = "parameters"
_OWN = frozenset({"analyzer", "images", "model", "photo", "photos", "timeout_s", "version", _PARAMETERS})


@dataclass(frozen=True)
class ClientCall:
    """A call of the client. run: accepts `cancel` and `progress`. encoder: converts its result."""

    run: Callable[..., Any]
    encoder: JsonEncoder


def read_call(
    state: PageState, method: Method, model: type[BaseModel], members: Mapping[str, Any], analyzer: str
) -> ClientCall:
    """Return the call for the members of a request. analyzer: name in the URL, if there is one.

    Raises InputError for an invalid member, and NotFound for a photo that is no longer in memory.
    """
    values = _with_photos(state.photos, _valid(model, _with_list(method, members)))
    if "model" in method.options and not values.get("model"):
        values["model"] = state.settings.model
    values.setdefault("timeout_s", state.settings.timeout_s)
    encoder = _encoder(state.files, values)
    given = {"analyzer": analyzer, "photos": [], _PARAMETERS: {}}
    arguments = [values.pop(name, given.get(name)) for name in method.arguments]
    run = partial(getattr(state.client, method.name), *arguments, **values)
    return ClientCall(_with_parameter_names(run) if _PARAMETERS in method.arguments else run, encoder)


def _with_list(method: Method, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Allow `photo` for a single photo of an analyzer named in the URL."""
    if _PARAMETERS not in method.arguments or "photo" not in members:
        return members
    if "photos" in members:
        raise InputError("photo and photos are both set; set only one", field="photo")
    others = {name: value for name, value in members.items() if name != "photo"}
    return {**others, "photos": [members["photo"]]}


def _valid(model: type[BaseModel], members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated members that are set; null is the same as unset."""
    with translate_validation(model):
        valid = model.model_validate(members)
    given = {name: getattr(valid, name) for name in valid.model_fields_set}
    return {name: value for name, value in given.items() if value is not None}


def _with_photos(photos: PhotoMemory, values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the hashes of photos by their bytes."""

    def load(field: str, value: Any) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [load(f"{field}[{index}]", each) for index, each in enumerate(value)]
        return photos.get(value.hash, field=field).data if isinstance(value, PhotoHash) else value

    return {name: load(name, value) if name in _PHOTOS else value for name, value in values.items()}


def _encoder(files: Files, values: dict[str, Any]) -> JsonEncoder:
    """Return the encoder for a request, and replace its `pictures` by a boolean."""
    inline = values.get("pictures") == "inline"
    if "pictures" in values:
        values["pictures"] = bool(values["pictures"])
    return JsonEncoder(files, inline=inline)


def _with_parameter_names(run: Callable[..., Any]) -> Callable[..., Any]:
    """Name the parameters of an analyzer in errors by their path, as a service does."""

    def name(field: str) -> str:
        first = field.partition(".")[0].partition("[")[0]
        return field if not first or first in _OWN else f"{_PARAMETERS}.{field}"

    def call(**options: Any) -> Any:
        with rename_fields(name):
            return run(**options)

    return call
