"""A comparison as an analysis: named tensors, a picture and a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.analysis.contract import Analysis, picture
from zfscope.scan import Index
from zfscope_analyzers.architectures.figure import figure
from zfscope_analyzers.architectures.measure import Measures
from zfscope_analyzers.architectures.table import table


def result(measures: Sequence[Measures], indexes: Sequence[Index] = (), *, pictures: bool = True) -> Analysis:
    """Give the table and the picture `architectures`, and the tensors of each model.

    Tensors are named `NAME-VERSION-filters` and so on. indexes: one of each model, for the dead maps of
    all its layers, or none. pictures: whether to draw.
    """
    tensors = {
        f"{each.name}-{each.version}-{key}": np.ascontiguousarray(values, np.float32)
        for each in measures
        for key, values in _arrays(each).items()
    }
    return Analysis(
        tensors=tensors,
        pictures=(picture("architectures", figure(measures, indexes)),) if pictures else (),
        tables={"architectures": table(measures, indexes)},
    )


def _arrays(measures: Measures) -> Mapping[str, NDArray[Any]]:
    """Give what numbers cannot tell; shapes and units as in `Measures`, `Sizes` and `Spectrum`."""
    spectrum = measures.spectrum
    return {
        "filters": measures.filters,
        "rms": measures.sizes.rms,
        "rms-renormalised": measures.sizes.renormalised,
        "shares": spectrum.shares,
        "peaks": spectrum.peaks,
        "frequencies": spectrum.frequencies,
        "density": spectrum.density,
        "profile": measures.profile,
        **{f"maxima-{layer}": values for layer, values in measures.maxima.items()},
    }
