"""Fixtures of the client's tests, shared with the server's tests."""

from tests.server.conftest import (  # noqa: F401  (fixtures are found by name)
    client,
    cold_service,
    make_photo,
    make_service,
    photo,
    service,
    settings,
    store,
)
