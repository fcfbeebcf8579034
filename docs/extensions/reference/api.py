"""Classes and functions of the Python packages, documented by autodoc from their docstrings.

Docstrings are plain text: code spans in single backticks, indented examples, and descriptions of arguments
and fields as `name: text`. `format_docstring` converts them to reStructuredText.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

import zfscope
from reference.markdown import sentence
from zfscope import answers, plugin
from zfscope import results as shared_results
from zfscope.client import generated
from zfscope.errors import ZfscopeError
from zfscope.text import split_fields

_CLIENTS = ("LocalClient", "Client", "AsyncClient")
_CODE = re.compile(r"(`[^`]*`)")


def clients() -> str:
    """Return the classes of the clients, with the methods that differ."""
    return _autodoc((f"zfscope.{name}" for name in _CLIENTS), members=True)


def methods() -> str:
    """Return the methods of all clients."""
    return _autodoc(["zfscope.client.methods.CommonMethods"], members=True)


def options() -> str:
    """Return the options of the methods."""
    return _autodoc(f"zfscope.client.generated.{name}" for name in generated.__all__)


def results() -> str:
    """Return the classes of results."""
    kinds = [name for name in answers.__all__ if inspect.isclass(getattr(answers, name))]
    own = [name for name in kinds if name not in zfscope.__all__]
    shared = [f"zfscope.results.{kind.__name__}" for kind in _classes(shared_results) if is_dataclass(kind)]
    return _autodoc([*(f"zfscope.answers.{name}" for name in own), *shared], members=True)


def arguments() -> str:
    """Return the other public names of `zfscope`."""
    names = [name for name in zfscope.__all__ if name not in _CLIENTS and not _is_error(name)]
    return _autodoc((f"zfscope.{name}" for name in names), members=True)


def errors() -> str:
    """Return the error classes."""
    return _autodoc(f"zfscope.{name}" for name in zfscope.__all__ if _is_error(name))


def plugin_names() -> list[str]:
    """Return the names of the plugin API except errors, which are those of `zfscope`."""
    return [name for name in plugin.__all__ if not _is_error(name)]


def plugin_api() -> str:
    """Return the names for authors of analyzers."""
    return _autodoc((f"zfscope.plugin.{name}" for name in plugin_names()), members=True)


def _is_error(name: str) -> bool:
    kind = getattr(zfscope, name, None)
    return inspect.isclass(kind) and issubclass(kind, ZfscopeError)


def _classes(module: Any) -> list[type]:
    own = [kind for kind in vars(module).values() if inspect.isclass(kind)]
    return [kind for kind in own if kind.__module__ == module.__name__ and not kind.__name__.startswith("_")]


def _autodoc(names: Iterable[str], *, members: bool = False) -> str:
    """Return directives of autodoc for objects by their dotted names."""
    directives = [_directive(name, members) for name in names]
    return "```{eval-rst}\n" + "\n".join(directives) + "\n```\n"


def _directive(name: str, members: bool) -> str:
    module, _, attribute = name.rpartition(".")
    value = getattr(__import__(module, fromlist=[attribute]), attribute)
    # A class that `zfscope` has too is in the index under that name only.
    known = module != "zfscope" and getattr(zfscope, attribute, None) is value
    listed = "   :no-index:\n" if known else ""
    if not inspect.isclass(value):
        return f".. {'autofunction' if callable(value) else 'autodata'}:: {name}\n{listed}"
    return f".. autoclass:: {name}\n" + ("   :members:\n" if members else "") + listed


def format_docstring(_: Any, __: str, ___: str, value: Any, ____: Any, lines: list[str]) -> None:
    """Convert a docstring to reStructuredText, for the event `autodoc-process-docstring`."""
    paragraphs, described = split_fields("\n".join(lines).strip(), _names_of(value) or ["-"])
    fields = [f"* **{name}**: {_escape(sentence(words))}" for name, words in described.items()]
    lines[:] = [*_blocks(paragraphs), *fields, ""]


def _names_of(value: Any) -> list[str]:
    """Return the names that a docstring may describe: parameters, or fields of a class."""
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    if inspect.isclass(value) and issubclass(value, BaseModel):
        return list(value.model_fields)
    if inspect.isclass(value):
        return [*_annotated(value), *_parameters(value.__init__)]
    return _parameters(value) if callable(value) else []


def _annotated(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})]


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _blocks(paragraphs: Iterable[str]) -> Iterator[str]:
    """Yield the lines of paragraphs; indented ones become literal blocks."""
    literal = False
    for paragraph in paragraphs:
        lines, before = paragraph.strip("\n").splitlines(), literal
        literal = bool(lines) and all(line.startswith("    ") for line in lines)
        if literal and not before:
            yield from ("::", "")
        yield from (lines if literal else _escape("\n".join(lines)).splitlines())
        yield ""


def _escape(words: str) -> str:
    """Escape everything but code spans, which get the two backticks of reStructuredText."""
    parts = _CODE.split(words)
    return "".join(
        f"`{part}`" if part.startswith("`") else re.sub(r"([\\*_|])", r"\\\1", part) for part in parts
    )
