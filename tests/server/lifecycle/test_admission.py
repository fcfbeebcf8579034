"""Admission: when requests are accepted, and how many."""

import asyncio

import pytest

from zfscope.errors import Busy, NotReady
from zfscope.server.lifecycle.admission import AdmissionControl, AdmissionLimits

OCCLUDE, PROJECT = "/zfscope.v1.AnalysisService/Occlude", "/zfscope.v1.AnalysisService/Project"


def open_admission(**limits: object) -> AdmissionControl:
    admission = AdmissionControl(AdmissionLimits(**limits))
    admission.open()
    return admission


def busy_message(admission: AdmissionControl, method: str, size: int = 1) -> str:
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


async def test_wait_until_idle_waits_for_admitted_requests() -> None:
    admission, released = AdmissionControl(), asyncio.Event()
    admission.open()

    async def admitted_request() -> None:
        with admission.admit(OCCLUDE, 1):
            await released.wait()

    requests = [asyncio.create_task(admitted_request()) for _ in range(3)]
    await asyncio.sleep(0)
    admission.close()

    assert not await admission.wait_until_idle(timeout_s=0.001)
    released.set()
    assert await admission.wait_until_idle(timeout_s=60)
    assert all(request.done() for request in requests)


async def test_aborted_requests_raise_not_ready_and_leave() -> None:
    admission = open_admission()

    async def admitted_request() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    requests = [asyncio.create_task(admitted_request()) for _ in range(3)]
    await asyncio.sleep(0)
    assert admission.admitted == 3

    assert admission.abort_all("the service is shutting down") == 3

    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [(type(result), str(result)) for result in results] == [
        (NotReady, "the service is shutting down")
    ] * 3
    assert admission.admitted == 0


async def test_a_request_aborted_after_its_cancellation_is_cancelled() -> None:
    admission = open_admission()

    async def admitted_request() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    request = asyncio.create_task(admitted_request())
    await asyncio.sleep(0)
    request.cancel()
    admission.abort_all("the service is shutting down")

    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_cancelled_request_leaves() -> None:
    admission = open_admission()

    async def admitted_request() -> None:
        with admission.admit(OCCLUDE, 1):
            await asyncio.sleep(300)

    request = asyncio.create_task(admitted_request())
    await asyncio.sleep(0)
    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert admission.admitted == 0


async def test_wait_until_idle_returns_at_once_without_requests() -> None:
    assert await AdmissionControl().wait_until_idle(timeout_s=0)


async def test_a_failed_request_has_left() -> None:
    admission = AdmissionControl()
    admission.open()

    with pytest.raises(ZeroDivisionError), admission.admit(OCCLUDE, 1):
        raise ZeroDivisionError

    assert await admission.wait_until_idle(timeout_s=0)


async def test_each_method_has_its_own_limit() -> None:
    admission = open_admission(requests=2)
    with admission.admit(OCCLUDE, 1):
        with admission.admit(OCCLUDE, 1):
            assert (
                busy_message(admission, OCCLUDE)
                == "too many Occlude requests in progress (limit 2); try again in a moment"
            )
            with admission.admit(PROJECT, 1):
                pass
        with admission.admit(OCCLUDE, 1):  # room again after the first has left
            pass


async def test_a_method_can_have_another_limit() -> None:
    admission = open_admission(requests=2, per_method={"Occlude": 1})
    with admission.admit(OCCLUDE, 1), admission.admit(PROJECT, 1), admission.admit(PROJECT, 1):
        assert busy_message(admission, OCCLUDE).startswith("too many Occlude requests in progress (limit 1)")


async def test_requests_over_the_memory_limit_are_rejected() -> None:
    admission = open_admission(bytes=100)
    with admission.admit(OCCLUDE, 60):
        message = busy_message(admission, PROJECT, size=41)
        assert message == (
            "requests in progress take 60 bytes; 41 more would exceed the limit of 100; try again in a moment"
        )
        with admission.admit(PROJECT, 40):
            pass
    with admission.admit(PROJECT, 41):
        pass


async def test_a_lone_request_is_admitted_whatever_its_size() -> None:
    with open_admission(bytes=100).admit(OCCLUDE, 1000):
        pass


async def test_a_connection_with_unread_responses_is_rejected_once_all_of_them_exceed_the_limit() -> None:
    admission = open_admission(bytes=100)
    with admission.hold_unread("a", 60):
        with admission.admit(OCCLUDE, 1, "a"):
            pass
        with admission.hold_unread("b", 50):
            with pytest.raises(Busy) as caught, admission.admit(OCCLUDE, 1, "a"):
                pass
            assert str(caught.value) == (
                "this connection has not read 60 bytes of responses, and the limit of unread responses, "
                "100 bytes, is reached; read them, or open another connection"
            )
            with admission.admit(OCCLUDE, 1, "c"):
                pass
    with admission.admit(OCCLUDE, 1, "a"):
        pass
