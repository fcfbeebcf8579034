"""nginx, HAProxy and Envoy with the configurations of deploy/, in front of two replicas, over TLS.

See docs/how-to/balancers.md. `benchmarks.rolling` repeats the restarts.
"""

import io
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from benchmarks.shutdown import pad_jpeg
from tests.server.life.conftest import HeldCall
from tests.support.balancers import BALANCERS, Replicas, running_balancer
from tests.support.certificates import Certificates
from tests.support.ports import free_ports
from tests.support.service_process import ServiceProcess, wait_until
from zfscope.cancellation import Cancellation
from zfscope.client import Access, Client
from zfscope.client.retry import shipped_service_config
from zfscope.errors import Cancelled, NotReady, Unauthenticated, ZfscopeError
from zfscope.v1 import classification_pb2, classification_pb2_grpc, image_pb2

TOKEN = "0123456789abcdef0123456789abcdef"
MAX_RECEIVE_BYTES = 24 << 20
Services = tuple[ServiceProcess, ServiceProcess]


@pytest.fixture(scope="module")
def shared_services(environment: Mapping[str, str], pems: Certificates) -> Iterator[Services]:
    """Two services over TLS for all tests, since a start takes seconds; see `services`."""
    changes = {
        **pems.server,
        "token": TOKEN,
        "lame_duck_s": 1,
        "max_receive_bytes": MAX_RECEIVE_BYTES,
    }
    own = {**environment, **{f"ZFSCOPE_{name.upper()}": str(value) for name, value in changes.items()}}
    with closing(ServiceProcess(own)) as first, closing(ServiceProcess(own)) as second:
        first.start()
        second.start()
        yield first, second


@pytest.fixture
def services(shared_services: Services) -> Services:
    """Two running services with empty logs; restarted if a test ended them."""
    for service in shared_services:
        service.ensure_running()
    return shared_services


@pytest.fixture(scope="module")
def replicas(shared_services: Services, pems: Certificates) -> Replicas:
    return Replicas([service.address for service in shared_services], pems)


@contextmanager
def running_balancers(folder: Path, replicas: Replicas) -> Iterator[dict[str, str]]:
    """Run all balancers; yield their addresses by name."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        yield {name: stack.enter_context(running_balancer(name, folder, replicas)) for name in BALANCERS}


@pytest.fixture(scope="module")
def addresses(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of all balancers in front of the same services, by name."""
    with running_balancers(tmp_path_factory.mktemp("balancers"), replicas) as addresses:
        yield addresses


@pytest.fixture(params=BALANCERS)
def balancer(request: pytest.FixtureRequest, addresses: dict[str, str], services: Services) -> str:
    """Address of each balancer in turn, in front of two running services."""
    return addresses[request.param]


@pytest.fixture(scope="module")
def access(pems: Certificates) -> Access:
    return Access(tls_ca=pems.ca, token=TOKEN)


@contextmanager
def stock_stub(
    address: str, pems: Certificates, *options: tuple[str, str | int]
) -> Iterator[classification_pb2_grpc.ClassificationServiceStub]:
    """Yield a stub of a stock client; without options it retries nothing."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(pems.ca.read_bytes()), grpc.access_token_call_credentials(TOKEN)
    )
    with grpc.secure_channel(address, credentials, options) as channel:
        grpc.channel_ready_future(channel).result(60)
        yield classification_pb2_grpc.ClassificationServiceStub(channel)


def request_of(photo: bytes) -> classification_pb2.ClassifyRequest:
    return classification_pb2.ClassifyRequest(image=image_pb2.Image(encoded=photo))


@dataclass
class Load:
    """Calls without a pause, in a thread of its own."""

    call: Callable[[], object]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.call()
                self.answered += 1
            except (ZfscopeError, grpc.RpcError) as error:
                self.failures.append(str(error))


@contextmanager
def loading(loads: Mapping[str, Load]) -> Iterator[None]:
    """Run loads in threads during the block; they end before it does."""
    threads = [threading.Thread(target=load.run) for load in loads.values()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for load in loads.values():
            load.ended.set()
        for thread in threads:
            thread.join()


def wait_for_answers(loads: Mapping[str, Load], count: int) -> None:
    """Wait until every load has the given number of further answers, or a failure."""
    ends = {name: load.answered + count for name, load in loads.items()}
    for name, load in loads.items():
        wait_until(
            lambda load=load, end=ends[name]: load.answered >= end or load.failures, f"{name} is answered"
        )


def test_replicas_are_restarted_one_by_one_without_a_failed_call(
    services: Services, addresses: dict[str, str], access: Access, pems: Certificates, photo: bytes
) -> None:
    shipped = ("grpc.service_config", json.dumps(shipped_service_config()))  # watches health
    with ExitStack() as stack:
        loads = {}
        for name, address in addresses.items():
            client = stack.enter_context(Client(address, access=access))
            stub = stack.enter_context(stock_stub(address, pems, shipped))
            loads[f"{name}, Client"] = Load(lambda client=client: client.classify(photo))
            loads[f"{name}, stock"] = Load(lambda stub=stub: stub.Classify(request_of(photo), timeout=60))
        stack.enter_context(loading(loads))
        for service in services:
            wait_for_answers(loads, 5)
            service.send(signal.SIGTERM)
            assert service.wait() == 0
            wait_for_answers(loads, 5)
            service.start()
        wait_for_answers(loads, 5)
    assert {name: load.failures for name, load in loads.items() if load.failures} == {}


def test_no_call_fails_while_a_stopping_replica_completes_an_analysis(
    services: Services,
    addresses: dict[str, str],
    access: Access,
    pems: Certificates,
    held: HeldCall,
    photo: bytes,
) -> None:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        stack.callback(held.release)
        clients = [stack.enter_context(Client(address, access=access)) for address in addresses.values()]
        stubs = [stack.enter_context(stock_stub(address, pems)) for address in addresses.values()]
        running = pool.submit(clients[0].analyze, "held", [photo], held.parameters)
        held.wait_for("begun")
        (process,) = held.processes("begun")
        stopping = next(service for service in services if service.process.pid == process)
        stopping.send(signal.SIGTERM)
        stopping.wait_for_log("rejecting requests")
        wait_until(lambda: is_refused(stopping.address), "connections are refused")

        for client in clients:  # at this moment a call may still be reset; the client sends it again
            assert client.classify(photo).model == "tiny"
        for stub in stubs:
            for _ in range(10):
                assert stub.Classify(request_of(photo), timeout=60).model == "tiny"
        held.release()
        assert running.result(timeout=60).analysis.numbers == {"held": 1}
    assert stopping.wait() == 0


def is_refused(address: str) -> bool:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_photo_of_20_mb_is_classified(balancer: str, access: Access) -> None:
    photo = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photo, "JPEG")
    with Client(balancer, access=access) as client:
        assert client.classify(pad_jpeg(photo.getvalue(), 20_000_000)).model == "tiny"


def test_a_request_over_the_limit_gets_the_error_of_the_service(balancer: str, pems: Certificates) -> None:
    with stock_stub(balancer, pems) as stub, pytest.raises(grpc.RpcError) as raised:
        stub.Classify(request_of(bytes(MAX_RECEIVE_BYTES + 1)), timeout=60)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_RECEIVE_BYTES) in raised.value.details()


def test_analyses_fail_after_the_time_limit_of_a_balancer(
    services: Services,
    replicas: Replicas,
    addresses: dict[str, str],
    access: Access,
    photo: bytes,
    short_keepalive: None,  # the client notices the end that HAProxy makes when the connection is next used
    tmp_path: Path,
) -> None:
    """The configurations have 900 seconds, as the service; others, here of one second, end an analysis."""
    held = HeldCall(tmp_path)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        short = running_balancers(tmp_path / "short", replace(replicas, changes={"900s": "1s"}))
        stack.callback(held.release)

        def analyze(address: str) -> "Future[Any]":
            client = stack.enter_context(Client(address, access=access))
            return pool.submit(client.analyze, "held", [photo], held.parameters)

        limited = [analyze(address) for address in stack.enter_context(short).values()]
        running = [analyze(address) for address in addresses.values()]
        failures = [type(call.exception(timeout=30)) for call in limited]
        assert failures == [NotReady] * len(addresses)
        held.release()
        for call in running:
            assert call.result(timeout=30).analysis.numbers == {"held": 1}


def test_a_call_of_a_killed_replica_fails_and_is_not_started_by_the_other(
    services: Services,
    addresses: dict[str, str],
    access: Access,
    photo: bytes,
    held: HeldCall,
    short_keepalive: None,
) -> None:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        stack.callback(held.release)
        clients = [stack.enter_context(Client(address, access=access)) for address in addresses.values()]
        calls = []
        for number, client in enumerate(clients, 1):
            calls.append(pool.submit(client.analyze, "held", [photo], held.parameters))
            wait_until(lambda number=number: held.count("begun") == number, "the analysis begins")
        processes = held.processes("begun")
        killed = next(service for service in services if service.process.pid == processes[0])
        killed.send(signal.SIGKILL)
        killed.wait()

        for call, process in zip(calls, processes, strict=True):
            if process == processes[0]:
                assert type(call.exception(timeout=30)) is NotReady
        held.release()
        for call, process in zip(calls, processes, strict=True):
            if process != processes[0]:
                assert call.result(timeout=30).analysis.numbers == {"held": 1}
    assert held.count("begun") == len(addresses)


def test_the_work_of_a_cancelled_call_is_cancelled(
    balancer: str, access: Access, photo: bytes, held: HeldCall
) -> None:
    cancel = Cancellation()
    with Client(balancer, access=access) as client, ThreadPoolExecutor() as pool:
        running = pool.submit(client.analyze, "held", [photo], held.parameters, cancel=cancel)
        held.wait_for("begun")
        cancel.cancel()

        assert isinstance(running.exception(timeout=30), Cancelled)
        held.wait_for("cancelled")


def test_tokens_are_passed_on(balancer: str, pems: Certificates, photo: bytes) -> None:
    with Client(balancer, access=Access(tls_ca=pems.ca)) as client:
        with pytest.raises(Unauthenticated):
            client.classify(photo)
        assert client.health() == "SERVING"


def test_calls_without_a_replica_are_unavailable(pems: Certificates, photo: bytes, tmp_path: Path) -> None:
    nowhere = Replicas([f"127.0.0.1:{port}" for port in free_ports(2)], pems)
    with running_balancers(tmp_path / "balancers", nowhere) as addresses:
        for address in addresses.values():
            with stock_stub(address, pems) as stub, pytest.raises(grpc.RpcError) as raised:
                stub.Classify(request_of(photo), timeout=60)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
