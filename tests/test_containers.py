"""The Dockerfile and compose files, checked against the service's settings."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from zfscope.client import Access
from zfscope.page.samples import find_samples
from zfscope.page.settings import PageSettings
from zfscope.server.settings import Settings

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


class ComposeLoader(yaml.SafeLoader):
    """YAML loader of compose files, whose overrides use the tag `!reset`."""


ComposeLoader.add_constructor("!reset", lambda loader, node: None)


def service(file: str, name: str = "zfscope") -> dict[str, Any]:
    return yaml.load(ROOT.joinpath(file).read_text(), ComposeLoader)["services"][name]


GPU, CPU, TLS = (service(f"docker-compose{kind}.yml") for kind in ("", ".cpu", ".tls"))
PAGE, PAGE_TLS = (service(f"docker-compose{kind}.yml", "page") for kind in ("", ".tls"))


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def test_the_stop_grace_period_exceeds_the_shutdown_time() -> None:
    settings = Settings()
    assert seconds(GPU["stop_grace_period"]) > settings.lame_duck_s + settings.grace_s


def test_without_tls_the_port_is_published_to_the_host_only() -> None:
    assert GPU["ports"] == ["${ZFSCOPE_PUBLISH:-127.0.0.1:50051}:50051"]
    assert GPU["environment"]["ZFSCOPE_ALLOW_INSECURE"] == "true"
    assert TLS["environment"]["ZFSCOPE_ALLOW_INSECURE"] == "false"
    assert "ZFSCOPE_ALLOW_INSECURE" not in DOCKERFILE


def test_the_container_is_unprivileged_and_has_a_read_only_root() -> None:
    assert (GPU["read_only"], GPU["cap_drop"]) == (True, ["ALL"])
    assert GPU["security_opt"] == ["no-new-privileges:true"]
    assert GPU["user"] == re.search(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[1] == "10001:10001"  # type: ignore[index]
    assert not [
        volume for volume in GPU["volumes"] if ":/srv/models" in volume and not volume.endswith(":ro")
    ]


def test_the_gpu_is_reserved_except_with_the_cpu_override() -> None:
    (device,) = GPU["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert CPU["deploy"]["resources"]["reservations"] is None
    assert (GPU["environment"]["ZFSCOPE_DEVICE"], CPU["environment"]["ZFSCOPE_DEVICE"]) == ("cuda", "cpu")


@pytest.mark.parametrize(("compose", "target"), [(GPU, "gpu"), (CPU, "cpu"), (PAGE, "page")])
def test_images_are_built_from_existing_targets(compose: dict[str, Any], target: str) -> None:
    assert compose["build"]["target"] == target
    assert compose["image"] == f"zfscope:{target}"
    assert f" AS {target}\n" in DOCKERFILE


@pytest.mark.parametrize("environment", [GPU["environment"], CPU["environment"], TLS["environment"]])
def test_every_variable_is_a_setting(environment: dict[str, str]) -> None:
    client = {"ZFSCOPE_TLS_CA", "ZFSCOPE_TLS_SERVER_NAME"}  # read by the health check
    known = {f"ZFSCOPE_{name.upper()}" for name in Settings.model_fields}
    assert set(environment) <= known | client
    in_dockerfile = set(re.findall(r"\bZFSCOPE_[A-Z_]+", DOCKERFILE))
    assert in_dockerfile <= known | PAGE_VARIABLES


PAGE_VARIABLES = {f"ZFSCOPE_PAGE_{name.upper()}" for name in PageSettings.model_fields}


@pytest.mark.parametrize("environment", [PAGE["environment"], PAGE_TLS["environment"]])
def test_every_variable_of_the_page_is_a_setting(environment: dict[str, str]) -> None:
    client = {f"ZFSCOPE_{name.upper()}" for name in Access.model_fields}  # of the connection to the service
    assert set(environment) <= PAGE_VARIABLES | client


def test_the_page_is_a_stateless_unprivileged_client_of_the_service() -> None:
    assert (PAGE["read_only"], PAGE["cap_drop"], PAGE["user"]) == (True, ["ALL"], "10001:10001")
    assert PAGE["security_opt"] == ["no-new-privileges:true"]
    assert "volumes" not in PAGE
    assert PAGE["profiles"] == ["page"]
    assert PAGE["ports"] == ["${ZFSCOPE_PAGE_PUBLISH:-127.0.0.1:8080}:8080"]
    (secure, insecure) = (PAGE_TLS["environment"], PAGE["environment"])
    name = "ZFSCOPE_PAGE_ALLOW_INSECURE"
    assert (insecure[name], secure[name]) == ("true", "false")
    assert name not in DOCKERFILE


def test_the_image_of_the_page_lacks_the_engine() -> None:
    stage = DOCKERFILE.partition(" AS build-page\n")[2].partition("\nFROM ")[0]
    (extras,) = re.findall(r"requirements\.py ([a-z ]+) >", stage)
    command = [sys.executable, "docker/requirements.py", *extras.split()]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {re.split(r"[<>=]", line)[0] for line in lines}
    assert {"fastapi", "grpcio", "numpy", "uvicorn"} <= names
    assert not {"torch", "onnx", "onnxruntime", "matplotlib"} & names
    page = DOCKERFILE.partition(" AS page\n")[2].partition("\nFROM ")[0]
    assert "USER 10001:10001" in page
    assert 'CMD ["page", "--server", "zfscope:50051"]' in page


def test_the_image_of_the_page_has_the_sample_photos_with_their_licence() -> None:
    stage = DOCKERFILE.partition(" AS samples\n")[2].partition("\nFROM ")[0]
    sources = re.findall(r"^ +/tmp/packages/(\S+)", stage, re.MULTILINE)
    packages = Path(sysconfig.get_path("purelib"))
    assert {packages / source for source in sources if not source.endswith("README.txt")} == set(
        find_samples(None).values()
    )
    (licence,) = [source for source in sources if source.endswith("README.txt")]
    assert "Image: china.jpg\nReleased under a creative commons license" in (packages / licence).read_text()
    page = DOCKERFILE.partition(" AS page\n")[2].partition("\nFROM ")[0]
    assert "COPY --from=samples /srv/samples /srv/samples\n" in page
    assert "ZFSCOPE_PAGE_SAMPLES=/srv/samples\n" in page


def test_files_copied_into_an_image_are_not_ignored() -> None:
    included = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {
        "pyproject.toml",
        "constraints.txt",
        "model_store",
        "docker",
        *project["project"]["license-files"],
    }
    assert needed | {package.split("/")[0] for package in packages} <= included


@pytest.mark.parametrize(
    ("extras", "runtime"), [(("cpu", "otel"), "onnxruntime"), (("torchserve",), "torchserve")]
)
def test_the_dependency_layer_includes_nested_extras(extras: tuple[str, ...], runtime: str) -> None:
    command = [sys.executable, "docker/requirements.py", *extras]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {re.split(r"[<>=]", line)[0] for line in lines}
    assert {"grpcio", "numpy", "torch", "safetensors", runtime} <= names
    assert not [line for line in lines if line.startswith("zfscope")]
