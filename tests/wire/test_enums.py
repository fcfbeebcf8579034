"""Conversion between enums and their names."""

import pytest

from zfscope.errors import InputError
from zfscope.v1.analysis_pb2 import (
    RULE_GUIDED,
    RULE_UNSPECIFIED,
    TRANSFORMATION_SCALE,
    TRANSFORMATION_VERTICAL,
    Rule,
    Transformation,
)
from zfscope.v1.model_pb2 import CHANNEL_ORDER_BGR, CHANNEL_ORDER_GREY, ChannelOrder
from zfscope.wire.enums import enum_from_wire, enum_to_wire, enums_from_wire


def test_a_value_becomes_its_name_without_prefix_in_lower_case() -> None:
    assert enum_from_wire(Rule.DESCRIPTOR, RULE_GUIDED, field="rule") == "guided"


def test_a_channel_order_is_in_upper_case() -> None:
    assert enum_from_wire(ChannelOrder.DESCRIPTOR, CHANNEL_ORDER_BGR, field="channels") == "BGR"
    assert enum_to_wire(ChannelOrder.DESCRIPTOR, "BGR", field="channels") == CHANNEL_ORDER_BGR
    assert enum_to_wire(ChannelOrder.DESCRIPTOR, "grey", field="channels") == CHANNEL_ORDER_GREY
    with pytest.raises(InputError, match="'GREY' is not valid; allowed: RGB, BGR, grey"):
        enum_to_wire(ChannelOrder.DESCRIPTOR, "GREY", field="channels")


def test_unspecified_becomes_none() -> None:
    assert enum_from_wire(Rule.DESCRIPTOR, RULE_UNSPECIFIED, field="rule") is None


def test_a_name_becomes_its_value() -> None:
    assert enum_to_wire(Rule.DESCRIPTOR, "guided", field="rule") == RULE_GUIDED


def test_an_undefined_value_is_rejected_with_the_allowed_names() -> None:
    with pytest.raises(
        InputError, match="value 9 is not valid; allowed: RULE_DECONVNET, RULE_GUIDED, RULE_GRADIENT"
    ):
        enum_from_wire(Rule.DESCRIPTOR, 9, field="rule")


def test_the_values_of_a_repeated_field_become_names_in_order() -> None:
    values = [TRANSFORMATION_SCALE, TRANSFORMATION_VERTICAL]
    assert enums_from_wire(Transformation.DESCRIPTOR, values, field="kinds") == ["scale", "vertical"]
    assert enums_from_wire(Transformation.DESCRIPTOR, [], field="kinds") == []


@pytest.mark.parametrize("value", [0, 9, -1])
def test_invalid_values_of_a_repeated_field_are_rejected_with_their_index(value: int) -> None:
    message = f"value {value} is not valid; allowed: TRANSFORMATION_VERTICAL, TRANSFORMATION_HORIZONTAL, "
    with pytest.raises(InputError, match=message) as refusal:
        enums_from_wire(Transformation.DESCRIPTOR, [TRANSFORMATION_SCALE, value], field="kinds")

    assert refusal.value.field == "kinds[1]"


@pytest.mark.parametrize("word", ["sideways", "unspecified", ""])
def test_an_unknown_name_is_rejected_with_the_allowed_names(word: str) -> None:
    with pytest.raises(
        InputError, match=f"'{word}' is not valid; allowed: deconvnet, guided, gradient"
    ) as refusal:
        enum_to_wire(Rule.DESCRIPTOR, word, field="rule")

    assert refusal.value.field == "rule"
