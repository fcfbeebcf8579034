"""Units as people type them."""

import pytest

from zfscope.cli.units import parse_unit
from zfscope.client import Unit
from zfscope.errors import InputError


@pytest.mark.parametrize(("text", "unit"), [("12", Unit(12)), ("0", Unit(0)), ("12:3:4", Unit(12, 3, 4))])
def test_a_unit_is_a_map_or_a_place_in_a_map(text: str, unit: Unit) -> None:
    assert parse_unit(text) == unit


@pytest.mark.parametrize("text", ["", "a", "-1", "1:2", "1:2:3:4", "1:2:", " 1", "1.0", "9" * 10, "1\n"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InputError, match=r"allowed are MAP .* and MAP:Y:X") as caught:
        parse_unit(text)
    assert caught.value.field == "unit"
