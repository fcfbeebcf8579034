"""Comparison of architectures by the criteria of Sec 4.1: first-layer filters and aliasing in layer 2."""

from zfscope_analyzers.architectures.analyzer import CompareArchitectures, compare, comparison_result, cost
from zfscope_analyzers.architectures.measure import Measurements, measure

__all__ = ["CompareArchitectures", "Measurements", "compare", "comparison_result", "cost", "measure"]
