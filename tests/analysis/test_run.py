"""Parsing of parameters, checks of costs against the budget, and validation of results."""

import asyncio
import signal
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field, model_validator

from zfscope.analysis.contract import Analysis, Context, Picture
from zfscope.analysis.registry import RegisteredAnalyzer
from zfscope.analysis.run import (
    check_cost,
    check_photos,
    default_cost,
    read_params,
    run,
    translate_errors,
    validate_result,
)
from zfscope.errors import AnalyzerFailed, BadAnalysis, Cancelled, InputError, NotFound, TooMuchWork

PICTURE = Picture("seen", b"\x89PNG\r\n\x1a\n", "nothing")


class Part(BaseModel):
    side: int = Field(gt=0)


class Params(BaseModel):
    window: int = Field(default=32, ge=1)
    other: int = Field(default=0, alias="the-window")
    parts: tuple[Part, ...] = ()


class Fake:
    name = "fake"
    summary = "Returns a given result"
    api_version = 2
    photos = (2, 3)
    params = Params

    def __init__(self, result: Any = None) -> None:
        self.result = result

    def cost(self, model: Any, params: Params) -> int:
        if params.window == 7:
            raise NotFound("no such layer")
        return 1000 * params.window

    def analyze(self, context: Context, params: Params) -> Analysis:
        return self.result


REGISTERED = RegisteredAnalyzer(Fake(), "zfscope-fake", "1.2")


def context(precision: str = "float32", **options: Any) -> Context:
    runtime: Any = SimpleNamespace(precision=precision)  # Fake uses neither this nor the model
    return Context(model=None, runtime=runtime, images=(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("runtime", "stated", "expected"),
    [("bfloat16", "float32", "float32"), ("tf32", "float32", "tf32"), ("float32", "bfloat16", "bfloat16")],
)
def test_a_result_is_as_coarse_as_traces_at_least(runtime: str, stated: str, expected: str) -> None:
    result = validate_result(context(precision=runtime), Analysis(precision=stated))
    assert result.precision == expected


def test_omitted_parameters_have_their_defaults() -> None:
    assert read_params(Fake(), {}) == Params(window=32)


def test_whole_floats_are_accepted_for_integers() -> None:
    assert read_params(Fake(), {"window": 16.0}) == Params(window=16)


def test_every_invalid_field_is_reported() -> None:
    with pytest.raises(InputError, match="window is 0: ") as refusal:
        read_params(Fake(), {"window": 0, "parts": [{"side": 1}, {"side": -2}]})
    assert refusal.value.field == "window"
    assert list(refusal.value.fields) == ["window", "parts[1].side"]
    assert refusal.value.fields["parts[1].side"].startswith("-2: ")


def test_the_field_of_the_parameters_is_the_prefix_of_error_fields() -> None:
    with pytest.raises(InputError) as refusal:
        read_params(Fake(), {"parts": [{}]}, under="parameters")
    assert refusal.value.field == "parameters.parts[0].side"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("window", "parameters.window"),
        ("parts[0].side", "parameters.parts[0].side"),
        ("the-window", "parameters.the-window"),
        ("windows", "windows"),
        ("images", "images"),
        ("images[1].encoded", "images[1].encoded"),
        ("parameters", "parameters"),
        ("model", "model"),
        ("", ""),
    ],
)
def test_a_parameter_rejected_by_an_analyzer_is_named_with_the_prefix(field: str, expected: str) -> None:
    error = InputError("too large", field=field, fields={field: "is 9"})
    with (
        pytest.raises(InputError, match="too large") as refusal,
        translate_errors(REGISTERED, under="parameters"),
    ):
        raise error
    assert (refusal.value.field, refusal.value.fields) == (expected, {expected: "is 9"})


def test_a_parameter_of_a_typed_request_is_named_without_a_prefix() -> None:
    with pytest.raises(NotFound) as refusal, translate_errors(REGISTERED):
        raise NotFound("no such layer", field="window")
    assert refusal.value.field == "window"


@pytest.mark.parametrize("error", [KeyError("rows"), BadAnalysis("'rows'"), OSError("'rows'")])
def test_a_bug_in_an_analyzer_is_reported_with_its_package(error: Exception) -> None:
    expected = rf"^analyzer 'fake' \(zfscope-fake 1\.2\) failed: {type(error).__name__}: 'rows'; this is a"
    with (
        pytest.raises(AnalyzerFailed, match=expected) as fault,
        translate_errors(REGISTERED, under="parameters"),
    ):
        raise error
    assert fault.value.__cause__ is error
    assert fault.value.field == ""


def test_errors_of_zfscope_are_not_translated() -> None:
    error = Cancelled("gone")
    with pytest.raises(Cancelled) as passed, translate_errors(REGISTERED, under="parameters"):
        raise error
    assert passed.value is error


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("translated", [False, True])
def test_ctrl_c_ends_the_command_even_if_the_analyzer_translates_it(translated: bool) -> None:
    def stop() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise (RuntimeError("stopped") if translated else error) from None

    with pytest.raises(KeyboardInterrupt), translate_errors(REGISTERED), translate_errors(REGISTERED):
        stop()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class UncaughtError(BaseException):
    """An exception that no `except Exception` catches."""


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyboardInterrupt(), "KeyboardInterrupt: ;"),
        (SystemExit(0), "SystemExit: 0;"),
        (GeneratorExit("bye"), "GeneratorExit: bye;"),
        (asyncio.CancelledError("bye"), "CancelledError: bye;"),
        (StopIteration("bye"), "StopIteration: bye;"),
        (StopAsyncIteration("bye"), "StopAsyncIteration: bye;"),
        (UncaughtError("bye"), "UncaughtError: bye;"),
        (Mute(), "Mute (its message cannot be read);"),
        (ValueError("a\x1b[2J\x9bb\r\u202ec\nd"), "ValueError: a\\x1b[2J\\x9bb\\r\\u202ec\nd;"),
        (ValueError("ab" * 10**6), f"ValueError: {'ab' * 1000} ... (2,000,000 characters);"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_without_ctrl_c_is_reported_as_a_bug(error: BaseException, expected: str) -> None:
    with pytest.raises(AnalyzerFailed) as fault, translate_errors(REGISTERED, under="parameters"):
        raise error
    assert fault.value.message == (
        f"analyzer 'fake' (zfscope-fake 1.2) failed: {expected} this is a bug in the package"
    )
    assert (fault.value.analyzer, fault.value.package, fault.value.version) == ("fake", "zfscope-fake", "1.2")
    assert fault.value.__cause__ is error


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (float("nan"), "nan (float)"),
        (float("inf"), "inf (float)"),
        (2.5, "2.5 (float)"),
        (-1, "-1 (int)"),
        (None, "None (NoneType)"),
        ("3", "'3' (str)"),
        (2**63, "9223372036854775808 (int)"),
        (10**5000, "an integer of over 64 bits (int)"),
        (np.zeros(2), "array([0., 0.]) (ndarray)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_invalid_cost_is_reported_as_a_bug(
    monkeypatch: pytest.MonkeyPatch, cost: Any, expected: str
) -> None:
    model: Any = None
    monkeypatch.setattr(Fake, "cost", lambda *_: cost)
    with pytest.raises(AnalyzerFailed) as fault, translate_errors(REGISTERED):
        check_cost(Fake(), model, Params(), 5_000, photos=1)
    allowed = "an int from 0 to 9,223,372,036,854,775,807"
    assert (
        f"BadAnalysis: cost() returned {expected}; it must return {allowed}; this is" in fault.value.message
    )
    assert default_cost(Fake(), model) is None


@pytest.mark.parametrize("cost", [0, True, np.int64(1)])
def test_a_cost_of_any_integer_type_is_accepted(monkeypatch: pytest.MonkeyPatch, cost: Any) -> None:
    monkeypatch.setattr(Fake, "cost", lambda *_: cost)
    check_cost(Fake(), None, Params(), 1, photos=1)  # type: ignore[arg-type]  # unused by Fake
    assert default_cost(Fake(), None) == int(cost)  # type: ignore[arg-type]


def test_the_default_cost_is_none_if_computing_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "cost", lambda *_: 1 // 0)
    assert default_cost(Fake(), None) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_or_too_many_photos_are_rejected(count: int) -> None:
    with pytest.raises(InputError, match=rf"{count} photos?; 'fake' takes 2 to 3") as refusal:
        check_photos(Fake(), count)
    assert refusal.value.field == "images"


def test_a_cost_over_the_budget_is_rejected() -> None:
    model: Any = None
    check_cost(Fake(), model, Params(window=5), 5_000, photos=1)
    with pytest.raises(
        TooMuchWork, match=r"would cost 32,000 forward passes.*allowed: at most 5,000"
    ) as refusal:
        check_cost(Fake(), model, Params(), 5_000, photos=1, under="parameters")
    assert refusal.value.field == "parameters"


def test_the_cost_is_multiplied_by_the_number_of_photos() -> None:
    model: Any = None
    check_cost(Fake(), model, Params(window=5), 15_000, photos=3)
    with pytest.raises(
        TooMuchWork, match="cost 20,000 forward passes with these parameters, 5,000 for each photo;"
    ):
        check_cost(Fake(), model, Params(window=5), 15_000, photos=4)


def test_the_default_cost_is_none_if_a_parameter_is_required() -> None:
    assert default_cost(Fake(), None) == 32_000  # type: ignore[arg-type]

    class RequiredParams(BaseModel):
        boxes: str

    fake = Fake()
    fake.params = RequiredParams  # type: ignore[misc, assignment]
    assert default_cost(fake, None) is None  # type: ignore[arg-type]


def test_parts_that_were_not_requested_are_dropped() -> None:
    result = Analysis(tensors={"a": np.zeros(2, np.float32)}, pictures=(PICTURE,), numbers={"n": 1})
    assert run(Fake(result), context(), Params()).tensors == {}
    assert run(Fake(result), context(), Params()).pictures == (PICTURE,)
    analysis = run(Fake(result), context(pictures=False, tensors=True), Params())
    assert (list(analysis.tensors), analysis.pictures, analysis.numbers) == (["a"], (), {"n": 1})


def test_an_invalid_result_is_rejected() -> None:
    with pytest.raises(BadAnalysis, match="the result is NoneType; it must be an Analysis"):
        run(Fake(), context(), Params())


def test_parts_that_were_not_requested_are_validated_too() -> None:
    with pytest.raises(BadAnalysis, match="the tensor 'map' is empty"):
        run(Fake(Analysis(tensors={"map": np.zeros(0, np.uint8)})), context(), Params())


def test_a_partial_result_is_validated_like_a_complete_one() -> None:
    with pytest.raises(BadAnalysis, match="the number 'mean' is nan"):
        validate_result(context(), Analysis(numbers={"mean": float("nan")}))


def test_a_cancelled_call_is_not_started() -> None:
    def check_cancelled() -> None:
        raise Cancelled("the client cancelled the call or disconnected")

    with pytest.raises(Cancelled):
        run(Fake(Analysis()), context(check_cancelled=check_cancelled), Params())


def test_a_list_with_an_invalid_item_is_not_reported_as_too_short() -> None:
    class Listed(BaseModel):
        steps: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    class Listing(Fake):
        params = Listed

    with pytest.raises(InputError, match=r"^steps\[1\] is -1: Input should be greater") as refusal:
        read_params(Listing(), {"steps": [3, -1]})
    assert set(refusal.value.fields) == {"steps[1]"}
    with pytest.raises(InputError, match=r"^steps is \[\]: List should have at least 1 item"):
        read_params(Listing(), {"steps": []})


def test_errors_show_values_in_the_terms_of_the_request() -> None:
    class Corner(BaseModel):
        x: int | None = None

        @model_validator(mode="after")
        def _reject_none(self) -> "Corner":
            if self.x is None:
                raise ValueError("set x")
            return self

    class Corners(BaseModel):
        corners: tuple[Corner, ...] = ()
        control: Literal[1] | None = None

    class Cornered(Fake):
        params = Corners

    def message(values: dict[str, Any]) -> str:
        with pytest.raises(InputError) as refusal:
            read_params(Cornered(), values)
        return str(refusal.value)

    assert message({"corners": [{"x": None}]}) == "corners[0] is invalid: set x"
    assert message({"corners": [Corner.model_construct()]}) == "corners[0] is invalid: set x"
    assert message({"corners": [None]}) == "corners[0] is invalid: Input should be a JSON object"
    assert message({"corners": {}}) == "corners is invalid: Input should be a list"
    assert message({"corners": [{"x": 1e99}]}) == "corners[0].x is 1e+99: Input is too large for an integer"
    assert message({"control": False}) == "control is false: Input should be 1"
