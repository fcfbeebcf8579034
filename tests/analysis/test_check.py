"""Validation of an analyzer's result: allowed contents, conversions and error messages."""

import enum
import json
from typing import Any

import numpy as np
import pytest
import torch

from zfscope.analysis.check import validate_analysis
from zfscope.errors import BadAnalysis
from zfscope.results import Analysis, Notice, Picture, Table
from zfscope.wire.tensors import tensor_from_wire, tensor_to_wire

PNG = b"\x89PNG\r\n\x1a\n"


class Colour(str, enum.Enum):  # noqa: UP042  (common before StrEnum)
    RED = "red"


class Subclass(np.ndarray[Any, Any]):
    """A subclass of numpy's array."""


class Position(enum.IntEnum):
    FIRST = 1


def table(*rows: Any, columns: Any = ("a", "b")) -> Analysis:
    return Analysis(tables={"t": Table(columns, rows)})


def test_a_valid_analysis_is_returned_unchanged() -> None:
    tensors = {
        "point": np.array(0.5, np.float32),
        "deep": np.zeros((1,) * 8, np.float16),
        "counts": np.array([1, -2]),
        "levels": np.zeros((2, 3), np.uint8),
        "other-order": np.array([1, 2], ">f4"),
    }
    analysis = Analysis(
        tensors=tensors,
        pictures=(Picture("seen", PNG, "grey is zero"), Picture("again", PNG, "")),
        numbers={"mean": 0.5, "count": 3},
        tables={"t": Table(("a", "ä"), (("x", 2**53), (None, -1.5)))},
    )
    result = validate_analysis(analysis)
    assert (result.pictures, result.numbers) == (analysis.pictures, analysis.numbers)
    assert result.tables == analysis.tables
    assert validate_analysis(Analysis(precision="bfloat16")).precision == "bfloat16"
    assert all(result.tensors[name] is tensor for name, tensor in tensors.items())


@pytest.mark.parametrize("precision", ["float16", "", None, 32])
def test_an_unknown_precision_is_rejected(precision: Any) -> None:
    with pytest.raises(BadAnalysis, match=r"the precision is .*; allowed: float32, tf32, bfloat16"):
        validate_analysis(Analysis(precision=precision))


@pytest.mark.parametrize(
    "tensor",
    [
        np.float32(0.5),
        np.int64(3),
        np.arange(12, dtype=np.float32).reshape(3, 4)[::-1, ::2],
        np.array([1, 2], ">i8"),
        np.ones((1, 1), np.float32).view(Subclass),
    ],
    ids=repr,
)
def test_scalars_and_arrays_of_any_layout_can_be_sent(tensor: Any) -> None:
    array = validate_analysis(Analysis(tensors={"map": tensor})).tensors["map"]
    assert (type(array), array.shape) == (np.ndarray, tensor.shape)
    sent = tensor_from_wire(tensor_to_wire(array), field="map")
    np.testing.assert_array_equal(sent, tensor)


def test_an_empty_analysis_is_valid() -> None:
    assert validate_analysis(Analysis()).tables == {}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int64(-7), -7),
        (np.uint8(7), 7),
        (np.bool_(True), 1),
        (True, 1),
        (Position.FIRST, 1),
        (np.str_("red"), "red"),
        (Colour.RED, "red"),
        (None, None),
    ],
    ids=repr,
)
def test_a_numpy_cell_becomes_a_python_value(value: Any, plain: Any) -> None:
    ((cell,),) = validate_analysis(table((value,), columns=("a",))).tables["t"].rows
    assert (type(cell), cell) == (type(plain), plain)
    assert json.loads(json.dumps(cell)) == plain


@pytest.mark.parametrize("value", [np.float32(3), np.int64(3), np.float64(3), 3, Position(1) + 2], ids=repr)
def test_every_number_becomes_a_float(value: Any) -> None:
    number = validate_analysis(Analysis(numbers={"n": value})).numbers["n"]
    assert (type(number), number) == (float, 3.0)


def test_rows_and_columns_may_be_lists() -> None:
    assert validate_analysis(table([1, 2], columns=["a", "b"])).tables["t"] == Table(("a", "b"), ((1, 2),))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, "the result is NoneType; it must be an Analysis"),
        ({"numbers": {}}, "the result is dict; it must be an Analysis"),
        (Analysis(tensors=[np.zeros(2)]), "tensors is list; it must be a mapping from names"),
        (Analysis(numbers=None), "numbers is NoneType; it must be a mapping from names"),
    ],
)
def test_a_result_of_another_type_is_rejected(result: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^{expected}$"):
        validate_analysis(result)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (
            np.zeros(2),
            r"is an array of float64; allowed: numpy arrays of uint8, int64, float16, float32: "
            r"convert it with tensor.astype\(np.float32\)$",
        ),
        (np.array(["a"]), "is an array of <U1; allowed:"),
        (np.array([None, 1]), "is an array of object; allowed:"),
        (
            np.zeros(2, bool),
            r"is an array of bool; allowed: .*: convert it with tensor.astype\(np.uint8\)$",
        ),
        (np.float64(1), "is an array of float64; allowed:"),
        ([1.0], r"is list; allowed: .*: convert it with np.asarray\(values, np.float32\)$"),
        (1.0, "is float; allowed:"),
        (None, "is NoneType; allowed:"),
        (
            torch.zeros(2),
            r"is Tensor; allowed: .*: convert it with zfscope.analysis.contract.array\(tensor\)$",
        ),
        (
            np.ma.masked_equal(np.ones(2, np.float32), 1),
            r"is a masked array; .* with tensor.filled\(value\)$",
        ),
        (np.array([1, np.nan], np.float32), "has non-finite values"),
        (np.array([1, -np.inf], np.float16), "has non-finite values"),
        (np.zeros((1,) * 9, np.uint8), "has 9 axes; allowed: at most 8"),
        (np.zeros((3, 0), np.uint8), r"is empty: its shape is \(3, 0\); leave it out"),
    ],
)
def test_an_invalid_tensor_is_rejected_by_name(tensor: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^the tensor 'map' {expected}"):
        validate_analysis(Analysis(tensors={"map": tensor}))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (float("nan"), "nan, which is not finite"),
        (np.float32("-inf"), "-inf, which is not finite"),
        ("0.5", "str; it must be an int or a float"),
        (None, "NoneType; it must be an int or a float"),
        (1j, "complex; it must be an int or a float"),
        ([1.0], "list; it must be an int or a float"),
        (np.array(1.0), "ndarray; it must be an int or a float"),
        (10**400, "an integer beyond 9,007,199,254,740,992"),
    ],
)
def test_an_invalid_number_is_rejected_by_name(number: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^the number 'mean' is {expected}$"):
        validate_analysis(Analysis(numbers={"mean": number}))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (float("nan"), "nan, which is not finite"),
        (np.float16("inf"), "inf, which is not finite"),
        ([1, 2], "list; it must be a str, an int, a float or None"),
        (b"red", "bytes; it must be a str, an int, a float or None"),
        (np.zeros(1), "ndarray; it must be a str, an int, a float or None"),
        (2**53 + 1, "an integer beyond 9,007,199,254,740,992"),
        ("\udce4.jpg", r"'\\udce4.jpg', which is not valid Unicode"),
    ],
)
def test_an_invalid_cell_is_rejected_by_row_and_column(cell: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^'b' in row 1 of the table 't' is {expected}$"):
        validate_analysis(table((1, 2), (3, cell)))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Analysis(tables={"t": [[1]]}), "the table 't' is list; it must be a Table"),
        (table((1,)), "row 0 of the table 't' has 1 cells; it must have 2, one per column"),
        (table("xy"), "row 0 of the table 't' is str; it must be a tuple"),
        (
            Analysis(tables={"t": Table((), iter(()))}),
            "the rows of the table 't' is .*iterator; it must be",
        ),
        (table(columns="ab"), "the columns of the table 't' is str; it must be a tuple"),
        (table(columns=("a", 1)), "a column of the table 't' is int; it must be a str"),
        (
            table(columns=("a", "b", "a")),
            "2 columns of the table 't' are named 'a'; names must be unique",
        ),
    ],
)
def test_a_malformed_table_is_rejected(result: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^{expected}"):
        validate_analysis(result)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (Picture("p", PNG, ""), "pictures is Picture; it must be a tuple"),
        ((PNG,), "one of the pictures is bytes; it must be a Picture"),
        ((Picture("p", b"GIF89a", ""),), "the picture 'p' is bytes; it must be the bytes of a PNG file"),
        ((Picture("p", None, ""),), "the picture 'p' is NoneType; it must be the bytes of a PNG file"),
        ((Picture(7, PNG, ""),), "the name of a picture is int; it must be a str"),
        ((Picture("p", PNG, None),), "the scale of the picture 'p' is NoneType; it must be a str"),
        ((Picture("p", PNG, ""), Picture("q", PNG, ""), Picture("p", PNG, "")), "2 pictures are named 'p'; "),
    ],
)
def test_invalid_or_duplicate_pictures_are_rejected(pictures: Any, expected: str) -> None:
    with pytest.raises(BadAnalysis, match=f"^{expected}"):
        validate_analysis(Analysis(pictures=pictures))


@pytest.mark.parametrize("name", [5, ("a",), None])
@pytest.mark.parametrize("kind", ["tensors", "numbers", "tables"])
def test_a_name_must_be_a_string(kind: str, name: Any) -> None:
    with pytest.raises(BadAnalysis, match=f"^a name in {kind} is {type(name).__name__}; it must be a str$"):
        validate_analysis(Analysis(**{kind: {name: np.zeros(1, np.uint8)}}))


def test_a_name_must_be_valid_unicode() -> None:
    with pytest.raises(BadAnalysis, match=r"^a name in numbers is '\\udce4', which is not valid Unicode$"):
        validate_analysis(Analysis(numbers={"\udce4": 1}))


def test_warnings_are_returned_unchanged() -> None:
    notices = (Notice("assumed-bit-depth", "read as 12 bits", "images[0]"), Notice("b", "x"))
    assert validate_analysis(Analysis(warnings=notices)).warnings == notices


@pytest.mark.parametrize(
    ("warnings", "message"),
    [
        ("text", "warnings is str; it must be a tuple"),
        (("text",), "one of the warnings is str; it must be a Notice"),
        ((Notice("x", "y"),) * 21, "21 warnings; allowed: at most 20"),
        ((Notice("Bad Code", "y"),), "the code of a warning is 'Bad Code'; it must be 1 to 64 of a-z"),
        ((Notice(None, "y"),), "the code of a warning is None; it must be 1 to 64 of a-z"),  # type: ignore[arg-type]
        ((Notice("x", 7),), "the warning 'x' is int; it must be a str"),  # type: ignore[arg-type]
        ((Notice("x", "\ud800"),), "the warning 'x' is .*, which is not valid Unicode"),
        ((Notice("x", ""),), "the warning 'x' has a message of 0 characters and a field of 0; allowed: 1"),
        ((Notice("x", "y" * 1001),), "a message of 1,001 characters"),
        ((Notice("x", "y", "z" * 1001),), "a field of 1,001"),
    ],
)
def test_an_invalid_warning_is_rejected(warnings: Any, message: str) -> None:
    with pytest.raises(BadAnalysis, match=message):
        validate_analysis(Analysis(warnings=warnings))
