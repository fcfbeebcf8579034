"""Builds kustomizations as `kubectl kustomize` does, as far as those of deploy/kubernetes need it.

Known are resources, components, and JSON patches (RFC 6902) with a target of kind and name. kustomize ignores
patches whose target is missing; here they are errors.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]
KUSTOMIZATION = "kustomization.yaml"
_FIELDS = {"apiVersion", "kind", "resources", "components", "patches"}


def build(folder: Path) -> list[Resource]:
    """Return the resources of a folder with a kustomization. Raises ValueError for what is not supported."""
    resources: list[Resource] = []
    _add(folder, resources)
    return resources


def _add(folder: Path, resources: list[Resource]) -> None:
    """Add the resources of a folder, and apply its components and patches to all resources added so far."""
    kustomization = yaml.safe_load((folder / KUSTOMIZATION).read_text())
    if unknown := sorted(set(kustomization) - _FIELDS):
        raise ValueError(f"{folder / KUSTOMIZATION} has unsupported fields: {', '.join(unknown)}")
    for name in kustomization.get("resources", ()):
        if (path := folder / name).is_dir():
            resources += build(path)
        else:
            resources += yaml.safe_load_all(path.read_text())
    for name in kustomization.get("components", ()):
        _add(folder / name, resources)
    for patch in kustomization.get("patches", ()):
        apply_patch(_find(resources, **patch["target"]), yaml.safe_load((folder / patch["path"]).read_text()))


def _find(resources: Iterable[Resource], kind: str, name: str) -> Resource:
    for resource in resources:
        if (resource["kind"], resource["metadata"]["name"]) == (kind, name):
            return resource
    raise ValueError(f"a patch changes {kind} {name}, which does not exist")


def apply_patch(document: Any, operations: Iterable[dict[str, Any]]) -> None:
    """Apply a JSON patch (RFC 6902) of the operations add, remove, replace and test to a document, in place.

    Raises ValueError for a failed test and other operations, LookupError for a path that does not exist.
    """
    for operation in operations:
        *parents, last = _keys_of(operation["path"])
        parent = document
        for key in parents:
            parent = parent[int(key) if isinstance(parent, list) else key]
        _apply(operation, parent, int(last) if isinstance(parent, list) and last != "-" else last)


def _keys_of(pointer: str) -> Iterator[str]:
    """Yield the parts of a JSON pointer (RFC 6901)."""
    return (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _apply(operation: dict[str, Any], parent: Any, key: Any) -> None:
    match operation["op"]:
        case "add" if isinstance(parent, list):
            parent.insert(len(parent) if key == "-" else key, operation["value"])
        case "add":
            parent[key] = operation["value"]
        case "remove":
            del parent[key]
        case "replace":
            del parent[key]  # it must exist
            _apply({**operation, "op": "add"}, parent, key)
        case "test":
            if parent[key] != operation["value"]:
                raise ValueError(f"{operation['path']} is {parent[key]!r}, not {operation['value']!r}")
        case other:
            raise ValueError(f"operation {other!r} is not supported; use add, remove, replace or test")
