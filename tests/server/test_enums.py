"""Enums as words."""

import pytest

from zfscope.errors import InputError
from zfscope.server.enums import enum_from_wire, enum_to_wire
from zfscope.v1.analysis_pb2 import RULE_GUIDED, RULE_UNSPECIFIED, Rule
from zfscope.v1.model_pb2 import CHANNEL_ORDER_BGR, ChannelOrder


def test_a_value_is_the_lower_case_end_of_its_name() -> None:
    assert enum_from_wire(Rule.DESCRIPTOR, RULE_GUIDED, field="rule") == "guided"
    assert enum_from_wire(ChannelOrder.DESCRIPTOR, CHANNEL_ORDER_BGR, field="channels") == "bgr"


def test_unspecified_is_no_word() -> None:
    assert enum_from_wire(Rule.DESCRIPTOR, RULE_UNSPECIFIED, field="rule") is None


def test_every_word_finds_its_value() -> None:
    assert enum_to_wire(Rule.DESCRIPTOR, "guided", field="rule") == RULE_GUIDED


def test_a_number_without_a_name_is_refused_with_the_names_that_are_allowed() -> None:
    with pytest.raises(
        InputError, match="value 9 is not allowed; RULE_DECONVNET, RULE_GUIDED, RULE_GRADIENT are"
    ):
        enum_from_wire(Rule.DESCRIPTOR, 9, field="rule")


@pytest.mark.parametrize("word", ["sideways", "unspecified", ""])
def test_a_word_that_is_none_is_refused_with_the_words_that_are_allowed(word: str) -> None:
    with pytest.raises(
        InputError, match=f"'{word}' is not allowed; deconvnet, guided, gradient are"
    ) as refusal:
        enum_to_wire(Rule.DESCRIPTOR, word, field="rule")

    assert refusal.value.field == "rule"
