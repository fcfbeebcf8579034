"""Indexing a data set: the photos that activate each feature map most."""

from zfscope.datasets import DataSet, open_data
from zfscope.records import Record, RecordState
from zfscope.scan.build import build_index
from zfscope.scan.index import Index
from zfscope.scan.open import indexes_folder, open_index, verify_indexes
from zfscope.scan.plan import ScanPlan, plan_scan

__all__ = [
    "DataSet",
    "Index",
    "Record",
    "RecordState",
    "ScanPlan",
    "build_index",
    "indexes_folder",
    "open_data",
    "open_index",
    "plan_scan",
    "verify_indexes",
]
