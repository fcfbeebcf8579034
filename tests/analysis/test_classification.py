"""Lookup of classes by id or name."""

from typing import Any

import pytest

from zfscope.analysis.contract import class_number
from zfscope.errors import InputError, NotFound
from zfscope.store import Label


class Named:
    """A model that has nothing but labels."""

    def __init__(self, *names: str) -> None:
        self.labels = tuple(Label(id=f"n{place}", name=name) for place, name in enumerate(names))


def number(model: Any, label: str) -> int:
    return class_number(model, label, field="labels[3]")


@pytest.mark.parametrize("label", ["n2", "cat"])
def test_a_class_is_named_by_its_id_or_by_its_name(label: str) -> None:
    assert number(Named("ant", "bee", "cat"), label) == 2


def test_an_id_comes_before_a_name() -> None:
    assert number(Named("n1", "bee", "n1"), "n1") == 1


def test_an_unknown_class_is_reported_with_the_known_ones() -> None:
    with pytest.raises(
        NotFound, match=r"^label 'Cat' not found; this model has 'ant' \(n0\), 'cat' \(n1\)$"
    ) as refusal:
        number(Named("ant", "cat"), "Cat")
    assert refusal.value.field == "labels[3]"


def test_only_the_first_ten_known_classes_are_listed() -> None:
    with pytest.raises(NotFound, match=r"'bird 9' \(n9\) and 1,002 more$"):
        number(Named(*(f"bird {place}" for place in range(1_012))), "cow")


def test_a_name_of_several_classes_is_refused_with_their_ids() -> None:
    cranes = Named("crane", "bee", "crane")
    with pytest.raises(
        InputError, match=r"^2 labels are named 'crane'; use an id instead: n0, n2$"
    ) as refusal:
        number(cranes, "crane")
    assert refusal.value.field == "labels[3]"
    assert number(cranes, "n2") == 2
