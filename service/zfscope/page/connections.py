"""The limit of connections."""

from starlette.types import ASGIApp, Receive, Scope, Send

from zfscope.errors import Busy
from zfscope.page.errors import error_response


class ConnectionLimit:
    """ASGI middleware that rejects requests while the server has more connections than its limit.

    `app.state.connections` are those of the server. uvicorn has such a limit (`limit_concurrency`), which
    responds with plain text.
    """

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and (count := len(scope["app"].state.connections)) > self._limit:
            message = f"{count} connections are open; allowed: at most {self._limit}; try again in a moment"
            app = error_response(Busy(message), request_id=scope["state"]["request_id"])
            app.headers["Connection"] = "close"  # so that it makes room
        await app(scope, receive, send)
