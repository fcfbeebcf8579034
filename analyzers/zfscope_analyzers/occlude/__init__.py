"""Occlusion: what the network no longer says when a part of the photo is covered (Sec 4.2, Fig 7)."""

from zfscope_analyzers.occlude.analyzer import Occlude
from zfscope_analyzers.occlude.params import OccludeParams

__all__ = ["Occlude", "OccludeParams"]
