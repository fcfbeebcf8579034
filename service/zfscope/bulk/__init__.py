"""Analyses of whole data sets: one analysis per photo, resumable, with results in tables and arrays."""

from zfscope.bulk.build import analyze_photos
from zfscope.bulk.host import SingleModelHost
from zfscope.bulk.manifest import RunManifest
from zfscope.bulk.open import read_run
from zfscope.bulk.work import AnalysisTask, PhotoAnalyzer

__all__ = [
    "AnalysisTask",
    "PhotoAnalyzer",
    "RunManifest",
    "SingleModelHost",
    "analyze_photos",
    "read_run",
]
