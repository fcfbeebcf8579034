"""Correspondence analysis: whether occluding the same part changes features consistently (Sec 4.3)."""

from zfscope_analyzers.correspond.analyzer import Correspond
from zfscope_analyzers.correspond.params import CorrespondParams

__all__ = ["Correspond", "CorrespondParams"]
