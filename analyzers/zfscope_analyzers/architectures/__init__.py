"""Architectures compared by what Sec 4.1 chose one by: first filters, their frequencies, grids in layer 2."""

from zfscope_analyzers.architectures.analyzer import CompareArchitectures, compare, cost, result
from zfscope_analyzers.architectures.measure import Measures, measure

__all__ = ["CompareArchitectures", "Measures", "compare", "cost", "measure", "result"]
