"""The shipped service config: round-robin over serving replicas, and retries."""

import json
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from zfscope.client import Client
from zfscope.client.channel import service_config
from zfscope.client.target import parse_target
from zfscope.errors import InputError, NotReady, RuntimeUnavailable
from zfscope.server.lifecycle.admission import AdmissionControl
from zfscope.server.protos import METHODS_BY_PATH
from zfscope.server.services import analysis, classification
from zfscope.server.settings import Settings

SHIPPED = json.loads(files("zfscope.client").joinpath("service_config.json").read_text())


@pytest.fixture
def replicas(settings: Settings, make_service: Callable[..., Any]) -> list[Any]:
    """Two services, the first of them warm."""
    replicas = [make_service(settings) for _ in range(2)]
    replicas[0].call(replicas[0].service.warm_up())
    return replicas


def target(replicas: list[Any]) -> str:
    return "ipv4:" + ",".join(replica.address for replica in replicas)


@pytest.mark.parametrize("target", ["dns:///zfscope:50051", "ipv4:10.0.0.1:1,10.0.0.2:1", "xds:///zfscope"])
def test_several_addresses_use_the_shipped_config_unchanged(target: str) -> None:
    assert json.loads(service_config(parse_target(target))) == SHIPPED


@pytest.mark.parametrize("target", ["zfscope:50051", "ipv4:10.0.0.1:1", "unix:/run/zfscope"])
def test_a_single_address_uses_the_config_without_health_checks(target: str) -> None:
    expected = {name: value for name, value in SHIPPED.items() if name != "healthCheckConfig"}

    assert json.loads(service_config(parse_target(target))) == expected


def test_the_config_checks_health_and_limits_retries() -> None:
    assert SHIPPED["loadBalancingConfig"] == [{"round_robin": {}}]
    assert SHIPPED["healthCheckConfig"] == {"serviceName": ""}
    streams, every = SHIPPED["methodConfig"]
    assert "retryPolicy" not in streams
    assert every["name"] == [{}]
    assert every["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert SHIPPED["retryThrottling"]["maxTokens"] > 0


def test_no_stream_has_a_retry_policy_since_grpc_can_hang_with_one() -> None:
    without_retries = [
        name for entry in SHIPPED["methodConfig"] if "retryPolicy" not in entry for name in entry["name"]
    ]
    streams = [method for method in METHODS_BY_PATH.values() if method.kind != "unary"]

    assert streams
    for method in streams:
        service = {"service": method.service}
        assert service in without_retries or {**service, "method": method.name} in without_retries, method


class RefusingAdmission:
    """Replaces `admit` of a service: refuses the first requests and records the size of each."""

    def __init__(self, admission: AdmissionControl, refusals: int) -> None:
        self.sizes: list[int] = []
        self._admission, self._admit, self._refusals = admission, admission.admit, refusals

    def __call__(self, method: str, size: int, connection: str) -> Any:
        """Refuse or admit a request."""
        self.sizes.append(size)
        if len(self.sizes) <= self._refusals:
            raise NotReady("the service is shutting down; try another replica")
        return self._admit(method, size, connection)


@pytest.fixture
def refuse(replicas: list[Any]) -> Callable[[int], RefusingAdmission]:
    """Makes the first replica refuse the given number of requests."""

    def refuse(refusals: int) -> RefusingAdmission:
        admission = replicas[0].service._admission
        admission.admit = RefusingAdmission(admission, refusals)
        return admission.admit

    return refuse


@pytest.mark.parametrize("size", [1_000, 1_000_000, 20_000_000])
def test_a_refused_call_of_any_size_is_retried(
    replicas: list[Any], refuse: Callable[[int], RefusingAdmission], size: int
) -> None:
    admission = refuse(3)

    with Client(replicas[0].address) as client, pytest.raises(InputError, match="image"):
        client.classify(bytes(size))  # not an image: the service rejects it after admission

    assert len(admission.sizes) == 4
    assert min(admission.sizes) > size


def test_a_refused_analysis_is_retried(
    replicas: list[Any], refuse: Callable[[int], RefusingAdmission], photo: bytes
) -> None:
    admission = refuse(3)

    with Client(replicas[0].address) as client:
        assert client.analyze("project", [photo], {"layer": "conv5", "top": 1}).analysis.pictures

    assert len(admission.sizes) == 4


def test_an_analysis_refused_every_time_raises_not_ready(
    replicas: list[Any], refuse: Callable[[int], RefusingAdmission], photo: bytes
) -> None:
    admission = refuse(100)

    with (
        Client(replicas[0].address) as client,
        pytest.raises(NotReady, match="the service is shutting down; try another replica"),
    ):
        client.analyze("project", [photo])

    assert len(admission.sizes) == 4


def test_an_analysis_in_progress_is_not_retried(
    replicas: list[Any],
    refuse: Callable[[int], RefusingAdmission],
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admission = refuse(0)

    def fail(*_: object) -> None:
        raise RuntimeUnavailable("TorchServe is gone")

    monkeypatch.setattr(analysis, "analyze", fail)
    with Client(replicas[0].address) as client, pytest.raises(RuntimeUnavailable, match="TorchServe is gone"):
        client.analyze("project", [photo])

    assert len(admission.sizes) == 1


def test_a_call_in_progress_is_not_retried_by_grpc(
    replicas: list[Any],
    refuse: Callable[[int], RefusingAdmission],
    photo: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admission = refuse(1)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeUnavailable("TorchServe is gone")

    monkeypatch.setattr(classification, "prepare_request", fail)
    with Client(replicas[0].address) as client, pytest.raises(RuntimeUnavailable, match="TorchServe is gone"):
        client.classify(photo)

    assert len(admission.sizes) == 2


def test_a_replica_that_is_not_ready_receives_no_calls(replicas: list[Any], photo: bytes) -> None:
    with Client(target(replicas)) as client:
        client.wait_until_ready()
        for _ in range(8):
            assert client.classify(photo).model == "tiny"


def test_all_ready_replicas_receive_calls(replicas: list[Any]) -> None:
    replicas[1].call(replicas[1].service.warm_up())
    admissions = [replica.service._admission for replica in replicas]
    admitted = [0, 0]

    def counting(index: int) -> Callable[[], Any]:
        admit = admissions[index].admit

        def count(*arguments: Any) -> Any:
            admitted[index] += 1
            return admit(*arguments)

        return count

    for index, admission in enumerate(admissions):
        admission.admit = counting(index)
    end = time.monotonic() + 30
    with Client(target(replicas)) as client:
        while not all(admitted) and time.monotonic() < end:
            client.models()

    assert all(admitted)


def test_no_call_is_lost_when_a_replica_shuts_down(replicas: list[Any], photo: bytes) -> None:
    replicas[1].call(replicas[1].service.warm_up())
    with Client(target(replicas)) as client:
        for _ in range(8):
            client.classify(photo)
        replicas[0].call(replicas[0].service.stop())
        for _ in range(8):
            assert client.classify(photo).model == "tiny"


def test_a_call_without_a_ready_replica_raises_not_ready(replicas: list[Any]) -> None:
    replicas[0].call(replicas[0].service.stop())

    with Client(target(replicas)) as client, pytest.raises(NotReady):
        client.models()
