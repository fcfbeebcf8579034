"""Validation of an analyzer's result, the same for a service and for an analysis in this process."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.choices import PrecisionName
from zfscope.errors import BadAnalysis
from zfscope.results import (
    DTYPES,
    MAX_AXES,
    MAX_NOTICE_CHARS,
    MAX_NOTICES,
    Analysis,
    Cell,
    Notice,
    Picture,
    Table,
)

# Cells travel as doubles, which represent every integer exactly only up to here.
MAX_EXACT_INTEGER = 2**53

_CODE = re.compile(r"[a-z0-9-]{1,64}")


def validate_analysis(result: Any) -> Analysis:
    """Validate an analyzer's result and convert numpy scalars to Python numbers, booleans to 0 or 1.

    Raises BadAnalysis, naming the invalid item, if the result cannot be sent.
    """
    if not isinstance(result, Analysis):
        raise BadAnalysis(f"the result is {_kind(result)}; it must be an Analysis")
    return Analysis(
        tensors={name: _tensor(name, tensor) for name, tensor in _named("tensors", result.tensors)},
        pictures=_pictures(result.pictures),
        numbers={name: _number(name, number) for name, number in _named("numbers", result.numbers)},
        tables={name: _table(name, table) for name, table in _named("tables", result.tables)},
        warnings=_notices(result.warnings),
        precision=_precision(result.precision),
    )


def _precision(name: Any) -> str:
    known = [precision.value for precision in PrecisionName]
    if name not in known:
        raise BadAnalysis(f"the precision is {name!r:.80}; allowed: {', '.join(known)}")
    return str(name)


def _named(what: str, things: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(things, Mapping):
        raise BadAnalysis(f"{what} is {_kind(things)}; it must be a mapping from names")
    for name, thing in things.items():
        yield _text(name, f"a name in {what}"), thing


def _tensor(name: str, tensor: Any) -> NDArray[Any]:
    """Return a tensor as a plain numpy array; a numpy scalar becomes an array without axes."""
    if isinstance(tensor, np.generic):
        tensor = np.asarray(tensor)
    if fault := _kind_fault(tensor):
        raise BadAnalysis(f"the tensor '{name}' is {fault}")
    if tensor.ndim > MAX_AXES:
        raise BadAnalysis(f"the tensor '{name}' has {tensor.ndim} axes; allowed: at most {MAX_AXES}")
    if not tensor.size:
        raise BadAnalysis(f"the tensor '{name}' is empty: its shape is {tensor.shape}; leave it out")
    if not np.isfinite(tensor).all():
        raise BadAnalysis(f"the tensor '{name}' has non-finite values")
    return np.asarray(tensor)


def _kind_fault(tensor: Any) -> str:
    allowed = f"allowed: numpy arrays of {', '.join(DTYPES)}"
    if not isinstance(tensor, np.ndarray):
        if hasattr(tensor, "detach"):  # a torch tensor; torch is not imported here
            convert = "zfscope.analysis.contract.array(tensor)"
        else:
            convert = "np.asarray(values, np.float32)"
        return f"{_kind(tensor)}; {allowed}: convert it with {convert}"
    if tensor.dtype.name not in DTYPES:
        wanted = "np.uint8" if tensor.dtype == bool else "np.float32"
        return f"an array of {tensor.dtype}; {allowed}: convert it with tensor.astype({wanted})"
    if isinstance(tensor, np.ma.MaskedArray):
        return f"a masked array; {allowed}: convert it with tensor.filled(value)"
    return ""


def _pictures(pictures: Any) -> tuple[Picture, ...]:
    names = [_picture_name(picture) for picture in _sequence(pictures, "pictures")]
    _check_once(names, "pictures are named")
    return tuple(pictures)


def _picture_name(picture: Any) -> str:
    if not isinstance(picture, Picture):
        raise BadAnalysis(f"one of the pictures is {_kind(picture)}; it must be a Picture")
    name = _text(picture.name, "the name of a picture")
    _text(picture.scale, f"the scale of the picture '{name}'")
    png: Any = picture.png
    if not (isinstance(png, bytes) and png.startswith(b"\x89PNG")):
        raise BadAnalysis(f"the picture '{name}' is {_kind(png)}; it must be the bytes of a PNG file")
    return name


def _notices(notices: Any) -> tuple[Notice, ...]:
    warnings = _sequence(notices, "warnings")
    if len(warnings) > MAX_NOTICES:
        raise BadAnalysis(f"{len(warnings):,} warnings; allowed: at most {MAX_NOTICES}")
    return tuple(_notice(notice) for notice in warnings)


def _notice(notice: Any) -> Notice:
    if not isinstance(notice, Notice):
        raise BadAnalysis(f"one of the warnings is {_kind(notice)}; it must be a Notice")
    code: Any = notice.code
    if not (isinstance(code, str) and _CODE.fullmatch(code)):
        allowed = "1 to 64 of a-z, 0-9 and hyphens"
        raise BadAnalysis(f"the code of a warning is {code!a:.80}; it must be {allowed}")
    texts = [_text(text, f"the warning '{code}'") for text in (notice.message, notice.field)]
    if not texts[0] or max(map(len, texts)) > MAX_NOTICE_CHARS:
        raise BadAnalysis(
            f"the warning '{code}' has a message of {len(texts[0]):,} characters and a field of "
            f"{len(texts[1]):,}; allowed: 1 to {MAX_NOTICE_CHARS:,} and 0 to {MAX_NOTICE_CHARS:,}"
        )
    return Notice(code, *texts)


def _number(name: str, value: Any) -> float:
    number = _plain(value)
    if not isinstance(number, int | float):
        raise BadAnalysis(f"the number '{name}' is {_kind(value)}; it must be an int or a float")
    if fault := _number_fault(number):
        raise BadAnalysis(f"the number '{name}' is {fault}")
    return float(number)


def _table(name: str, table: Any) -> Table:
    if not isinstance(table, Table):
        raise BadAnalysis(f"the table '{name}' is {_kind(table)}; it must be a Table")
    what = f"the table '{name}'"
    names = _sequence(table.columns, f"the columns of {what}")
    columns = tuple(_text(column, f"a column of {what}") for column in names)
    _check_once(columns, f"columns of {what} are named")
    rows = enumerate(_sequence(table.rows, f"the rows of {what}"))
    return Table(columns, tuple(_row(columns, row, f"row {index} of {what}") for index, row in rows))


def _row(columns: Sequence[str], row: Any, what: str) -> tuple[Cell, ...]:
    cells = tuple(_plain(cell) for cell in _sequence(row, what))
    if len(cells) != len(columns):
        raise BadAnalysis(f"{what} has {len(cells)} cells; it must have {len(columns)}, one per column")
    for column, cell in zip(columns, cells, strict=True):
        if fault := _cell_fault(cell):
            raise BadAnalysis(f"'{column}' in {what} is {fault}")
    return cells


def _cell_fault(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return "" if _is_text(cell) else f"{cell!a:.80}, which is not valid Unicode"
    if isinstance(cell, int | float):
        return _number_fault(cell)
    return f"{_kind(cell)}; it must be a str, an int, a float or None"


def _number_fault(number: float) -> str:
    if isinstance(number, int):
        return f"an integer beyond {MAX_EXACT_INTEGER:,}" if abs(number) > MAX_EXACT_INTEGER else ""
    return "" if math.isfinite(number) else f"{number}, which is not finite"


def _plain(value: Any) -> Any:
    """Convert numpy scalars, booleans and enum members to plain Python values; return others unchanged."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | np.integer | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value)
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadAnalysis(f"{what} is {_kind(value)}; it must be a str")
    if not _is_text(value):
        raise BadAnalysis(f"{what} is {value!a:.80}, which is not valid Unicode")
    return str.__str__(value)


def _is_text(text: str) -> bool:
    """Return whether a string can be encoded as UTF-8; file names may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sequence(things: Any, what: str) -> Sequence[Any]:
    if not isinstance(things, tuple | list):
        raise BadAnalysis(f"{what} is {_kind(things)}; it must be a tuple")
    return things


def _check_once(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise BadAnalysis(f"{names.count(name)} {what} '{name}'; names must be unique")


def _kind(thing: object) -> str:
    return type(thing).__name__
