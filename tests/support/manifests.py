"""The manifests of deploy/kubernetes, and what their containers get from the image."""

import re
from pathlib import Path

from tests.support.kustomize import Resource, build

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def build_named(folder: Path) -> dict[str, Resource]:
    """Return the resources of a kustomization by KIND/NAME."""
    return by_name(build(folder))


def by_name(resources: list[Resource]) -> dict[str, Resource]:
    """Return resources by KIND/NAME, which must be unique."""
    named = {f"{resource['kind']}/{resource['metadata']['name']}": resource for resource in resources}
    assert len(named) == len(resources)
    return named


def own_variables(container: Resource) -> dict[str, str]:
    """Return the variables that a manifest sets."""
    return {each["name"]: each["value"] for each in container.get("env", ())}


def image_variables(container: Resource) -> dict[str, str]:
    """Return the variables of the container's image: those of its stage, and of the stage that it extends."""
    target = container["image"].partition(":")[2]
    parent, stage = re.findall(rf"FROM (\S+) AS {target}\n(.*?)(?=\nFROM |\Z)", DOCKERFILE, re.DOTALL)[0]
    if parent == "service":
        stage = DOCKERFILE.partition(" AS service\n")[2].partition("\nFROM ")[0] + stage
    return dict(re.findall(r"\b([A-Z_]+)=(\S+?)(?: \\)?$", stage, re.MULTILINE))


def container_variables(container: Resource) -> dict[str, str]:
    """Return all variables of a container: those of the manifest replace those of the image."""
    return {**image_variables(container), **own_variables(container)}
