"""Explanations of a class by several methods and models, side by side and measured."""

from zfscope_analyzers.explain.analyzer import Explain
from zfscope_analyzers.explain.params import ExplainParams

__all__ = ["Explain", "ExplainParams"]
