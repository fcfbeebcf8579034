"""States of a record: values for programs and descriptions for people."""

import json

import pytest

from zfscope.records import RecordState
from zfscope.v1 import analysis_pb2


def test_states_match_the_wire_enum_in_order() -> None:
    names = [value.name for value in analysis_pb2.RecordState.DESCRIPTOR.values][1:]
    assert [f"RECORD_STATE_{state.name}" for state in RecordState] == names
    assert json.dumps(list(RecordState)) == '["ok", "differs", "changed", "gone", "silent", "dead"]'


@pytest.mark.parametrize(
    ("value", "lost", "has_view"),
    [
        ("ok", False, True),
        ("differs", True, True),
        ("changed", True, False),
        ("gone", True, False),
        ("silent", False, False),
        ("dead", False, False),
    ],
)
def test_a_state_knows_whether_its_photo_is_lost_and_shown(value: str, lost: bool, has_view: bool) -> None:
    state = RecordState(value)
    assert (str(state), state.lost, state.has_view) == (value, lost, has_view)


def test_every_state_has_a_distinct_meaning() -> None:
    meanings = [state.meaning for state in RecordState]
    assert len(set(meanings)) == len(meanings)
    assert all(meanings)
