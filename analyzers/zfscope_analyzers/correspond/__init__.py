"""Correspondence: whether covering the same part of different photos changes features alike (Sec 4.3)."""

from zfscope_analyzers.correspond.analyzer import Correspond
from zfscope_analyzers.correspond.params import CorrespondParams

__all__ = ["Correspond", "CorrespondParams"]
