"""Where the store of models is."""

from pathlib import Path

from zfscope.errors import NotFound

STORE = "model_store"


def find_store(store: Path | None) -> Path:
    """Return the model store: the one that is named, else ./model_store, else that of an editable checkout.

    Raises NotFound, with every place that was looked at, where there is none.
    """
    if store is not None:
        if not store.is_dir():
            reason = "not a folder" if store.exists() else "no such folder"
            raise NotFound(f"no model store at '{store}': {reason}", field="store")
        return store
    places = dict.fromkeys((Path.cwd() / STORE, _checkout() / STORE))  # one, from inside the checkout
    for place in places:
        if place.is_dir():
            return place
    looked = " or ".join(f"'{place}'" for place in places)
    raise NotFound(f"no model store at {looked}; name one with --store or ZFSCOPE_STORE", field="store")


def _checkout() -> Path:
    """Return the repository that this file is in, where the package runs from one."""
    return Path(__file__).parents[2]
