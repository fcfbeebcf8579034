"""Whether the service takes work."""

import asyncio

import pytest

from zfscope.errors import Busy, NotReady
from zfscope.server.gate import Gate, Room

OCCLUDE, PROJECT = "/zfscope.v1.AnalysisService/Occlude", "/zfscope.v1.AnalysisService/Project"


def opened(**room: object) -> Gate:
    gate = Gate(Room(**room))
    gate.open()
    return gate


def refusal(gate: Gate, method: str, size: int = 1) -> str:
    """What a request is told for which there is no room."""
    with pytest.raises(Busy) as told, gate.passage(method, size):
        pass
    return str(told.value)


async def test_nobody_gets_in_before_the_gate_is_open() -> None:
    with pytest.raises(NotReady, match="still loading its model"), Gate().passage(OCCLUDE, 1):
        pass


async def test_nobody_gets_in_after_the_gate_was_shut() -> None:
    gate = Gate()
    gate.open()
    gate.shut()

    with pytest.raises(NotReady, match="shutting down"), gate.passage(OCCLUDE, 1):
        pass


async def test_a_shut_gate_waits_for_those_inside() -> None:
    gate, enough = Gate(), asyncio.Event()
    gate.open()

    async def visit() -> None:
        with gate.passage(OCCLUDE, 1):
            await enough.wait()

    visits = [asyncio.create_task(visit()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.shut()

    assert not await gate.emptied(timeout_s=0.001)
    enough.set()
    assert await gate.emptied(timeout_s=60)
    assert all(visit.done() for visit in visits)


async def test_requests_that_are_cut_off_are_not_ready_and_leave() -> None:
    gate = opened()

    async def visit() -> None:
        with gate.passage(OCCLUDE, 1):
            await asyncio.sleep(300)

    visits = [asyncio.create_task(visit()) for _ in range(3)]
    await asyncio.sleep(0)
    assert gate.inside == 3

    assert gate.cut_off("the service is shutting down") == 3

    ends = await asyncio.gather(*visits, return_exceptions=True)
    assert [(type(end), str(end)) for end in ends] == [(NotReady, "the service is shutting down")] * 3
    assert gate.inside == 0


async def test_a_request_whose_caller_leaves_as_it_is_cut_off_is_cancelled() -> None:
    gate = opened()

    async def visit() -> None:
        with gate.passage(OCCLUDE, 1):
            await asyncio.sleep(300)

    visiting = asyncio.create_task(visit())
    await asyncio.sleep(0)
    visiting.cancel()
    gate.cut_off("the service is shutting down")

    with pytest.raises(asyncio.CancelledError):
        await visiting


async def test_a_request_that_is_cancelled_is_not_cut_off() -> None:
    gate = opened()

    async def visit() -> None:
        with gate.passage(OCCLUDE, 1):
            await asyncio.sleep(300)

    visiting = asyncio.create_task(visit())
    await asyncio.sleep(0)
    visiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await visiting
    assert gate.inside == 0


async def test_a_gate_that_nobody_went_through_is_empty_at_once() -> None:
    assert await Gate().emptied(timeout_s=0)


async def test_who_fails_inside_has_left_too() -> None:
    gate = Gate()
    gate.open()

    with pytest.raises(ZeroDivisionError), gate.passage(OCCLUDE, 1):
        raise ZeroDivisionError

    assert await gate.emptied(timeout_s=0)


async def test_each_method_has_places_of_its_own() -> None:
    gate = opened(requests=2)
    with gate.passage(OCCLUDE, 1):
        with gate.passage(OCCLUDE, 1):
            assert refusal(gate, OCCLUDE) == "all 2 places for Occlude are taken; try again in a moment"
            with gate.passage(PROJECT, 1):
                pass
        with gate.passage(OCCLUDE, 1):  # a place that was left is free again
            pass


async def test_a_method_may_have_more_or_fewer_places_than_others() -> None:
    gate = opened(requests=2, of_method={"Occlude": 1})
    with gate.passage(OCCLUDE, 1), gate.passage(PROJECT, 1), gate.passage(PROJECT, 1):
        assert refusal(gate, OCCLUDE).startswith("all 1 places for Occlude")


async def test_requests_take_up_no_more_memory_than_there_is_room_for() -> None:
    gate = opened(bytes=100)
    with gate.passage(OCCLUDE, 60):
        told = refusal(gate, PROJECT, size=41)
        assert told == "requests of 60 bytes are in work, and 100 are allowed; try again in a moment"
        with gate.passage(PROJECT, 40):
            pass
    with gate.passage(PROJECT, 41):
        pass


async def test_a_request_that_is_alone_gets_in_however_long_it_is() -> None:
    with opened(bytes=100).passage(OCCLUDE, 1000):
        pass
