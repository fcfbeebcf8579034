"""Routes of the analyses: one for each typed analysis, and one for any analyzer by name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from zfscope.cancellation import Cancellation
from zfscope.errors import InputError
from zfscope.page.calls import run_until_gone
from zfscope.page.errors import request_id_of, translate_validation
from zfscope.page.events import MEDIA_TYPE, Report, events
from zfscope.page.methods import Method, method_of, methods
from zfscope.page.openapi import analysis_responses, request_body
from zfscope.page.requests import PhotoHash, request_model
from zfscope.page.results import JsonEncoder
from zfscope.page.state import PageState

# Names of the members that a request keeps to itself.
_FILES = ("photo", "photos", "masks")


def add_analysis_routes(app: FastAPI, state: PageState) -> None:
    """Add the routes of all analyses."""
    for method in methods():
        _add_route(app, state, method, f"/v1/{method.path}")
    _add_route(app, state, method_of("analyze", "analyze"), "/v1/analyze/{analyzer}")


def _add_route(app: FastAPI, state: PageState, method: Method, path: str) -> None:
    model = request_model(method)

    async def endpoint(request: Request) -> Response:
        members = await state.upload(request).members()
        return await _respond(state, method, read_call(state, method, model, members, request), request)

    if "{analyzer}" in path:

        async def route(request: Request, analyzer: str) -> Response:
            return await endpoint(request)

    else:

        async def route(request: Request) -> Response:  # type: ignore[misc]
            return await endpoint(request)

    app.add_api_route(
        path,
        route,
        methods=["POST"],
        operation_id=method.name,
        summary=method.summary,
        tags=["analyses"],
        responses=analysis_responses(method),
        openapi_extra={"requestBody": request_body(model)},
    )


class AnalysisCall:
    """A call of a method of the client. encoder: converts its result."""

    def __init__(self, work: Callable[..., Any], encoder: JsonEncoder) -> None:
        self.work, self.encoder = work, encoder


def read_call(
    state: PageState, method: Method, model: type[BaseModel], members: Mapping[str, Any], request: Request
) -> AnalysisCall:
    """Validate the members of a request. Raises InputError, and NotFound for a photo that is gone."""
    known = {**members}
    if method.name == "analyze" and "photo" in known:
        if "photos" in known:
            raise InputError("photo and photos are both set; set only one", field="photo")
        known["photos"] = [known.pop("photo")]
    with translate_validation(model):
        valid = model.model_validate(known)
    given = {name: getattr(valid, name) for name in valid.model_fields_set}
    values = {name: value for name, value in given.items() if value is not None}
    for name in _FILES:
        if name in values:
            values[name] = _load(state, name, values[name])
    if "model" in method.options and not values.get("model"):
        values["model"] = state.settings.model
    values.setdefault("timeout_s", state.settings.timeout_s)
    pictures = values.get("pictures", True)
    if "pictures" in values:
        values["pictures"] = bool(pictures)
    arguments = [_argument(name, values, request) for name in method.arguments]
    call = partial(getattr(state.client, method.name), *arguments, **values)
    return AnalysisCall(call, JsonEncoder(state.files, inline=pictures == "inline"))


def _argument(name: str, values: dict[str, Any], request: Request) -> Any:
    if name == "analyzer":
        return request.path_params["analyzer"]
    return values.pop(name, {} if name == "parameters" else [])


def _load(state: PageState, name: str, value: Any) -> Any:
    """Return the bytes of photos, of which those in memory are named by their hash."""
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_load(state, f"{name}[{index}]", each) for index, each in enumerate(value)]
    return state.photos.get(value.hash, field=name).data if isinstance(value, PhotoHash) else value


async def _respond(state: PageState, method: Method, call: AnalysisCall, request: Request) -> Response:
    lane = state.analyses if method.streams else state.quick
    if MEDIA_TYPE in request.headers.get("accept", ""):

        def stream(cancel: Cancellation, report: Report) -> Any:
            return call.work(cancel=cancel, **({"progress": report} if method.streams else {}))

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not collect events
        body = events(lane, stream, call.encoder.encode, request_id=request_id_of(request))
        return StreamingResponse(body, media_type=MEDIA_TYPE, headers=headers)

    def work(cancel: Cancellation) -> Any:
        return call.encoder.encode(call.work(cancel=cancel))

    return JSONResponse(await run_until_gone(request, lane, work))
