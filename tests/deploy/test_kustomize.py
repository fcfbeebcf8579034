"""The reader of kustomizations that tests of the manifests use, on documents by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.kustomize import apply_patch, build


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/list/-", "value": 3}, {"list": [1, 2, 3], "map": {"a/b": 1}}),
        ({"op": "add", "path": "/list/0", "value": 3}, {"list": [3, 1, 2], "map": {"a/b": 1}}),
        ({"op": "add", "path": "/new", "value": 3}, {"list": [1, 2], "map": {"a/b": 1}, "new": 3}),
        ({"op": "replace", "path": "/list/1", "value": 3}, {"list": [1, 3], "map": {"a/b": 1}}),
        ({"op": "replace", "path": "/map/a~1b", "value": 3}, {"list": [1, 2], "map": {"a/b": 3}}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2], "map": {"a/b": 1}}),
        ({"op": "remove", "path": "/map"}, {"list": [1, 2]}),
        ({"op": "test", "path": "/list/0", "value": 1}, {"list": [1, 2], "map": {"a/b": 1}}),
    ],
)
def test_operations_change_a_document_as_rfc_6902_says(operation: dict[str, Any], expected: Any) -> None:
    document = {"list": [1, 2], "map": {"a/b": 1}}
    apply_patch(document, [operation])
    assert document == expected


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ({"op": "test", "path": "/a", "value": 2}, ValueError),
        ({"op": "copy", "path": "/a", "from": "/b"}, ValueError),
        ({"op": "replace", "path": "/b", "value": 2}, KeyError),
        ({"op": "remove", "path": "/b"}, KeyError),
        ({"op": "add", "path": "/b/c", "value": 2}, KeyError),
    ],
)
def test_operations_on_something_else_are_errors(operation: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        apply_patch({"a": 1}, [operation])


@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("namePrefix: a-", "unsupported fields: namePrefix"),
        ("patches: [{path: patch.yaml, target: {kind: Pod, name: a}}]", "Pod a, which does not exist"),
    ],
)
def test_what_the_reader_cannot_build_is_an_error(tmp_path: Path, kustomization: str, message: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(kustomization)
    (tmp_path / "patch.yaml").write_text("[]")
    with pytest.raises(ValueError, match=message):
        build(tmp_path)
