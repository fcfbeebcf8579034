"""The analyses of the client as operations over HTTP, derived from the signatures of `ClientMethods`."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from zfscope.answers import TYPED
from zfscope.client.generated import AnalysisOptions, CallOptions
from zfscope.client.methods import ClientMethods
from zfscope.text import split_fields

# Options that a request over HTTP does not have: the connection and the stream take their place.
_LEFT_OUT = frozenset({"cancel", "progress"})


@dataclass(frozen=True)
class Option:
    """An option of a method: its type and its description."""

    type: Any
    description: str = ""


@dataclass(frozen=True)
class Method:
    """A method of the client.

    path: last part of its URL. name: name of the method. arguments: positional arguments by name, in order.
    options: keyword arguments. result: class of its result. summary: first sentence of its description.
    streams: whether it reports progress.
    """

    path: str
    name: str
    arguments: Mapping[str, Any]
    options: Mapping[str, Option]
    result: type
    summary: str
    streams: bool


def method_of(path: str, name: str) -> Method:
    """Read a method of the client."""
    function = getattr(ClientMethods, name)
    hints, documented = get_type_hints(function), inspect.getdoc(function) or ""
    known = inspect.signature(function).parameters.values()
    own = [each for each in known if each.kind is each.KEYWORD_ONLY]
    _, described = split_fields(documented, [each.name for each in own])
    options = {each.name: Option(hints[each.name], described.get(each.name, "")) for each in own}
    for each in known:
        if each.kind is each.VAR_KEYWORD:
            (typed_dict,) = get_args(hints[each.name])
            options = {**_options(typed_dict), **options}
    positional = [each.name for each in known if each.kind is each.POSITIONAL_OR_KEYWORD]
    arguments = {name: hints[name] for name in positional if name != "self"}
    if "models" in arguments:  # each of them has its own name and version
        del options["model"], options["version"]
    streams = "progress" in options
    kept = {name: option for name, option in options.items() if name not in _LEFT_OUT}
    return Method(path, name, arguments, kept, hints["return"], documented.partition("\n")[0], streams)


@cache
def methods() -> tuple[Method, ...]:
    """Return classification, and every analysis with a dedicated RPC under the name of its analyzer."""
    typed = sorted((each.analyzer, _snake_case(each.rpc)) for each in TYPED)
    return tuple(method_of(path, name) for path, name in [("classify", "classify"), *typed])


def _options(typed_dict: type) -> dict[str, Option]:
    """Return the options of a TypedDict and of those that it extends."""
    hints = get_type_hints(typed_dict)
    described: dict[str, str] = {}
    for each in (CallOptions, AnalysisOptions, typed_dict):  # bases first
        described |= split_fields(inspect.getdoc(each) or "", hints)[1]
    return {name: Option(kind, described.get(name, "")) for name, kind in hints.items()}


def _snake_case(rpc: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
