"""Warnings about class names that are easily confused."""

import pytest

from zfscope.datasets.names import similar_classes


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ["Cat", "cat", "dog"],
            "classes 'Cat', 'cat' differ only in case, spaces or Unicode normalisation; merge",
        ),
        (["a", "a ", "b"], "classes 'a', 'a ' differ"),
        (["a  b", "a b"], "classes 'a  b', 'a b' differ"),
        (["cafe\u0301", "caf\xe9"], r"classes 'cafe\u0301', 'caf\xe9' differ"),
        (["\u0416", "\u0436"], "classes '\u0416', '\u0436' differ"),
    ],
)
def test_similar_class_names_are_reported(classes: list[str], message: str) -> None:
    (warning,) = similar_classes(classes)
    assert warning.startswith(message)


def test_different_class_names_are_not_reported() -> None:
    assert not list(similar_classes(["cat", "cats", "c at", "cafe", "caf\xe9", "b\udce9"]))
