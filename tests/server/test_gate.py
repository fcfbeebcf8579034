"""Whether the service takes work."""

import asyncio

import pytest

from zfscope.errors import NotReady
from zfscope.server.gate import Gate


async def test_nobody_gets_in_before_the_gate_is_open() -> None:
    with pytest.raises(NotReady, match="still loading its model"), Gate().passage():
        pass


async def test_nobody_gets_in_after_the_gate_was_shut() -> None:
    gate = Gate()
    gate.open()
    gate.shut()

    with pytest.raises(NotReady, match="shutting down"), gate.passage():
        pass


async def test_a_shut_gate_waits_for_those_inside() -> None:
    gate = Gate()
    gate.open()

    async def visit() -> None:
        with gate.passage():
            await asyncio.sleep(0.05)

    visits = [asyncio.create_task(visit()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.shut()

    assert not await gate.emptied(timeout_s=0.001)
    assert await gate.emptied(timeout_s=10)
    assert all(visit.done() for visit in visits)


async def test_a_gate_that_nobody_went_through_is_empty_at_once() -> None:
    assert await Gate().emptied(timeout_s=0)


async def test_who_fails_inside_has_left_too() -> None:
    gate = Gate()
    gate.open()

    with pytest.raises(ZeroDivisionError), gate.passage():
        raise ZeroDivisionError

    assert await gate.emptied(timeout_s=0)
