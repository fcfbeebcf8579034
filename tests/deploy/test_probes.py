"""Services started with the variables of the manifests, and their probes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.support.certificates import issue_certificates
from tests.support.kustomize import Resource
from tests.support.manifests import MANIFESTS, ROOT, build_named, container_variables
from tests.support.service_process import TIMEOUT_S, ServiceProcess


@pytest.fixture
def container(request: pytest.FixtureRequest) -> Resource:
    """The service's container in an overlay."""
    deployment = build_named(MANIFESTS / "overlays" / request.param)["Deployment/zfscope"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


@pytest.fixture
def variables(container: Resource, tmp_path: Path) -> dict[str, str]:
    """Variables of the container, with folders and ports of this machine in place of those of the pod."""
    files, secrets = issue_certificates(tmp_path), tmp_path / "secrets"
    secrets.mkdir()
    for source, name in ((files.certificate, "tls.crt"), (files.key, "tls.key"), (files.ca, "ca.crt")):
        shutil.copyfile(source, secrets / name)
    (secrets / "token").write_text("a-token-of-the-service\n")
    moved = {
        name: value.replace("/run/secrets/zfscope", str(secrets))
        for name, value in container_variables(container).items()
        if name.startswith("ZFSCOPE_")
    }
    places = {"ZFSCOPE_STORE": str(ROOT / "model_store"), "ZFSCOPE_CACHE": str(tmp_path / "cache")}
    ports = {"ZFSCOPE_LISTEN": "0.0.0.0:0", "ZFSCOPE_METRICS_LISTEN": ""}
    if "ZFSCOPE_HEALTH_LISTEN" in moved:
        ports["ZFSCOPE_HEALTH_LISTEN"] = "127.0.0.1:0"
    return {**moved, **places, **ports}


@pytest.fixture
def service(variables: dict[str, str]) -> Iterator[ServiceProcess]:
    """A running service with the variables of the container."""
    service = ServiceProcess(variables)
    try:
        service.start()
        yield service
    finally:
        service.close()


def check(port: str) -> int:
    """Ask for the health of the whole server, as a probe without the name of a service."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT_S).status


@pytest.mark.parametrize("container", ["cpu"], indirect=True)
def test_a_grpc_probe_finds_the_service_serving(container: Resource, service: ServiceProcess) -> None:
    assert set(container["readinessProbe"]["grpc"]) == {"port"}
    assert check(service.address.rpartition(":")[2]) == HealthCheckResponse.SERVING


@pytest.mark.parametrize("container", ["tls"], indirect=True)
def test_under_tls_a_grpc_probe_finds_the_service_serving_on_its_own_port(
    container: Resource, service: ServiceProcess
) -> None:
    assert set(container["readinessProbe"]["grpc"]) == {"port"}
    (line,) = [line for line in service.announced if line.startswith("health checks without TLS on ")]
    assert check(line.rpartition(":")[2]) == HealthCheckResponse.SERVING
