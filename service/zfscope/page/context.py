"""What surrounds every request: its id, the bytes that it reserves, security headers, and its error."""

import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zfscope.page.body import Reservation, UploadBudget
from zfscope.page.errors import error_response

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' blob: data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class RequestContext:
    """Outermost ASGI middleware."""

    def __init__(self, app: ASGIApp, *, budget: UploadBudget) -> None:
        self._app, self._budget = app, budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, reservation, started = uuid.uuid4().hex, Reservation(self._budget), False
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "reservation": reservation}

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-Id": request_id, **_caching(scope)}.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            await error_response(error, request_id=request_id)(scope, receive, send_with_headers)
        finally:
            reservation.release()


def _caching(scope: Scope) -> dict[str, str]:
    """Return how browsers may keep a response: answers not at all, files of the page until they change."""
    return {"Cache-Control": "no-store" if scope["path"].startswith("/v1/") else "no-cache"}
