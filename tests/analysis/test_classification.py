"""Lookup of classes by id or name."""

from typing import Any

import pytest

from zfscope.analysis.contract import class_number
from zfscope.errors import InputError, NotFound
from zfscope.store import Label


class LabelledModel:
    """A model, and its manifest, with nothing but labels."""

    def __init__(self, *names: str) -> None:
        self.labels = tuple(Label(id=f"n{index}", name=name) for index, name in enumerate(names))
        self.manifest = self


def index_of(model: Any, label: str) -> int:
    return class_number(model, label, field="labels[3]")


@pytest.mark.parametrize("label", ["n2", "cat"])
def test_a_class_is_found_by_id_or_by_name(label: str) -> None:
    assert index_of(LabelledModel("ant", "bee", "cat"), label) == 2


def test_an_id_takes_precedence_over_a_name() -> None:
    assert index_of(LabelledModel("n1", "bee", "n1"), "n1") == 1


def test_an_unknown_class_is_reported_with_the_known_ones() -> None:
    with pytest.raises(
        NotFound, match=r"^label 'Cat' not found; this model has 'ant' \(n0\), 'cat' \(n1\)$"
    ) as refusal:
        index_of(LabelledModel("ant", "cat"), "Cat")
    assert refusal.value.field == "labels[3]"


def test_only_the_first_ten_known_classes_are_listed() -> None:
    with pytest.raises(NotFound, match=r"'bird 9' \(n9\) and 1,002 more$"):
        index_of(LabelledModel(*(f"bird {index}" for index in range(1_012))), "cow")


def test_a_name_shared_by_several_classes_is_rejected_with_their_ids() -> None:
    cranes = LabelledModel("crane", "bee", "crane")
    with pytest.raises(
        InputError, match=r"^2 labels are named 'crane'; use an id instead: n0, n2$"
    ) as refusal:
        index_of(cranes, "crane")
    assert refusal.value.field == "labels[3]"
    assert index_of(cranes, "n2") == 2
