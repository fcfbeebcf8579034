"""Architectures compared by what Sec 4.1 chose one by: first filters, their frequencies, grids in layer 2."""

from zfscope.analysis.architectures.compare import compare, cost
from zfscope.analysis.architectures.measure import Measures, measure
from zfscope.analysis.architectures.result import result

__all__ = ["Measures", "compare", "cost", "measure", "result"]
