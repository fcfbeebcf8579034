"""The attribution to measure: given as a file or made by another analyzer, and checked."""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import ATTRIBUTION, Context, Notice, Subanalysis
from zfscope.errors import InputError
from zfscope.rounding import is_level

# Attribution of each pixel of the network's input, float32 (rows, columns).
Attribution = NDArray[np.float32]


class MethodResult(NamedTuple):
    """Attribution that an analyzer gives, and its warnings."""

    attribution: Attribution
    warnings: tuple[Notice, ...]


def read_attribution(data: bytes, size: tuple[int, int]) -> Attribution:
    """Read a .npy file of numbers, (rows, columns).

    Raises InputError for another file, for another size and for values that are not finite.
    """
    values = _read_array(data, size)
    if values.dtype.kind not in "fiu":
        raise _error(f"has values of type {values.dtype}; allowed: real numbers")
    if not np.isfinite(values).all():
        raise _error("has values that are not finite; allowed: finite numbers")
    with np.errstate(over="ignore"):
        attribution: Attribution = values.astype(np.float32)
    if not np.isfinite(attribution).all():
        raise _error("has values beyond the range of float32; scale them")
    return attribution


def _read_array(data: bytes, size: tuple[int, int]) -> NDArray[np.generic]:
    file = io.BytesIO(data)
    try:
        # The header first: the array of a wrong size is not allocated.
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
        if shape == size and not dtype.hasobject:
            array: NDArray[np.generic] = np.load(io.BytesIO(data), allow_pickle=False)
            return array
    except (ValueError, EOFError, OSError) as error:
        raise _error(f"is not a .npy file: {error}") from error
    if dtype.hasobject:
        raise _error("has values of type object; allowed: real numbers")
    raise _error(f"has the shape {shape}; the network's input has {size}, rows and columns")


def attribution_of(
    context: Context, other: Subanalysis, class_index: int | None, share: tuple[float, float]
) -> MethodResult:
    """Return the attribution that another analyzer gives of a class in a photo.

    Raises InputError, with the parameter that names the analyzer, if it gives none of the network's input.
    """
    result = context.analyze(other, class_index=class_index, share=share)
    size = context.images[0].views.shape[1:3]
    values = result.tensors.get(ATTRIBUTION)
    if values is None:
        raise InputError(
            f"{other.field} is '{other.analyzer}', which gives no tensor '{ATTRIBUTION}' with these "
            "parameters; name an analyzer that explains a class, such as occlude",
            field=other.field,
        )
    if values.shape != size:
        raise InputError(
            f"{other.field} is '{other.analyzer}', whose tensor '{ATTRIBUTION}' has the shape "
            f"{values.shape}; the network's input has {size}, rows and columns",
            field=other.field,
        )
    return MethodResult(values.astype(np.float32), result.warnings)


def check_ranks_pixels(attribution: Attribution, name: str, field: str) -> None:
    """Raise InputError if an attribution is the same everywhere, up to rounding. name: for the message."""
    if is_level(attribution):
        raise InputError(
            f"{name} is {float(np.median(attribution)):.3g} at every pixel, which ranks none before "
            "another; choose another class or method",
            field=field,
        )


def _error(fault: str) -> InputError:
    return InputError(f"{ATTRIBUTION} {fault}", field=ATTRIBUTION)
