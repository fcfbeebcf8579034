"""The OpenAPI description: what FastAPI derives from the routes, and the bodies that it does not read."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from zfscope.page.errors import ErrorBody
from zfscope.page.events import MEDIA_TYPE
from zfscope.page.methods import Method
from zfscope.page.schemas import response_model

_REFERENCE = "#/components/schemas/{model}"
# Meaning of each HTTP status of an error.
MEANINGS = {
    400: "The request is not valid; `field` names the member.",
    401: "A token is missing or not accepted.",
    403: "The request comes from another site, names an unknown host, or is turned off by the operator.",
    404: "A model, layer, map, photo or file does not exist, or is no longer in memory.",
    408: "The request was sent too slowly.",
    413: "A photo or the request is over a limit.",
    429: "Too many requests (BUSY, with Retry-After), or too much work for one request (TOO_MUCH_WORK).",
    499: "The call was cancelled.",
    500: "A stored model or index is damaged, or the service failed.",
    503: "The service is not available; try again.",
    504: "The analysis took longer than its time limit.",
}
_BINARY = {"type": "string", "format": "binary"}
Responses = dict[int | str, dict[str, Any]]


def errors(*statuses: int) -> Responses:
    """Return the descriptions of error responses."""
    return {status: {"model": ErrorBody, "description": MEANINGS[status]} for status in statuses}


def call_errors(*statuses: int) -> Responses:
    """Return the descriptions of the errors that any call of the client may end with, and of others."""
    return errors(*sorted({*statuses, 400, 404, 429, 499, 500, 503, 504}))


def analysis_responses(method: Method) -> Responses:
    """Return the descriptions of all responses of an analysis."""
    result = response_model(method.result)
    events = {MEDIA_TYPE: {"schema": {"type": "string"}}}
    described = "The result; with `Accept: text/event-stream`, events `progress`, then `result` or `error`."
    return {
        200: {"model": result, "description": described, "content": events},
        **call_errors(408, 413),
    }


def file_response(media_type: str, *statuses: int) -> Responses:
    """Return the descriptions of a file and of the errors of its route."""
    described: Responses = {200: {"description": "The file.", "content": {media_type: {"schema": _BINARY}}}}
    return described | errors(*statuses)


def request_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the description of an analysis's body: JSON, or a multipart form with files."""
    names = [name for name in ("photo", "photos", "masks") if name in model.model_fields]
    content: dict[str, Any] = {"application/json": {"schema": _inline_schema(model)}}
    if names:
        several: dict[str, Any] = {"type": "array", "items": _BINARY}
        form: dict[str, Any] = {name: _BINARY if name == "photo" else several for name in names}
        form["parameters"] = {"type": "string", "description": "The other members as JSON.", "default": "{}"}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": form}}
    return {"required": True, "content": content}


def photo_body() -> dict[str, Any]:
    """Return the description of an upload: a multipart form, or the bytes of the file."""
    form = {"type": "object", "properties": {"photo": _BINARY}, "required": ["photo"]}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": _BINARY}},
    }


def add_openapi(app: FastAPI) -> None:
    """Make an application describe itself with relative addresses and without FastAPI's own status 422."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=[{"url": "."}],
            )
            app.openapi_schema = _with_components(schema)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def _inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(ref_template=_REFERENCE)


def _with_components(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions of bodies to the components, and drop the status that is never sent."""
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for item in schema["paths"].values():
        for operation in item.values():
            operation["responses"].pop("422", None)
            operation["responses"].update(_guard_responses())
            for content in operation.get("requestBody", {}).get("content", {}).values():
                components.update(content["schema"].pop("$defs", {}))
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    return schema


def _guard_responses() -> Mapping[str, Any]:
    body = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=ErrorBody.__name__)}}}
    return {str(status): {"description": MEANINGS[status], "content": body} for status in (401, 403)}
