"""Importers: networks defined elsewhere, added to the store without changing their architecture."""

from zfscope.store.importing.formats import FORMATS, read_definition
from zfscope.store.importing.imported import ImportedModel
from zfscope.store.importing.publish import publish

__all__ = ["FORMATS", "ImportedModel", "publish", "read_definition"]
