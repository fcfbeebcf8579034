"""Health follows what runs the passes."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from structlog.testing import capture_logs

from zfscope.errors import RuntimeUnavailable
from zfscope.server.lifecycle.health import HealthMonitor, HealthService
from zfscope.server.model_cache import ModelCache

GONE = RuntimeUnavailable("TorchServe cannot be reached")


class Patient:
    """Stands for a loaded model, whose runtime fails as a test wants."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self._questions: queue.Queue[str] = queue.Queue()

    @property
    def runtime(self) -> Any:
        return SimpleNamespace(check=lambda: self._answer("check"))

    def warm_up(self) -> None:
        self._answer("pass")

    async def questions(self, count: int) -> list[str]:
        """Wait for the next questions: whether a pass can be run, or for a pass."""
        return [await asyncio.to_thread(self._questions.get, timeout=30) for _ in range(count)]

    def _answer(self, question: str) -> None:
        fault = self.fault
        self._questions.put(question)
        if fault:
            raise fault


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
async def health() -> HealthService:
    return HealthService(["a.Service"])


@pytest.fixture
async def begin_monitor(
    patient: Patient, health: HealthService
) -> AsyncIterator[Callable[..., HealthMonitor]]:
    """Begins to look after the patient."""
    models: ModelCache = SimpleNamespace(get=lambda name, version: patient)  # type: ignore[assignment]
    begun: list[asyncio.Task[None]] = []

    def begin(*, full_passes: bool = False) -> HealthMonitor:
        monitor = HealthMonitor(models, health, full_passes=full_passes, interval_s=0.001)
        begun.append(asyncio.create_task(monitor.run()))
        return monitor

    yield begin
    assert not any(task.done() for task in begun)
    for task in begun:
        task.cancel()


async def until(health: HealthService, *, serving: bool) -> None:
    async with asyncio.timeout(30):
        async for _ in health.Watch(HealthCheckRequest(), None):
            if health.serving is serving:
                return


async def test_health_is_serving_after_one_pass_and_then_uses_checks_only(
    begin_monitor: Callable[..., HealthMonitor], patient: Patient, health: HealthService
) -> None:
    await begin_monitor().wait_for_first_pass()
    assert health.serving
    assert await patient.questions(4) == ["pass", "check", "check", "check"]


@pytest.mark.parametrize("fault", [GONE, ZeroDivisionError("a fault that nobody expects")])
async def test_health_is_not_serving_during_a_fault_and_recovers_after_a_pass(
    begin_monitor: Callable[..., HealthMonitor],
    patient: Patient,
    health: HealthService,
    fault: Exception,
) -> None:
    await begin_monitor().wait_for_first_pass()
    assert await patient.questions(1) == ["pass"]
    with capture_logs() as log:
        patient.fault = fault
        await until(health, serving=False)
    while await patient.questions(1) == ["check"]:
        pass
    assert set(await patient.questions(3)) == {"pass"}  # a check that works would not be enough
    patient.fault = None
    await until(health, serving=True)
    assert [(entry["event"], entry["reason"]) for entry in log] == [("not serving", str(fault))]


async def test_with_by_passes_every_check_is_a_pass(
    begin_monitor: Callable[..., HealthMonitor], patient: Patient, health: HealthService
) -> None:
    await begin_monitor(full_passes=True).wait_for_first_pass()
    assert await patient.questions(4) == ["pass"] * 4
    patient.fault = RuntimeError("CUDA error: an illegal memory access was encountered")
    await until(health, serving=False)
    patient.fault = None
    await until(health, serving=True)


async def test_the_first_pass_waits_until_a_fault_ends(
    begin_monitor: Callable[..., HealthMonitor], patient: Patient, health: HealthService
) -> None:
    patient.fault = GONE
    monitor = begin_monitor()
    assert await patient.questions(3) == ["pass"] * 3
    assert not health.serving
    patient.fault = None
    await monitor.wait_for_first_pass()
    assert health.serving


async def test_the_monitor_does_not_reverse_a_shutdown(
    begin_monitor: Callable[..., HealthMonitor], patient: Patient, health: HealthService
) -> None:
    patient.fault = GONE
    monitor = begin_monitor()
    await patient.questions(2)
    health.shut_down()
    patient.fault = None
    await monitor.wait_for_first_pass()
    assert not health.serving
