"""The OpenAPI description as one HTML page, without scripts and without requests to other sites."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

_STYLE = "docs.css"
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<title>ZFScope over HTTP</title><link rel="stylesheet" href="{_STYLE}"></head><body><main>'
)
_END = "</main></body></html>"
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
    for tag, operations in groupby(_operations(description), key=lambda each: each[2]["tags"][0]):
        parts.append(f"<h2>{_text(tag.capitalize())}</h2>")
        parts += [_operation(*each) for each in operations]
    return "".join([*parts, _objects(description), _END])


def _operations(description: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield method, path and description of each operation."""
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _operation(method: str, path: str, operation: Schema) -> str:
    parameters = [
        (each["name"], each["schema"], each.get("required", False))
        for each in operation.get("parameters", ())
    ]
    bodies = operation.get("requestBody", {}).get("content", {})
    return "".join(
        [
            f"<section><h3><code>{method} {_text(path.lstrip('/'))}</code></h3>",
            f"<p>{_text(operation['summary'])}</p>",
            _members("Parameters of the address", parameters),
            *(_body(kind, content["schema"]) for kind, content in bodies.items()),
            _responses(operation["responses"]),
            "</section>",
        ]
    )


def _body(kind: str, schema: Schema) -> str:
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    rows = [(name, each, name in required) for name, each in properties.items()]
    return _members(f"Body, {kind}", rows) if rows else f"<p>Body: {_text(kind)}, a file.</p>"


def _members(title: str, rows: list[tuple[str, Schema, bool]]) -> str:
    cells = [
        (f"<code>{_text(name)}</code>", _type(each), "required" if needed else "", _meaning(each))
        for name, each, needed in rows
    ]
    return _table(title, ("name", "type", "", "meaning"), cells)


def _responses(responses: Schema) -> str:
    cells = []
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        cells.append((_text(status), _type(schema) if schema else "", _text(response["description"])))
    return _table("Responses", ("status", "JSON", "meaning"), cells)


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    caption = f"<caption>{_text(title)}</caption>"
    return f'<div class="scroll" tabindex="0"><table>{caption}<tr>{head}</tr>{body}</table></div>'


def _objects(description: Schema) -> str:
    """Return the HTML of the schemas that bodies and responses name."""
    parts = ["<h2>Objects</h2>"]
    for name, schema in description["components"]["schemas"].items():
        rows = [
            (each, member, each in schema.get("required", ()))
            for each, member in schema.get("properties", {}).items()
        ]
        parts.append(f'<section id="{_text(name)}"><h3><code>{_text(name)}</code></h3>')
        parts += [f"<p>{_text(part)}</p>" for part in schema.get("description", "").split("\n\n") if part]
        parts.append(_members("Members", rows) + "</section>")
    return "".join(parts)


def _type(schema: Schema) -> str:
    """Return the type of a value in words, with a link to the object that it names."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems")
        inner = ", ".join(map(_type, items)) if items else _type(schema.get("items", {}))
        return f"list of {inner}"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values:
        return ", ".join(f"<code>{_text(value)}</code>" for value in values)
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return _text("file" if schema.get("format") == "binary" else schema.get("type", "any"))


def _meaning(schema: Schema) -> str:
    return _text(schema.get("description", ""))


def _text(value: object) -> str:
    return escape(str(value))
