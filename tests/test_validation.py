"""Messages for invalid data: path, allowed values and closest name."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zfscope.validation import first_fault, unknown_name


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Box(Strict):
    left: int = 0
    right: int = 0


class Circle(Strict):
    kind: Literal["circle"] = "circle"
    radius: int = 1


class Square(Strict):
    kind: Literal["square"] = "square"
    side: int = 1


class Params(Strict):
    window: int = 3
    stride: int = Field(default=1, gt=0)
    the_name: str = Field(default="", alias="the-name")
    box: Box | None = None
    boxes: tuple[Box, ...] = ()
    pair: tuple[Box, Square] | None = None
    named: dict[str, Box] = {}
    shapes: tuple[Annotated[Circle | Square, Field(discriminator="kind")], ...] = ()
    either: Box | Square | None = None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"windw": 1},
            "windw: is not known; allowed: window, stride, the-name, box, boxes, pair, named, shapes, "
            "either; did you mean 'window'?",
        ),
        ({"box": {"lefft": 1}}, "box.lefft: is not known; allowed: left, right; did you mean 'left'?"),
        ({"boxes": [{}, {"up": 1}]}, "boxes[1].up: is not known; allowed: left, right"),
        (
            {"pair": [{}, {"sid": 1}]},
            "pair[1].sid: is not known; allowed: kind, side; did you mean 'side'?",
        ),
        ({"named": {"a": {"top": 1}}}, "named.a.top: is not known; allowed: left, right"),
        (
            {"shapes": [{"kind": "square", "sides": 1}]},
            "shapes[0].square.sides: is not known; allowed: kind, side; did you mean 'side'?",
        ),
        (
            {"either": {"side": 1, "top": 1}},
            "either.Box.side: is not known; allowed: left, right, kind, side",
        ),
        ({"stride": 0}, "stride: Input should be greater than 0"),
    ],
)
def test_the_first_error_is_reported_with_the_allowed_values(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Params.model_validate(data)
    assert first_fault(caught.value, Params).startswith(message)


def test_the_message_states_that_no_names_are_allowed() -> None:
    assert unknown_name("x", ()) == "is not known; nothing is allowed here"


def test_a_long_list_of_names_is_truncated() -> None:
    names = [f"name{number}" for number in range(100)]
    assert unknown_name("zzz", names).endswith("name39, ...")
