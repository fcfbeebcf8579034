"""The manifests of deploy/kubernetes: valid for Kubernetes' schemas, and consistent with the service."""

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions, major_minor

from tests.support.kustomize import KUSTOMIZATION, Resource
from tests.support.manifests import (
    DOCKERFILE,
    MANIFESTS,
    ROOT,
    build_named,
    by_name,
    container_variables,
    image_variables,
    own_variables,
)
from tests.support.pages import blocks_of
from zfscope.client import Access
from zfscope.listening import check_exposure
from zfscope.page import serve as page_serve
from zfscope.page.settings import PageSettings
from zfscope.server.lifecycle.shutdown import LATE_CALLS_S
from zfscope.server.settings import Settings
from zfscope.server.telemetry.metrics import Metrics
from zfscope.wire.settings import read_settings

# Kubernetes' three newest minor versions.
VERSIONS = ("1.35", "1.36", "1.37")

HOW_TO = ROOT / "docs" / "how-to" / "kubernetes.md"
CUSTOM = "monitoring.coreos.com/v1"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
# Components that no overlay has, combined in one.
FURTHER = "gpu, TLS, TorchServe and models from an image"
BUILDS = (*OVERLAYS, FURTHER)
SERVICE = {
    "Deployment/zfscope",
    "Service/zfscope",
    "Service/zfscope-replicas",
    "PodDisruptionBudget/zfscope",
    "NetworkPolicy/zfscope",
}
PAGE = {"Deployment/zfscope-page", "Service/zfscope-page", "NetworkPolicy/zfscope-page"}
SCALING = {"ServiceMonitor/zfscope", "PrometheusRule/zfscope", "HorizontalPodAutoscaler/zfscope"}


@pytest.fixture(scope="session")
def further(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("further").resolve()

    def path(name: str) -> str:
        return os.path.relpath(MANIFESTS / name, folder)

    components = [path(f"components/{name}") for name in ("gpu", "tls", "torchserve", "models-image")]
    (folder / KUSTOMIZATION).write_text(yaml.dump({"resources": [path("base")], "components": components}))
    return folder


@pytest.fixture(params=BUILDS)
def folder(request: pytest.FixtureRequest, further: Path) -> Path:
    """Folder of a kustomization."""
    return further if request.param == FURTHER else MANIFESTS / "overlays" / request.param


@pytest.fixture
def resources(folder: Path) -> dict[str, Resource]:
    """Resources of a kustomization by KIND/NAME."""
    return build_named(folder)


def pods_of(resources: dict[str, Resource]) -> Iterator[Resource]:
    """Yield the pod templates."""
    yield from (each["spec"]["template"] for each in resources.values() if each["kind"] == "Deployment")


def containers_of(pod: Resource) -> list[Resource]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def labels_match(selector: Resource, labels: dict[str, str]) -> bool:
    return selector["matchLabels"].items() <= labels.items()


def port_number(port: int | str, pod: Resource) -> int:
    """Return the number of a port of a pod, given by number or name. Raises KeyError for any other."""
    ports = [each for container in containers_of(pod) for each in container.get("ports", ())]
    numbers = {each["name"]: each["containerPort"] for each in ports}
    return {**numbers, **{number: number for number in numbers.values()}}[port]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@functools.cache
def validate(resource: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(resource), version, strict=True)


def assert_valid(resource: Resource) -> None:
    for version in VERSIONS:
        validate(json.dumps(resource, sort_keys=True), version)


def test_every_resource_is_valid_for_the_three_newest_versions(resources: dict[str, Resource]) -> None:
    for resource in resources.values():
        if resource["apiVersion"] != CUSTOM:
            assert_valid(resource)


def test_the_namespace_is_valid_and_admits_restricted_pods_only() -> None:
    namespace = yaml.safe_load((MANIFESTS / "namespace.yaml").read_text())
    assert_valid(namespace)
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_an_unknown_field_is_invalid() -> None:
    deployment = build_named(MANIFESTS / "base")["Deployment/zfscope"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        assert_valid(deployment)


def test_the_versions_are_the_newest_of_the_schemas_and_those_of_the_documentation() -> None:
    newest = sorted({major_minor(version) for version in all_versions()}, key=lambda v: int(v.split(".")[1]))
    assert tuple(newest[-3:]) == VERSIONS
    page = " ".join(HOW_TO.read_text().split())
    assert "Kubernetes {}, {} and {}".format(*VERSIONS) in page


def test_the_overlays_are_those_that_kubectl_builds(folder: Path) -> None:
    # Not installed by .ci/run: Debian's kubectl is older than components.
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    if not re.search(r"Kustomize Version: v([5-9]|\d\d)", output_of(kubectl, "version", "--client")):
        pytest.skip("this kubectl has a kustomize before version 5")
    built = list(yaml.safe_load_all(output_of(kubectl, "kustomize", str(folder))))
    assert by_name(built) == build_named(folder)


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [(name, SERVICE) for name in ("cpu", "gpu", "tls", "torchserve")]
    + [("page", SERVICE | PAGE), ("production", SERVICE | PAGE | SCALING)],
)
def test_an_overlay_has_the_resources_of_its_purpose(overlay: str, expected: set[str]) -> None:
    assert set(build_named(MANIFESTS / "overlays" / overlay)) == expected


def test_every_overlay_and_component_is_built_by_these_tests_and_listed_in_the_documentation(
    further: Path,
) -> None:
    built = {
        Path(name).name
        for folder in (further, *((MANIFESTS / "overlays" / name) for name in OVERLAYS))
        for name in yaml.safe_load((folder / KUSTOMIZATION).read_text()).get("components", ())
    }
    components = {path.name for path in (MANIFESTS / "components").iterdir()}
    assert built == components
    page = HOW_TO.read_text()
    assert [name for name in (*OVERLAYS, *components) if f"| `{name}` |" not in page] == []


def test_the_kustomization_of_the_documentation_names_existing_folders_and_images() -> None:
    (text,) = [block.text for block in blocks_of(HOW_TO) if block.language == "yaml"]
    example = yaml.safe_load(text)
    for path in (*example["resources"], *example["components"]):
        assert (ROOT / path.removeprefix("zfscope/") / KUSTOMIZATION).is_file()
    assert [image["name"] for image in example["images"]] == ["zfscope", "zfscope-models"]


def test_every_variable_is_a_setting_with_a_valid_value(
    resources: dict[str, Resource], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pod in pods_of(resources):
        (container,) = pod["spec"]["containers"]
        kind: Any = PageSettings if container["name"] == "page" else Settings
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("ZFSCOPE_")]:
                patch.delenv(name)
            variables = container_variables(container)
            for name, value in variables.items():
                patch.setenv(name, value)
            settings = read_settings(kind)
        known = {f"{kind.model_config['env_prefix']}{name.upper()}" for name in kind.model_fields}
        client = {f"ZFSCOPE_{name.upper()}" for name in Access.model_fields}
        assert set(own_variables(container)) <= known | client
        # Raises if the service or the page would refuse to start.
        check_exposure(
            settings.listen,
            tls=settings.tls_certificate is not None,
            authenticated=settings.token_file is not None,
            allow_insecure=settings.allow_insecure,
            authentication="token_file",
        )
        assert settings.allow_insecure is (settings.tls_certificate is None)


def test_ports_are_those_of_the_settings(resources: dict[str, Resource]) -> None:
    settings = {
        "grpc": "ZFSCOPE_LISTEN",
        "metrics": "ZFSCOPE_METRICS_LISTEN",
        "health": "ZFSCOPE_HEALTH_LISTEN",
        "http": "ZFSCOPE_PAGE_LISTEN",
        "torchserve": "",
    }
    for pod in pods_of(resources):
        for container in containers_of(pod):
            for port in container.get("ports", ()):
                variables = container_variables(container)
                address = variables.get(settings[port["name"]], Settings().torchserve)
                assert address.rpartition(":")[2] == str(port["containerPort"])


def test_services_and_policies_use_ports_of_the_pods_that_they_select(resources: dict[str, Resource]) -> None:
    for resource in resources.values():
        spec = resource["spec"]
        if resource["kind"] == "Service":
            selector, ports = (
                {"matchLabels": spec["selector"]},
                [each["targetPort"] for each in spec["ports"]],
            )
        elif resource["kind"] == "NetworkPolicy":
            selector = spec["podSelector"]
            ports = [each["port"] for rule in spec["ingress"] for each in rule["ports"]]
        else:
            continue
        (pod,) = [pod for pod in pods_of(resources) if labels_match(selector, pod["metadata"]["labels"])]
        assert [port_number(port, pod) for port in ports]


def test_a_deployment_selects_its_pods(resources: dict[str, Resource]) -> None:
    for resource in resources.values():
        if resource["kind"] == "Deployment":
            spec = resource["spec"]
            assert labels_match(spec["selector"], spec["template"]["metadata"]["labels"])
            for constraint in spec["template"]["spec"].get("topologySpreadConstraints", ()):
                assert constraint["labelSelector"] == spec["selector"]


def test_the_disruption_budget_is_for_the_pods_of_the_service(resources: dict[str, Resource]) -> None:
    selector = resources["PodDisruptionBudget/zfscope"]["spec"]["selector"]
    assert selector == resources["Deployment/zfscope"]["spec"]["selector"]


def test_prometheus_reads_each_replica_once() -> None:
    resources = build_named(MANIFESTS / "overlays" / "production")
    spec = resources["ServiceMonitor/zfscope"]["spec"]
    (endpoint,) = spec["endpoints"]
    (service,) = [
        each
        for each in resources.values()
        if each["kind"] == "Service"
        and labels_match(spec["selector"], each["metadata"]["labels"])
        and endpoint["port"] in [port["name"] for port in each["spec"]["ports"]]
    ]
    assert service["metadata"]["labels"][spec["jobLabel"]] == "zfscope"
    assert resources["Deployment/zfscope"]["spec"]["selector"] == {"matchLabels": service["spec"]["selector"]}
    allowed = [rule["ports"] for rule in resources["NetworkPolicy/zfscope"]["spec"]["ingress"]]
    assert [{"port": 9464}] in allowed


def test_the_page_may_connect_to_the_service() -> None:
    resources = build_named(MANIFESTS / "overlays" / "page")
    service, page = (
        resources[f"Deployment/{name}"]["spec"]["template"] for name in ("zfscope", "zfscope-page")
    )
    (rule,) = resources["NetworkPolicy/zfscope"]["spec"]["ingress"]
    assert labels_match(rule["from"][0]["podSelector"], page["metadata"]["labels"])
    to_service, to_names = resources["NetworkPolicy/zfscope-page"]["spec"]["egress"]
    assert labels_match(to_service["to"][0]["podSelector"], service["metadata"]["labels"])
    target = page["spec"]["containers"][0]["args"][-1]
    name, port = re.fullmatch(r"dns:///([a-z-]+):(\d+)", target).groups()  # type: ignore[union-attr]
    assert [each["port"] for each in resources[f"Service/{name}"]["spec"]["ports"]][:1] == [int(port)]
    assert to_service["ports"] == [{"port": int(port)}]
    assert {each["port"] for each in to_names["ports"]} == {53}


def test_access_is_open_to_all_only_with_tls(resources: dict[str, Resource]) -> None:
    variables = {
        "zfscope": "ZFSCOPE_TLS_CERTIFICATE",
        "zfscope-page": "ZFSCOPE_PAGE_TLS_CERTIFICATE",
    }
    for name, variable in variables.items():
        if deployment := resources.get(f"Deployment/{name}"):
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            rule = resources[f"NetworkPolicy/{name}"]["spec"]["ingress"][0]
            assert ("from" not in rule) == (variable in own_variables(container))


def test_a_pod_has_longer_to_stop_than_it_needs(resources: dict[str, Resource]) -> None:
    settings = Settings()
    needed = {
        "zfscope": settings.lame_duck_s + settings.grace_s + LATE_CALLS_S,
        "page": page_serve._GRACE_S,
    }
    for pod in pods_of(resources):
        (container,) = pod["spec"]["containers"]
        before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > before_s + needed[container["name"]]


def test_probes_reach_the_service_as_it_listens(resources: dict[str, Resource]) -> None:
    for pod in pods_of(resources):
        (container,) = pod["spec"]["containers"]
        variables = own_variables(container)
        probes = [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
        for probe in probes:
            if "httpGet" in probe:
                tls = "ZFSCOPE_PAGE_TLS_CERTIFICATE" in variables
                assert probe["httpGet"].get("scheme", "HTTP") == ("HTTPS" if tls else "HTTP")
                assert probe["httpGet"]["path"] == "/healthz"
                assert port_number(probe["httpGet"]["port"], pod) == 8080
            elif "grpc" in probe:
                name = "health" if "ZFSCOPE_TLS_CERTIFICATE" in variables else "grpc"
                assert port_number(probe["grpc"]["port"], pod) == port_number(name, pod)
            else:
                assert port_number(probe["tcpSocket"]["port"], pod) == 50051


def test_a_failing_torchserve_does_not_restart_the_service(resources: dict[str, Resource]) -> None:
    (container,) = resources["Deployment/zfscope"]["spec"]["template"]["spec"]["containers"]
    uses_torchserve = own_variables(container).get("ZFSCOPE_RUNTIME") == "torchserve"
    assert ("tcpSocket" in container["livenessProbe"]) == uses_torchserve


def test_torchserve_is_a_sidecar_that_ends_after_the_service() -> None:
    pod = build_named(MANIFESTS / "overlays" / "torchserve")["Deployment/zfscope"]["spec"]["template"]
    (sidecar,) = pod["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    (command,) = re.findall(
        r"CMD (\[.*\])", DOCKERFILE.partition(" AS torchserve\n")[2].partition("ENTRYPOINT")[0]
    )
    for probe in ("startupProbe", "livenessProbe"):
        assert sidecar[probe]["exec"]["command"] == json.loads(command)


def test_images_are_built_by_targets_of_the_dockerfile(resources: dict[str, Resource]) -> None:
    for pod in pods_of(resources):
        for container in containers_of(pod):
            name, _, tag = container["image"].partition(":")
            assert (name, f" AS {tag}\n" in DOCKERFILE) == ("zfscope", True) or name == "zfscope-models"


def test_pods_are_restricted_and_write_to_mounted_volumes_only(resources: dict[str, Resource]) -> None:
    (user,) = set(re.findall(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)) - {"0"}
    for pod in pods_of(resources):
        spec = pod["spec"]
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        identity = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), int(user))
        profile = {"seccompProfile": {"type": "RuntimeDefault"}}
        assert spec["securityContext"] == {"runAsNonRoot": True, **identity, **profile}
        for container in containers_of(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            limits, requests = (container["resources"][name] for name in ("limits", "requests"))
            assert set(requests) == {"cpu", "memory"} <= set(limits)


def test_volumes_are_mounted_where_the_image_expects_them(resources: dict[str, Resource]) -> None:
    for pod in pods_of(resources):
        mounted = [mount for container in containers_of(pod) for mount in container["volumeMounts"]]
        assert {mount["name"] for mount in mounted} == {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in pod["spec"]["containers"]:
            image = image_variables(container)
            paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            expected = {
                "tmp": image["HOME"],
                "graphs": image.get("ZFSCOPE_CACHE"),
                "models": image.get("ZFSCOPE_STORE"),
                "secrets": "/run/secrets/zfscope",
            }
            assert paths.items() <= expected.items()
            assert image.get("ZFSCOPE_CACHE") == paths.get("graphs")
            secrets = {
                Path(value)
                for value in own_variables(container).values()
                if value.startswith(f"{expected['secrets']}/")
            }
            assert {path.name for path in secrets} - {"ca.crt"} in (set(), {"tls.crt", "tls.key", "token"})
            assert bool(secrets) == ("secrets" in paths)


def test_the_autoscaler_follows_the_queues() -> None:
    resources = build_named(MANIFESTS / "overlays" / "production")
    spec = resources["HorizontalPodAutoscaler/zfscope"]["spec"]
    target = resources[f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"]
    assert target["apiVersion"] == spec["scaleTargetRef"]["apiVersion"]
    assert "replicas" not in target["spec"]
    (group,) = resources["PrometheusRule/zfscope"]["spec"]["groups"]
    (rule,) = group["rules"]
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["record"]
    metrics = Metrics()
    metrics.record_wait("readers", 0.1)
    exposed = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert set(re.findall(r"zfscope_\w+", rule["expr"])) <= exposed


def test_gpu_replicas_are_updated_without_a_further_gpu() -> None:
    deployment = build_named(MANIFESTS / "overlays" / "gpu")["Deployment/zfscope"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["image"] == "zfscope:gpu"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert image_variables(container)["ZFSCOPE_DEVICE"] == "cuda"
