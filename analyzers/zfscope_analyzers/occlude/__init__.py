"""Occlusion sensitivity: how class scores and a feature map respond to occluded regions (Sec 4.2, Fig 7)."""

from zfscope_analyzers.occlude.analyzer import Occlude
from zfscope_analyzers.occlude.params import OccludeParams

__all__ = ["Occlude", "OccludeParams"]
