"""Location of the model store."""

from pathlib import Path

from zfscope.errors import NotFound

STORE = "model_store"


def find_store(store: Path | None) -> Path:
    """Return the path of the model store: `store`, else ./model_store, else that of an editable checkout.

    Raises NotFound, naming every path tried, if it does not exist.
    """
    if store is not None:
        if not store.is_dir():
            reason = "not a folder" if store.exists() else "no such folder"
            raise NotFound(f"no model store at '{store}': {reason}", field="store")
        return store
    candidates = dict.fromkeys((Path.cwd() / STORE, _checkout() / STORE))  # equal when run from the checkout
    for path in candidates:
        if path.is_dir():
            return path
    tried = " or ".join(f"'{path}'" for path in candidates)
    raise NotFound(f"no model store at {tried}; name one with --store or ZFSCOPE_STORE", field="store")


def find_target_store(store: Path | None) -> Path:
    """Return the path of the store that models are added to: the one that is read, else ./model_store.

    A new folder next to an existing store of the checkout would hide its models.
    """
    if store is not None:
        return store
    try:
        return find_store(None)
    except NotFound:
        return Path(STORE)


def _checkout() -> Path:
    """Return the root of the repository if the package runs from a checkout."""
    return Path(__file__).parents[2]
