"""Health follows the state of the runtime."""

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


class FakeModel:
    """A loaded model whose runtime raises a given fault; records its checks and passes."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self._events: queue.Queue[str] = queue.Queue()

    @property
    def runtime(self) -> Any:
        return SimpleNamespace(check=lambda: self._record("check"))

    def warm_up(self) -> None:
        self._record("pass")

    async def events(self, count: int) -> list[str]:
        """Wait for the next events: each a `check` of the runtime or a `pass`."""
        return [await asyncio.to_thread(self._events.get, timeout=30) for _ in range(count)]

    def _record(self, event: str) -> None:
        fault = self.fault
        self._events.put(event)
        if fault:
            raise fault


@pytest.fixture
def fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture
async def health() -> HealthService:
    return HealthService(["a.Service"])


@pytest.fixture
async def start_monitor(
    fake_model: FakeModel, health: HealthService
) -> AsyncIterator[Callable[..., HealthMonitor]]:
    """Return a function that starts a monitor of the fake model."""
    models: ModelCache = SimpleNamespace(get=lambda name, version: fake_model)  # type: ignore[assignment]
    started: list[asyncio.Task[None]] = []

    def start(*, full_passes: bool = False) -> HealthMonitor:
        monitor = HealthMonitor(models, health, full_passes=full_passes, interval_s=0.001)
        started.append(asyncio.create_task(monitor.run()))
        return monitor

    yield start
    assert not any(task.done() for task in started)
    for task in started:
        task.cancel()


async def wait_until(health: HealthService, *, serving: bool) -> None:
    async with asyncio.timeout(30):
        async for _ in health.Watch(HealthCheckRequest(), None):
            if health.serving is serving:
                return


async def test_health_is_serving_after_one_pass_and_then_uses_checks_only(
    start_monitor: Callable[..., HealthMonitor], fake_model: FakeModel, health: HealthService
) -> None:
    await start_monitor().wait_for_first_pass()
    assert health.serving
    assert await fake_model.events(4) == ["pass", "check", "check", "check"]


@pytest.mark.parametrize("fault", [GONE, ZeroDivisionError("an unexpected fault")])
async def test_health_is_not_serving_during_a_fault_and_recovers_after_a_pass(
    start_monitor: Callable[..., HealthMonitor],
    fake_model: FakeModel,
    health: HealthService,
    fault: Exception,
) -> None:
    await start_monitor().wait_for_first_pass()
    assert await fake_model.events(1) == ["pass"]
    with capture_logs() as log:
        fake_model.fault = fault
        await wait_until(health, serving=False)
    while await fake_model.events(1) == ["check"]:
        pass
    assert set(await fake_model.events(3)) == {"pass"}  # after a fault, a successful check does not suffice
    fake_model.fault = None
    await wait_until(health, serving=True)
    assert [(entry["event"], entry["reason"]) for entry in log] == [("not serving", str(fault))]


async def test_with_full_passes_every_check_is_a_pass(
    start_monitor: Callable[..., HealthMonitor], fake_model: FakeModel, health: HealthService
) -> None:
    await start_monitor(full_passes=True).wait_for_first_pass()
    assert await fake_model.events(4) == ["pass"] * 4
    fake_model.fault = RuntimeError("CUDA error: an illegal memory access was encountered")
    await wait_until(health, serving=False)
    fake_model.fault = None
    await wait_until(health, serving=True)


async def test_the_first_pass_waits_until_a_fault_ends(
    start_monitor: Callable[..., HealthMonitor], fake_model: FakeModel, health: HealthService
) -> None:
    fake_model.fault = GONE
    monitor = start_monitor()
    assert await fake_model.events(3) == ["pass"] * 3
    assert not health.serving
    fake_model.fault = None
    await monitor.wait_for_first_pass()
    assert health.serving


async def test_the_monitor_does_not_reverse_a_shutdown(
    start_monitor: Callable[..., HealthMonitor], fake_model: FakeModel, health: HealthService
) -> None:
    fake_model.fault = GONE
    monitor = start_monitor()
    await fake_model.events(2)
    health.shut_down()
    fake_model.fault = None
    await monitor.wait_for_first_pass()
    assert not health.serving
