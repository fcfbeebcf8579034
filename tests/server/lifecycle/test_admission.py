"""Whether the service takes work."""

import asyncio

import pytest

from zfscope.errors import Busy, NotReady
from zfscope.server.lifecycle.admission import AdmissionControl, AdmissionLimits

OCCLUDE, PROJECT = "/zfscope.v1.AnalysisService/Occlude", "/zfscope.v1.AnalysisService/Project"


def opened(**limits: object) -> AdmissionControl:
    admission = AdmissionControl(AdmissionLimits(**limits))
    admission.open()
    return admission


def refusal(admission: AdmissionControl, method: str, size: int = 1) -> str:
    """Return the message for a request over a limit."""
    with pytest.raises(Busy) as caught, admission.admit(method, size):
        pass
    return str(caught.value)


async def test_requests_before_admission_opens_are_rejected() -> None:
    with pytest.raises(NotReady, match="still loading its model"), AdmissionControl().admit(OCCLUDE, 1):
        pass


async def test_requests_after_admission_closes_are_rejected() -> None:
    admission = AdmissionControl()
    admission.open()
    admission.close()

    with pytest.raises(NotReady, match="shutting down"), admission.admit(OCCLUDE, 1):
        pass


async def test_draining_waits_for_admitted_requests() -> None:
    admission, enough = AdmissionControl(), asyncio.Event()
    admission.open()

    async def visit() -> None:
        with admission.admit(OCCLUDE, 1):
            await enough.wait()

    visits = [asyncio.create_task(visit()) for _ in range(3)]
    await asyncio.sleep(0)
    admission.close()

    assert not await admission.wait_until_idle(timeout_s=0.001)
    enough.set()
    assert await admission.wait_until_idle(timeout_s=60)
    assert all(visit.done() for visit in visits)


async def test_requests_that_are_cut_off_raise_not_ready_and_leave() -> None:
    admission = opened()

    async def visit() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    visits = [asyncio.create_task(visit()) for _ in range(3)]
    await asyncio.sleep(0)
    assert admission.admitted == 3

    assert admission.abort_all("the service is shutting down") == 3

    ends = await asyncio.gather(*visits, return_exceptions=True)
    assert [(type(end), str(end)) for end in ends] == [(NotReady, "the service is shutting down")] * 3
    assert admission.admitted == 0


async def test_a_request_cancelled_while_it_is_cut_off_is_cancelled() -> None:
    admission = opened()

    async def visit() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    visiting = asyncio.create_task(visit())
    await asyncio.sleep(0)
    visiting.cancel()
    admission.abort_all("the service is shutting down")

    with pytest.raises(asyncio.CancelledError):
        await visiting


async def test_a_cancelled_request_is_not_cut_off() -> None:
    admission = opened()

    async def visit() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    visiting = asyncio.create_task(visit())
    await asyncio.sleep(0)
    visiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await visiting
    assert admission.admitted == 0


async def test_without_requests_draining_ends_at_once() -> None:
    assert await AdmissionControl().wait_until_idle(timeout_s=0)


async def test_a_failed_request_has_left() -> None:
    admission = AdmissionControl()
    admission.open()

    with pytest.raises(ZeroDivisionError), admission.admit(OCCLUDE, 1):
        raise ZeroDivisionError

    assert await admission.wait_until_idle(timeout_s=0)


async def test_each_method_has_its_own_limit() -> None:
    admission = opened(requests=2)
    with admission.admit(OCCLUDE, 1):
        with admission.admit(OCCLUDE, 1):
            assert refusal(admission, OCCLUDE) == "all 2 places for Occlude are taken; try again in a moment"
            with admission.admit(PROJECT, 1):
                pass
        with admission.admit(OCCLUDE, 1):  # a place that was left is free again
            pass


async def test_a_method_can_have_another_limit() -> None:
    admission = opened(requests=2, per_method={"Occlude": 1})
    with admission.admit(OCCLUDE, 1), admission.admit(PROJECT, 1), admission.admit(PROJECT, 1):
        assert refusal(admission, OCCLUDE).startswith("all 1 places for Occlude")


async def test_requests_over_the_memory_limit_are_rejected() -> None:
    admission = opened(bytes=100)
    with admission.admit(OCCLUDE, 60):
        told = refusal(admission, PROJECT, size=41)
        assert told == "requests of 60 bytes are in work, and 100 are allowed; try again in a moment"
        with admission.admit(PROJECT, 40):
            pass
    with admission.admit(PROJECT, 41):
        pass


async def test_a_lone_request_is_admitted_whatever_its_size() -> None:
    with opened(bytes=100).admit(OCCLUDE, 1000):
        pass
