"""Feature invariance under translation, scaling and rotation of a photo (Fig 5)."""

from zfscope_analyzers.invariance.analyzer import InvarianceAnalyzer
from zfscope_analyzers.invariance.params import InvarianceParams

__all__ = ["InvarianceAnalyzer", "InvarianceParams"]
