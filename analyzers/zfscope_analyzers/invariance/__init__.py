"""Invariance: how far features and class move when a photo is moved, scaled or turned (Fig 5)."""

from zfscope_analyzers.invariance.analyzer import Invariance
from zfscope_analyzers.invariance.params import InvarianceParams

__all__ = ["Invariance", "InvarianceParams"]
