"""The course of a training: its stored epochs, each with its weights and its index."""

import re
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, NonNegativeInt

from zfscope.analysis.contract import Context
from zfscope.errors import InputError, NotFound
from zfscope.networks.spec import layers_of_maps
from zfscope.records import MOST_EVOLVED_MAPS
from zfscope.scan import indexes_folder
from zfscope.scan.open import epoch_index_name, index_names
from zfscope.store import Model, ModelStore
from zfscope_analyzers.params import MapsOrPage
from zfscope_analyzers.top_k.page import Page, TopKParams, page_of

_AT_AN_EPOCH = re.compile(r"(.+)-epoch-\d{3,}")
_MOST_EPOCHS = 32


class EvolveParams(MapsOrPage):
    """Which maps to follow through a training, and at which epochs."""

    index: str = Field(
        default="",
        description="That of the final weights, by its name NAME; those of epochs are NAME-epoch-005. "
        "Empty: the only NAME there is.",
    )
    layer: str = Field(default="conv3", description="Whose maps: a convolutional layer, or one above it.")
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MOST_EVOLVED_MAPS,
        description="Which maps; empty: the `count` strongest at the end, from `first` on.",
    )
    count: int = Field(
        default=6, ge=1, le=MOST_EVOLVED_MAPS, description="How many maps, when none are given."
    )
    first: NonNegativeInt = Field(default=0, description="How many of the strongest maps to pass over.")
    epochs: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=_MOST_EPOCHS,
        description="After which epochs, besides the end; empty: all that have an index.",
    )
    settling: bool = Field(default=True, description="Measure how fast the maps settle, too.")


@dataclass(frozen=True, eq=False)
class Stop:
    """The model as it was after an epoch, None for the end, and the strongest photo of each map then."""

    epoch: int | None
    model: Model
    page: Page

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.model.manifest.epoch_label(self.epoch)


@dataclass(frozen=True, eq=False)
class Course:
    """The stops of a training, the end last: the same maps of the same layer, among the same photos."""

    stops: tuple[Stop, ...]

    @property
    def end(self) -> Stop:
        """The final weights."""
        return self.stops[-1]

    @property
    def layer(self) -> str:
        """The layer of the maps."""
        return self.end.page.layer

    @property
    def maps(self) -> tuple[int, ...]:
        """The maps, in the order in which they are shown."""
        return self.end.page.maps


def course_of(context: Context, params: EvolveParams) -> Course:
    """Look up what is asked for.

    Raises NotFound where the model has no checkpoints, or no such layer, map or epoch; where an epoch has
    no index, with the command that makes it; and where an index lacks the layer. Raises InputError for a
    fully connected layer, where an index has to be named, and where indexes are of different photos or rank
    them by sums.
    """
    store, model = _store_with_checkpoints(context), context.model
    _check_kept(model, params.layer)
    base = params.index or _only_base(model)
    epochs = _epochs(model, base, params)
    end = Stop(None, model, page_of(context, _wanted(params, base)))
    stops = [_stop(context, store, epoch, base, end.page) for epoch in epochs]
    for stop in (*stops, end):
        _check_alike(stop.page, end.page)
    return Course((*stops, end))


def _store_with_checkpoints(context: Context) -> ModelStore:
    if context.store is None:
        raise NotFound("there is no store to find checkpoints in", field="model")
    if not context.model.manifest.checkpoints:
        kept = [found.title for found in context.store.manifests() if found.checkpoints]
        message = (
            f"{context.model.manifest.title} has no checkpoints; {', '.join(kept) or 'no model'} has. "
            "Training keeps them: zfscope train --checkpoints 1,2,5"
        )
        raise NotFound(message, field="model")
    return context.store


def _check_kept(model: Model, layer: str) -> None:
    """Raise unless checkpoints keep the layer: they end where maps become a vector."""
    model.network.spec.layer(layer)
    kept = [known.name for known in layers_of_maps(model.network.spec).layers]
    if layer not in kept:
        message = f"layer '{layer}' is no layer of maps; checkpoints keep those alone: {', '.join(kept)}"
        raise InputError(message, field="layer")


def _only_base(model: Model) -> str:
    names = index_names(indexes_folder(model))
    at_epochs = {found[1] for found in map(_AT_AN_EPOCH.fullmatch, names) if found}
    bases = sorted(at_epochs) or names
    if not bases:
        title, first = model.manifest.title, model.manifest.checkpoints[0].epoch
        commands = f"{_command(model)} and {_command(model, first)}"
        raise NotFound(f"{title} has no indexes; make them: {commands}", field="index")
    if len(bases) > 1:
        message = f"{model.manifest.title} has several indexes; name one of {', '.join(bases)}"
        raise InputError(message, field="index")
    return bases[0]


def _epochs(model: Model, base: str, params: EvolveParams) -> list[int]:
    """Return the epochs, ascending: those asked for, or those that have an index."""
    kept, there = model.manifest.early_epochs, index_names(indexes_folder(model))
    for place, epoch in enumerate(params.epochs):
        try:
            model.manifest.checkpoint(epoch)
        except NotFound as error:
            raise NotFound(error.message, field=f"epochs[{place}]") from error
    epochs = sorted(params.epochs or [epoch for epoch in kept if epoch_index_name(base, epoch) in there])
    missing = [epoch for epoch in epochs or kept if epoch_index_name(base, epoch) not in there]
    if missing:
        numbers = ", ".join(str(epoch) for epoch in missing)
        message = (
            f"{model.manifest.title} has no index '{base}' of epoch {numbers}; "
            f"make it: {_command(model, missing[0], base)}"
        )
        raise NotFound(message, field="epochs" if params.epochs else "index")
    return epochs


def _command(model: Model, epoch: int | None = None, base: str = "") -> str:
    words = f"zfscope index DATA --model {model.name}"
    if epoch is not None:
        words += f" --checkpoint {epoch}"
    return f"{words} --name {epoch_index_name(base, epoch)}" if base and epoch is not None else words


def _stop(context: Context, store: ModelStore, epoch: int, base: str, end: Page) -> Stop:
    context.check_cancelled()
    model = store.load_checkpoint(context.model.name, epoch, context.model.version)
    wanted = TopKParams(index=epoch_index_name(base, epoch), layer=end.layer, maps=end.maps, top=1)
    return Stop(epoch, model, page_of(replace(context, model=model), wanted))


def _wanted(params: EvolveParams, base: str) -> TopKParams:
    which: dict[str, Any] = {"maps": params.maps}
    if not params.maps:
        which = {"count": params.count, "first": params.first}
    return TopKParams(index=base, layer=params.layer, top=1, **which)


def _check_alike(page: Page, end: Page) -> None:
    """Raise InputError where the strongest photos of two indexes cannot be compared."""
    found, wanted = page.index.manifest.origin, end.index.manifest.origin
    if found.data.fingerprint != wanted.data.fingerprint:
        message = f"indexes '{page.index.name}' and '{end.index.name}' are of different photos"
        raise InputError(f"{message}; make them of the same DATA: zfscope index", field="index")
    if found.rank != "max":
        message = (
            f"index '{page.index.name}' ranks photos by the sum of a map, not by its strongest activation"
        )
        raise InputError(f"{message}; make it without --rank", field="index")
