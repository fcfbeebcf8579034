"""Other models of the store, for analyses of several models."""

from zfscope.analysis.contract import Context
from zfscope.errors import InputError, NotFound
from zfscope.store import Model


def load_named(context: Context, reference: str, field: str) -> Model:
    """Load a model by NAME or NAME:VERSION. Raises InputError and NotFound, naming the field."""
    name, _, version = reference.partition(":")
    if version and not version.isdecimal():
        raise InputError(
            f"{field} is '{reference}'; a model is named as NAME or NAME:VERSION, such as zfnet:1",
            field=field,
        )
    if context.store is None:
        raise NotFound("no model store to load other models from", field=field)
    try:
        return context.store.load(name, int(version) if version else None)
    except NotFound as error:
        raise NotFound(str(error), field=field) from error
