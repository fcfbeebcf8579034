"""The reader of data sets that all commands share: which files are photos, which are not and why."""

from zfscope.datasets.dataset import DataSet, Photo
from zfscope.datasets.listing import open_data
from zfscope.datasets.passed_over import PassedOver
from zfscope.datasets.read import UnusablePhoto, read_photo

__all__ = ["DataSet", "PassedOver", "Photo", "UnusablePhoto", "open_data", "read_photo"]
