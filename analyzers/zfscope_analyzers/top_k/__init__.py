"""The strongest photos of maps, out of an index: projections beside the patches they come from (Fig 2)."""

from zfscope_analyzers.top_k.analyzer import TopK
from zfscope_analyzers.top_k.page import TopKParams

__all__ = ["TopK", "TopKParams"]
