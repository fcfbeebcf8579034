"""Opening a store of models."""

import os
from pathlib import Path

from zfscope.location import find_store
from zfscope.store.store import ModelStore


def open_store(
    store: str | os.PathLike[str] | None = None, *, indexes: str | os.PathLike[str] | None = None
) -> ModelStore:
    """Open a store of models.

    store: folder of the store; by default $ZFSCOPE_STORE, ./model_store, or the model_store of an editable
    checkout. indexes: see `ModelStore`. Raises NotFound if no store is found.
    """
    named = store or os.environ.get("ZFSCOPE_STORE")
    return ModelStore(find_store(Path(named) if named else None), indexes=Path(indexes) if indexes else None)
