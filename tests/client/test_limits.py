"""Time limits of calls, and calls of a closed client."""

import asyncio
import math
from typing import Any

import pytest

from zfscope import AsyncClient, Client
from zfscope.errors import Cancelled, InputError


@pytest.mark.parametrize("timeout_s", [math.inf, 1e12, None])
def test_an_infinite_time_limit_means_no_limit(client: Client, photo: bytes, timeout_s: Any) -> None:
    with Client(client._connection.target.text, timeout_s=timeout_s) as patient:
        assert patient.classify(photo, timeout_s=timeout_s) == client.classify(photo)


@pytest.mark.parametrize("timeout_s", [math.nan, 0, -1, "5"])
def test_an_invalid_time_limit_is_rejected(client: Client, photo: bytes, timeout_s: Any) -> None:
    for call in (
        lambda: Client("127.0.0.1:1", timeout_s=timeout_s),
        lambda: client.classify(photo, timeout_s=timeout_s),
        lambda: client.analyze("project", [photo], timeout_s=timeout_s),
    ):
        with pytest.raises(InputError, match=r"^timeout_s is .*; allowed: seconds above 0$") as refusal:
            call()
        assert refusal.value.field == "timeout_s"


def test_calls_of_a_closed_client_are_rejected(client: Client, photo: bytes) -> None:
    with Client(client._connection.target.text) as closed:
        closed.classify(photo)
    for call in (lambda: closed.classify(photo), lambda: closed.analyze("project", [photo])):
        with pytest.raises(Cancelled, match=r"^the client is closed; create a new one$"):
            call()


def test_calls_of_a_closed_async_client_are_rejected(client: Client, photo: bytes) -> None:
    async def use() -> None:
        async with AsyncClient(client._connection.target.text) as closed:
            await closed.classify(photo)
        for call in (closed.classify(photo), closed.analyze("project", [photo])):
            with pytest.raises(Cancelled, match=r"^the client is closed; create a new one$"):
                await call

    asyncio.run(use())
