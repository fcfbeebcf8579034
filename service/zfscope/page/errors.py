"""Errors as JSON with their HTTP status; the sentences are those of every other client."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from zfscope.errors import Busy, InputError, TooLate, ZfscopeError
from zfscope.validation import UNKNOWN, path_of, unknown_name, validation_faults
from zfscope.wire.http_status import HTTP_STATUSES
from zfscope.wire.status import INTERNAL, error_status, internal_message

_log = logging.getLogger("zfscope.page")
# Fields of requests over gRPC, and their names in a request over HTTP.
_FIELDS = (
    (re.compile(r"\bimages\[(\d+)\](\.(encoded|tensor)\b)?"), r"photos[\1]"),
    (re.compile(r"\bimage\.(encoded|tensor)\b"), "photo"),
    (re.compile(r"^image(s?)$"), r"photo\1"),
)
_RETRY_AFTER_S = 1


class SlowUpload(TooLate):
    """A client that takes too long to send its request."""


# Status and reason of errors that exist over HTTP alone.
OWN: Mapping[type[ZfscopeError], tuple[int, str]] = {
    SlowUpload: (408, "TOO_LATE"),
}
# Reasons and texts of errors of the router, by status.
ROUTER = {404: ("NOT_FOUND", "no such path"), 405: ("METHOD_NOT_ALLOWED", "method not allowed")}


class ErrorDetail(BaseModel):
    """An error. field: member of the request that is invalid. fields: a message for each invalid member."""

    reason: str = Field(description="Identifier of the kind of error, such as INPUT_ERROR.")
    message: str = Field(description="One sentence: what is wrong, what is allowed, and what to do.")
    field: str = Field(description="Member of the request that the error is about; empty if none.")
    fields: dict[str, str] = Field(description="Message for each invalid member.")


class ErrorBody(BaseModel):
    """Body of a response with an error."""

    error: ErrorDetail


def error_body(error: BaseException, *, request_id: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of an error. An unexpected error is logged, not disclosed."""
    own = next((OWN[base] for base in type(error).__mro__ if base in OWN), None)
    reason = own[1] if own else error_status(error).reason
    status = own[0] if own else HTTP_STATUSES[reason]
    if reason == INTERNAL.reason and type(error) is not ZfscopeError:
        _log.error("request %s failed", request_id, exc_info=error)
        message = internal_message(error, request_id, process="the page")
        return status, _body(reason, message, "", {})
    assert isinstance(error, ZfscopeError)
    fields = {_http_name(name): _http_name(text) for name, text in error.fields.items()}
    field, message = _http_name(error.field), _http_name(error.message)
    return status, _body(reason, message, field, fields or ({field: message} if field else {}))


def error_response(error: BaseException, *, request_id: str) -> JSONResponse:
    """Return the response for an error."""
    status, body = error_body(error, request_id=request_id)
    retry = isinstance(error, Busy) or status == 503
    headers = {"Retry-After": str(_RETRY_AFTER_S)} if retry else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Make an application respond to every exception with an `ErrorBody`."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return error_response(error, request_id=request_id_of(request))

    async def handle_parameters(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = {path_of(fault["loc"][1:]): fault["msg"] for fault in error.errors()}
        field, text = next(iter(faults.items()))
        message = f"{field}: {text}"
        return await handle(request, InputError(message, field=field, fields=faults))

    async def handle_router(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = error.status_code
        reason, text = ROUTER.get(status, ("INPUT_ERROR", error.detail))
        message = f"{request.method} {request.url.path:.200}: {text}; see openapi.json for all paths"
        return JSONResponse(_body(reason, message, "", {}), status, error.headers)

    app.add_exception_handler(ZfscopeError, handle)
    app.add_exception_handler(Exception, handle)
    app.add_exception_handler(RequestValidationError, handle_parameters)
    app.add_exception_handler(HTTPException, handle_router)


def check_query(request: Request) -> None:
    """Raise InputError for a query parameter that the route does not have."""
    route = request.scope["route"]
    allowed = tuple(parameter.alias for parameter in route.dependant.query_params)
    for name in request.query_params if route.include_in_schema else ():
        if name not in allowed:
            raise InputError(f"{name:.80} {unknown_name(name, allowed)}", field=name[:80])


def request_id_of(request: Request) -> str:
    """Return the id of a request, which the log and the response header X-Request-Id contain."""
    return str(request.scope.get("state", {}).get("request_id", ""))


@contextmanager
def translate_validation(model: type[BaseModel]) -> Iterator[None]:
    """Translate errors of a request model into InputError with a message for each member."""
    try:
        yield
    except ValidationError as error:
        faults: dict[str, str] = {}
        for fault, text in validation_faults(error, model):
            path = path_of(fault["loc"])
            if fault["type"] == "missing":
                text = "missing; it is required"
            faults.setdefault(path, text)
        field, text = next(iter(faults.items()))
        separator = " " if text.startswith(UNKNOWN) else ": "
        raise InputError(f"{field}{separator}{text}", field=field, fields=faults) from error


def _body(reason: str, message: str, field: str, fields: Mapping[str, str]) -> dict[str, Any]:
    return {"error": {"reason": reason, "message": message, "field": field, "fields": dict(fields)}}


def _http_name(text: str) -> str:
    """Replace the names of gRPC fields in a text."""
    for pattern, replacement in _FIELDS:
        text = pattern.sub(replacement, text)
    return text
