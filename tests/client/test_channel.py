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


@pytest.mark.parametrize("several", ["dns:///zfscope:50051", "ipv4:10.0.0.1:1,10.0.0.2:1", "xds:///zfscope"])
def test_several_addresses_use_the_shipped_config_unchanged(several: str) -> None:
    assert json.loads(service_config(parse_target(several))) == SHIPPED


@pytest.mark.parametrize("one", ["zfscope:50051", "ipv4:10.0.0.1:1", "unix:/run/zfscope"])
def test_for_one_address_it_is_the_same_without_asking_for_health(one: str) -> None:
    without = {name: value for name, value in SHIPPED.items() if name != "healthCheckConfig"}

    assert json.loads(service_config(parse_target(one))) == without


def test_it_asks_for_health_before_calls_and_sends_them_again_with_a_limit() -> None:
    assert SHIPPED["loadBalancingConfig"] == [{"round_robin": {}}]
    assert SHIPPED["healthCheckConfig"] == {"serviceName": ""}
    streams, every = SHIPPED["methodConfig"]
    assert "retryPolicy" not in streams
    assert every["name"] == [{}]
    assert every["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert SHIPPED["retryThrottling"]["maxTokens"] > 0


def test_no_stream_has_a_retry_policy_with_which_grpc_can_hang() -> None:
    without = [
        name for entry in SHIPPED["methodConfig"] if "retryPolicy" not in entry for name in entry["name"]
    ]
    streams = [method for method in METHODS_BY_PATH.values() if method.kind != "unary"]

    assert streams
    for method in streams:
        whole = {"service": method.service}
        assert whole in without or {**whole, "method": method.name} in without, method


class Refusing:
    """Refuses the first requests of a service that is warm, and counts all."""

    def __init__(self, admission: AdmissionControl, refusals: int) -> None:
        self.sizes: list[int] = []
        self._admission, self._admit, self._refusals = admission, admission.admit, refusals

    def __call__(self, method: str, size: int) -> Any:
        """Stand in for `admit`."""
        self.sizes.append(size)
        if len(self.sizes) <= self._refusals:
            raise NotReady("the service is shutting down; try another one")
        return self._admit(method, size)


@pytest.fixture
def refuse(replicas: list[Any]) -> Callable[[int], Refusing]:
    """Has the first replica refuse a number of requests."""

    def refuse(refusals: int) -> Refusing:
        admission = replicas[0].service._admission
        admission.admit = Refusing(admission, refusals)
        return admission.admit

    return refuse


@pytest.mark.parametrize("size", [1_000, 1_000_000, 20_000_000])
def test_a_refused_call_of_any_size_is_sent_again(
    replicas: list[Any], refuse: Callable[[int], Refusing], size: int
) -> None:
    seen = refuse(3)

    with Client(replicas[0].address) as client, pytest.raises(InputError, match="image"):
        client.classify(bytes(size))  # no image, which the service says once it lets it in

    assert len(seen.sizes) == 4
    assert min(seen.sizes) > size


def test_a_refused_analysis_is_sent_again(
    replicas: list[Any], refuse: Callable[[int], Refusing], photo: bytes
) -> None:
    seen = refuse(3)

    with Client(replicas[0].address) as client:
        assert client.analyze("project", [photo], {"layer": "conv5", "top": 1}).analysis.pictures

    assert len(seen.sizes) == 4


def test_an_analysis_that_is_refused_every_time_is_not_ready(
    replicas: list[Any], refuse: Callable[[int], Refusing], photo: bytes
) -> None:
    seen = refuse(100)

    with (
        Client(replicas[0].address) as client,
        pytest.raises(NotReady, match="the service is shutting down; try another one"),
    ):
        client.analyze("project", [photo])

    assert len(seen.sizes) == 4


def test_an_analysis_that_has_begun_is_not_sent_again(
    replicas: list[Any], refuse: Callable[[int], Refusing], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = refuse(0)

    def fail(*_: object) -> None:
        raise RuntimeUnavailable("TorchServe is gone")

    monkeypatch.setattr(analysis, "analyze", fail)
    with Client(replicas[0].address) as client, pytest.raises(RuntimeUnavailable, match="TorchServe is gone"):
        client.analyze("project", [photo])

    assert len(seen.sizes) == 1


def test_work_that_has_begun_is_not_sent_again_by_grpc(
    replicas: list[Any], refuse: Callable[[int], Refusing], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = refuse(1)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeUnavailable("TorchServe is gone")

    monkeypatch.setattr(classification, "prepare_request", fail)
    with Client(replicas[0].address) as client, pytest.raises(RuntimeUnavailable, match="TorchServe is gone"):
        client.classify(photo)

    assert len(seen.sizes) == 2


def test_a_replica_that_is_not_ready_gets_no_calls(replicas: list[Any], photo: bytes) -> None:
    with Client(target(replicas)) as client:
        client.wait_until_ready()
        for _ in range(8):
            assert client.classify(photo).model == "tiny"


def test_replicas_are_called_in_turn_once_they_are_ready(replicas: list[Any]) -> None:
    replicas[1].call(replicas[1].service.warm_up())
    admissions = [replica.service._admission for replica in replicas]
    passed = [0, 0]

    def counting(place: int) -> Callable[[], Any]:
        admit = admissions[place].admit

        def count(*arguments: Any) -> Any:
            passed[place] += 1
            return admit(*arguments)

        return count

    for place, admission in enumerate(admissions):
        admission.admit = counting(place)
    end = time.monotonic() + 30
    with Client(target(replicas)) as client:
        while not all(passed) and time.monotonic() < end:
            client.models()

    assert all(passed)


def test_a_replica_that_shuts_down_loses_no_call(replicas: list[Any], photo: bytes) -> None:
    replicas[1].call(replicas[1].service.warm_up())
    with Client(target(replicas)) as client:
        for _ in range(8):
            client.classify(photo)
        replicas[0].call(replicas[0].service.stop())
        for _ in range(8):
            assert client.classify(photo).model == "tiny"


def test_a_call_without_a_ready_replica_reports_it(replicas: list[Any]) -> None:
    replicas[0].call(replicas[0].service.stop())

    with Client(target(replicas)) as client, pytest.raises(NotReady):
        client.models()
