"""Services started with the variables of the manifests, and their probes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.support.certificates import issue_certificates
from tests.support.kustomize import Resource
from tests.support.manifests import MANIFESTS, ROOT, build_named, container_variables
from tests.support.service_process import SERVE, TIMEOUT_S, ServiceProcess


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
    return {**moved, **places, "ZFSCOPE_LISTEN": "0.0.0.0:0", "ZFSCOPE_METRICS_LISTEN": ""}


@pytest.fixture
def port(variables: dict[str, str]) -> Iterator[str]:
    """Port of a running service with the variables of the container."""
    service = ServiceProcess(variables)
    try:
        service.start()
        yield service.address.rpartition(":")[2]
    finally:
        service.close()


@pytest.mark.parametrize("container", ["cpu"], indirect=True)
def test_a_grpc_probe_finds_the_service_serving(container: Resource, port: str) -> None:
    assert set(container["readinessProbe"]["grpc"]) == {
        "port"
    }  # without the name of a service: the whole server
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        response = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT_S)
    assert response.status == HealthCheckResponse.SERVING


@pytest.mark.parametrize("container", ["tls"], indirect=True)
def test_under_tls_the_command_of_the_probe_finds_the_service_serving(
    container: Resource, variables: dict[str, str], port: str
) -> None:
    program, *arguments = container["readinessProbe"]["exec"]["command"]
    assert program == "zfscope"
    result = subprocess.run(
        [
            *(sys.executable, "-c", SERVE, *arguments),
            *("--server", f"127.0.0.1:{port}", "--timeout", str(TIMEOUT_S)),
        ],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=5 * TIMEOUT_S,  # Python starts slowly on a busy machine
    )
    assert (result.returncode, result.stdout) == (0, "SERVING\n"), result.stderr
