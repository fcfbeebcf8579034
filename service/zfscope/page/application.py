"""The application: routes, middleware and static files."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from zfscope.client.methods import ClientMethods
from zfscope.page.connections import ConnectionLimit
from zfscope.page.context import RequestContext
from zfscope.page.documentation import documentation
from zfscope.page.errors import add_error_handlers, check_query
from zfscope.page.openapi import add_openapi
from zfscope.page.routes.analyses import add_analysis_routes
from zfscope.page.routes.indexed import add_indexed_photo_route
from zfscope.page.routes.models import add_model_routes, add_session_routes
from zfscope.page.routes.photos import add_photo_routes
from zfscope.page.security import Guard
from zfscope.page.sessions import Sessions
from zfscope.page.settings import PageSettings
from zfscope.page.state import PageState, create_state

STATIC = Path(__file__).parent / "static"
# Style and scripts that the page shares with galleries.
SHARED = Path(__file__).parents[1] / "web"
_DESCRIPTION = (
    "See through convolutional networks: classes, projections and every other analysis of photos, as JSON. "
    "All addresses in answers are relative to the address of the page."
)


def create_application(
    client: ClientMethods, settings: PageSettings, tokens: Sequence[SecretStr] = ()
) -> tuple[FastAPI, PageState]:
    """Create the application of a page, and its state, to be closed before the server stops.

    tokens: accepted tokens; without any, requests need none. The server sets `app.state.connections`.
    """
    state = create_state(client, settings, Sessions(tokens))
    app = FastAPI(
        title="ZFScope",
        version=version("zfscope"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        dependencies=[Depends(check_query)],
    )
    app.add_middleware(Guard, sessions=state.sessions, public_hosts=settings.public_hosts)
    app.add_middleware(ConnectionLimit, limit=settings.max_connections)
    app.add_middleware(RequestContext, budget=state.budget)
    add_error_handlers(app)
    add_session_routes(app, state)
    add_model_routes(app, state)
    add_photo_routes(app, state)
    add_indexed_photo_route(app, state)
    add_analysis_routes(app, state)
    add_openapi(app)
    _add_documentation(app)
    app.mount("/web", StaticFiles(directory=SHARED))
    app.router.default = _Files(directory=STATIC, html=True)  # a mount would hide the status 405 of routes
    return app, state


class _Files(StaticFiles):
    """Files of the page. Below v1/ there are none."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the response for a path. Raises HTTPException."""
        if path.partition("/")[0] == "v1":
            raise HTTPException(404)
        return await super().get_response(path, scope)


def _add_documentation(app: FastAPI) -> None:
    """Add the OpenAPI description as a page; FastAPI's own loads scripts from other sites."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(documentation(app.openapi()))
