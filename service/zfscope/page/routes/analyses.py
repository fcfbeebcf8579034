"""Routes of the analyses: one for each typed analysis, and one for any analyzer by name."""

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zfscope.cancellation import Cancellation
from zfscope.page.arguments import ClientCall, read_call
from zfscope.page.calls import run_until_gone
from zfscope.page.errors import request_id_of
from zfscope.page.events import MEDIA_TYPE, EventResponse, Report
from zfscope.page.methods import Method, method_of, methods
from zfscope.page.openapi import analysis_responses, request_body
from zfscope.page.requests import request_model
from zfscope.page.state import PageState


def add_analysis_routes(app: FastAPI, state: PageState) -> None:
    """Add the routes of all analyses."""
    for method in methods():
        _add_route(app, state, method, f"/v1/{method.path}")
    _add_route(app, state, method_of("analyze", "analyze"), "/v1/analyze/{analyzer}")


def _add_route(app: FastAPI, state: PageState, method: Method, path: str) -> None:
    model = request_model(method)

    async def respond(request: Request, analyzer: str) -> Response:
        members = await state.upload(request).members()
        return await _respond(state, method, read_call(state, method, model, members, analyzer), request)

    async def typed(request: Request) -> Response:
        return await respond(request, "")

    route = respond if "{analyzer}" in path else typed
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


async def _respond(state: PageState, method: Method, call: ClientCall, request: Request) -> Response:
    lane = state.analyses if method.streams else state.quick
    if MEDIA_TYPE in request.headers.get("accept", ""):

        def stream(cancel: Cancellation, report: Report) -> Any:
            return call.run(cancel=cancel, **({"progress": report} if method.streams else {}))

        return EventResponse(lane, stream, call.encoder.encode, request_id=request_id_of(request))

    def work(cancel: Cancellation) -> Any:
        return call.encoder.encode(call.run(cancel=cancel))

    return JSONResponse(await run_until_gone(request, lane, work))
