"""Data sets of photos: listing them, reading photos, and counting the files skipped."""

from zfscope.datasets.dataset import DataSet, Photo
from zfscope.datasets.listing import open_data
from zfscope.datasets.read import UnusablePhoto, read_photo
from zfscope.datasets.skipped_files import SkippedFiles

__all__ = ["DataSet", "Photo", "SkippedFiles", "UnusablePhoto", "open_data", "read_photo"]
