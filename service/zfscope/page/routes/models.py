"""Routes of models, analyzers, health and the session."""

from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of_package
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from zfscope.answers import AnalyzerInfo, ModelInfo, ModelSummary
from zfscope.errors import InputError, Unauthenticated, ZfscopeError
from zfscope.page.openapi import call_errors, errors
from zfscope.page.results import JsonEncoder
from zfscope.page.schemas import response_model
from zfscope.page.state import PageState


class Session(BaseModel):
    """What a page needs to know first. model: default model, if known and allowed."""

    authenticated: bool
    token_required: bool
    model: str | None
    version: str = Field(description="Version of zfscope.")
    max_photo_bytes: int


class Health(BaseModel):
    """State of the service: SERVING or NOT_SERVING."""

    status: str


def add_model_routes(app: FastAPI, state: PageState) -> None:
    """Add the routes of models, analyzers and health."""

    async def call(work: Callable[[], Any]) -> Any:
        return await state.quick.run(lambda: JsonEncoder(state.files).encode(work()))

    models: Any = {200: {"model": _list_of("Models", "models", ModelSummary)}, **call_errors()}
    model: Any = {200: {"model": response_model(ModelInfo)}, **call_errors()}
    analyzers: Any = {200: {"model": _list_of("Analyzers", "analyzers", AnalyzerInfo)}, **call_errors()}

    @app.get("/v1/models", summary="List the models.", tags=["models"], responses=models)
    async def list_models() -> Response:
        return JSONResponse({"models": await call(state.client.models)})

    @app.get(
        "/v1/models/{name}", summary="Describe a model and its layers.", tags=["models"], responses=model
    )
    async def get_model(name: str, version: int | None = None) -> Response:
        return JSONResponse(await call(lambda: state.client.model(name, version)))

    @app.get(
        "/v1/analyzers",
        summary="List the analyzers with their costs for a model.",
        tags=["models"],
        responses=analyzers,
    )
    async def list_analyzers(model: str = "", version: int | None = None) -> Response:
        name = model or state.settings.model
        return JSONResponse({"analyzers": await call(lambda: state.client.analyzers(name, version))})

    @app.get(
        "/v1/health",
        response_model=Health,
        summary="Return the state of the service.",
        tags=["models"],
        responses=call_errors(),
    )
    async def get_health() -> Health:
        return Health(status=await call(state.client.health))


def add_session_routes(app: FastAPI, state: PageState) -> None:
    """Add the routes that need no token."""

    async def session(*, authenticated: bool) -> Session:
        return Session(
            authenticated=authenticated,
            token_required=state.sessions.required,
            model=await _default_model(state) if authenticated else None,
            version=version_of_package("zfscope"),
            max_photo_bytes=state.settings.image_limits.bytes,
        )

    @app.get(
        "/v1/session",
        response_model=Session,
        summary="Return what a page needs to know first.",
        tags=["session"],
    )
    async def get_session(request: Request) -> Session:
        return await session(authenticated=state.sessions.authenticated(request.headers))

    @app.post(
        "/v1/session",
        response_model=Session,
        summary="Sign in with a token; sets a cookie.",
        tags=["session"],
        responses=errors(400, 408, 413, 429),
        openapi_extra={"requestBody": _TOKEN_BODY},
    )
    async def sign_in(request: Request, response: Response) -> Session:
        form = await state.upload(request).form()
        token = form.get("token", "")
        if not token:
            raise InputError("token is missing; send it as the form field `token`", field="token")
        if not state.sessions.accepts(token):
            raise Unauthenticated(
                "the token is not accepted; check it, or ask who runs the page", field="token"
            )
        if state.sessions.required:
            name, value = state.sessions.cookie(token)
            # Without a path the cookie is sent to v1/ alone, behind any prefix of a proxy.
            response.set_cookie(
                name, value, path=None, httponly=True, samesite="strict", secure=_is_secure(request)
            )
        return await session(authenticated=True)

    @app.get("/healthz", response_class=PlainTextResponse, include_in_schema=False)
    async def healthz() -> str:
        return "ok\n"


_TOKEN_BODY = {
    "required": True,
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
        }
    },
}


def _is_secure(request: Request) -> bool:
    """Return whether the browser reached the page over TLS, its own or that of a proxy."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


async def _default_model(state: PageState) -> str | None:
    """Return the name of the default model; None if the service is not available."""
    if state.settings.model:
        return state.settings.model
    try:
        models = await state.quick.run(state.client.models)
    except ZfscopeError:
        return None
    return next((model.name for model in models if model.is_default), None)


def _list_of(title: str, member: str, kind: type) -> type[BaseModel]:
    members: Mapping[str, Any] = {member: (list[response_model(kind)], ...)}  # type: ignore[misc]
    return create_model(title, **members)
