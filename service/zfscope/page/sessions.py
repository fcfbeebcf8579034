"""Tokens of people and programs: in a cookie after the form, or in the header of each request."""

import hmac
from collections.abc import Sequence
from http.cookies import SimpleCookie

from pydantic import SecretStr
from starlette.datastructures import Headers

from zfscope.wire.credentials import AcceptedTokens

_BEARER = "bearer "
_COOKIE = "zfscope-session-"


class Sessions:
    """Accepted tokens, and the cookie that stands for each.

    A cookie holds a keyed hash of its token: it needs no storage, outlives a restart, is the same in all
    replicas, becomes invalid with its token, and does not reveal the token to whoever reads it.
    """

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self._accepted = AcceptedTokens(tokens)
        self._cookies = dict(self.cookie(token.get_secret_value()) for token in tokens)

    @property
    def required(self) -> bool:
        """Whether requests need a token."""
        return bool(self._cookies)

    def authenticated(self, headers: Headers) -> bool:
        """Return whether the headers of a request have an accepted token or cookie, or need none."""
        authorization = headers.get("authorization", "")
        if authorization.lower().startswith(_BEARER):
            return self.accepts(authorization[len(_BEARER) :].strip())
        return not self.required or self._has_cookie(headers.getlist("cookie"))

    def accepts(self, token: str) -> bool:
        """Return whether a token is accepted."""
        return not self.required or token in self._accepted

    def cookie(self, token: str) -> tuple[str, str]:
        """Return the name and value of the cookie for a token."""
        data = token.encode()
        return _cookie_name(data), _cookie_value(data)

    def _has_cookie(self, lines: Sequence[str]) -> bool:
        given: SimpleCookie = SimpleCookie()
        for line in lines:
            given.load(line)
        return any(
            name in given and hmac.compare_digest(given[name].value.encode(), value.encode())
            for name, value in self._cookies.items()
        )


def _cookie_name(token: bytes) -> str:
    """Return a name of its own for each token: cookies are shared by all ports of a host."""
    return _COOKIE + _keyed(token, b"name")[:12]


def _cookie_value(token: bytes) -> str:
    return _keyed(token, b"session")


def _keyed(token: bytes, purpose: bytes) -> str:
    return hmac.new(token, b"zfscope page " + purpose, "sha256").hexdigest()
