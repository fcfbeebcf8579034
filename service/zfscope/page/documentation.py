"""The OpenAPI description as one HTML page, without scripts and without requests to other sites."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

_STYLE = "docs.css"
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<title>ZFScope over HTTP</title><link rel="stylesheet" href="{_STYLE}"></head><body><main>'
)
_END = "</main></body></html>"
_CODE = re.compile("`([^`]+)`")
Schema = Mapping[str, Any]


def documentation(description: Schema) -> str:
    """Return the HTML of an OpenAPI description."""
    info = description["info"]
    parts = [
        _HEAD,
        f"<h1>{_text(info['title'])} {_text(info['version'])} over HTTP</h1>",
        f"<p>{_text(info['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for section in sections(description):
        parts.append(f"<h2>{_text(section.title)}</h2>")
        for title, content in section.entries:
            anchor = f' id="{_text(title)}"' if section.targets else ""
            parts.append(f"<section{anchor}><h3><code>{_text(title)}</code></h3>{content}</section>")
    return "".join([*parts, _END])


class Section(NamedTuple):
    """Operations of one kind, or the objects that they name.

    entries: title and HTML of each. targets: whether types link to the titles.
    """

    title: str
    entries: Sequence[tuple[str, str]]
    targets: bool = False


def sections(description: Schema) -> Iterator[Section]:
    """Yield the parts of an OpenAPI description."""
    for tag, operations in groupby(_operations(description), key=lambda each: each[2]["tags"][0]):
        entries = [
            (f"{method} {path.lstrip('/')}", _operation(operation)) for method, path, operation in operations
        ]
        yield Section(tag.capitalize(), entries)
    objects = description["components"]["schemas"]
    yield Section("Objects", [(name, _object(schema)) for name, schema in objects.items()], targets=True)


def _operations(description: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield method, path and description of each operation."""
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _operation(operation: Schema) -> str:
    parameters = [
        (each["name"], each["schema"], each.get("required", False))
        for each in operation.get("parameters", ())
    ]
    bodies = operation.get("requestBody", {}).get("content", {})
    return "".join(
        [
            f"<p>{_prose(operation['summary'])}</p>",
            _members("Parameters of the address", parameters),
            *(_body(kind, content["schema"]) for kind, content in bodies.items()),
            _responses(operation["responses"]),
        ]
    )


def _body(kind: str, schema: Schema) -> str:
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    rows = [(name, each, name in required) for name, each in properties.items()]
    return _members(f"Body, {kind}", rows) if rows else f"<p>Body: {_text(kind)}, a file.</p>"


def _members(title: str, rows: list[tuple[str, Schema, bool]]) -> str:
    cells = [
        (f"<code>{_text(name)}</code>", type_of(each), "required" if needed else "", _meaning(each))
        for name, each, needed in rows
    ]
    return _table(title, ("name", "type", "", "meaning"), cells)


def _responses(responses: Schema) -> str:
    cells = []
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        cells.append((_text(status), type_of(schema) if schema else "", _prose(response["description"])))
    return _table("Responses", ("status", "JSON", "meaning"), cells)


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    caption = f"<caption>{_text(title)}</caption>"
    return f'<div class="scroll" tabindex="0"><table>{caption}<tr>{head}</tr>{body}</table></div>'


def _object(schema: Schema) -> str:
    """Return the HTML of an object: its description and its members."""
    required = schema.get("required", ())
    rows = [(name, member, name in required) for name, member in schema.get("properties", {}).items()]
    paragraphs = [f"<p>{_prose(part)}</p>" for part in schema.get("description", "").split("\n\n") if part]
    return "".join([*paragraphs, _members("Members", rows)])


def type_of(schema: Schema) -> str:
    """Return the type of a value in words, with a link to the object that it names."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems")
        inner = ", ".join(map(type_of, items)) if items else type_of(schema.get("items", {}))
        return f"list of {inner}"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"<code>{_text(value)}</code>" for value in values)
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])}"
    return _text("file" if schema.get("format") == "binary" else schema.get("type", "any"))


def _meaning(schema: Schema) -> str:
    return _prose(schema.get("description", ""))


def _prose(value: object) -> str:
    """Return a text with its code spans."""
    return _CODE.sub(r"<code>\1</code>", _text(value))


def _text(value: object) -> str:
    return escape(str(value))
