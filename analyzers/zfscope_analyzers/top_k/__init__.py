"""Strongest photos of feature maps from an index: projections next to their image patches (Fig 2)."""

from zfscope_analyzers.top_k.analyzer import TopKAnalyzer
from zfscope_analyzers.top_k.page import TopKParams

__all__ = ["TopKAnalyzer", "TopKParams"]
