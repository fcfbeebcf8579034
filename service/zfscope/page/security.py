"""Checks in front of every route: host, origin and token."""

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from zfscope.errors import Forbidden, Unauthenticated
from zfscope.page.sessions import Sessions

# Paths below v1/ that need no token: the form that takes it.
_OPEN = ("/v1/session",)
_HEALTH = "/healthz"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Guard:
    """ASGI middleware that rejects requests from other sites, and requests without a token.

    Host: a name that is not the page's own may have been pointed at this machine by a stranger (DNS
    rebinding). IP addresses and localhost cannot be; others must be listed. Origin: browsers send it with
    every request from a script that may change something; it must be the page's own.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, public_hosts: Sequence[str]) -> None:
        self._app, self._sessions, self._public_hosts = app, sessions, frozenset(public_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path, headers = scope["path"], Headers(scope=scope)
        if path == _HEALTH:
            return
        check_host(headers.get("host", ""), self._public_hosts)
        check_origin(headers, self._public_hosts)
        if path.startswith("/v1/") and path not in _OPEN and not self._sessions.authenticated(headers):
            raise Unauthenticated(
                "a token is required; send it as `Authorization: Bearer TOKEN`, or sign in on the page"
            )


def check_host(host: str, public_hosts: frozenset[str]) -> None:
    """Raise Forbidden for a Host header that is neither an IP address, localhost, nor listed."""
    name = split_host(host)[0]
    if name == "localhost" or name.endswith(".localhost") or _is_ip(name):
        return
    if host.lower() in public_hosts or name in public_hosts:
        return
    raise Forbidden(
        f"host '{host:.260}' is not known; allowed: localhost, IP addresses, and the names in public_hosts "
        "(--public-host)",
        field="host",
    )


def check_origin(headers: Headers, public_hosts: frozenset[str]) -> None:
    """Raise Forbidden for a request that a script or form of another site sent."""
    origin = headers.get("origin")
    if origin is None:
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if site in ("cross-site", "same-site") and mode != "navigate":
            raise Forbidden("requests from other sites are not allowed", field="origin")
        return
    scheme, _, host = origin.lower().partition("://")
    name = split_host(host)[0]
    if host and (_same_host(scheme, host, headers.get("host", "").lower()) or {host, name} & public_hosts):
        return
    raise Forbidden(
        f"origin '{origin:.260}' is not the page's own, '{headers.get('host', ''):.260}'; behind a proxy, "
        "pass the Host header on, or list the name in public_hosts (--public-host)",
        field="origin",
    )


def split_host(host: str) -> tuple[str, int | None]:
    """Return the name, in lower case, and the port of a Host header; ('', None) if it is not valid."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", None


def _same_host(scheme: str, origin: str, host: str) -> bool:
    """Return whether an origin and a Host header name the same host and port."""
    port = _DEFAULT_PORTS.get(scheme)
    (name, its_port), (host_name, host_port) = split_host(origin), split_host(host)
    return bool(name) and name == host_name and (its_port or port) == (host_port or port)


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
