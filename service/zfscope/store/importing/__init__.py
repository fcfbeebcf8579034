"""Networks that others defined, brought into the store as what they are."""

from zfscope.store.importing.formats import FORMATS, read_definition
from zfscope.store.importing.imported import Imported
from zfscope.store.importing.publish import publish

__all__ = ["FORMATS", "Imported", "publish", "read_definition"]
