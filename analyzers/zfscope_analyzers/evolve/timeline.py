"""Timeline of a training run: its stored epochs, each with its weights and its index."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, NonNegativeInt

from zfscope.analysis.contract import Context
from zfscope.errors import InputError, NotFound
from zfscope.networks.landmarks import middle_convolution
from zfscope.networks.lookup import list_layers
from zfscope.networks.spec import NetworkSpec, convolutional_part
from zfscope.records import MAX_EVOLVED_MAPS
from zfscope.scan import indexes_folder
from zfscope.scan.open import epoch_index_name, index_names
from zfscope.store import Model, ModelStore
from zfscope_analyzers.params import MapSelection, with_layer
from zfscope_analyzers.top_k.page import Page, TopKParams, load_page

_EPOCH_INDEX_NAME = re.compile(r"(.+)-epoch-\d{3,}")
_MAX_EPOCHS = 32


class EvolveParams(MapSelection):
    """Feature maps to follow during training, and the epochs at which to show them."""

    index: str = Field(
        default="",
        description="Name of the index of the final weights; with NAME, the indexes of epochs are called "
        "NAME-epoch-005 and so on. Empty: the only index.",
    )
    layer: str = Field(
        default="",
        description="Layer of the feature maps: a convolutional layer, or the rectification, pooling or "
        "normalisation after one. Empty: the model's middle convolution, or the middle indexed one.",
    )
    maps: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=MAX_EVOLVED_MAPS,
        description="Feature maps to show; empty: the `count` strongest at the end of training, after the "
        "first `first`.",
    )
    count: int = Field(
        default=6, ge=1, le=MAX_EVOLVED_MAPS, description="Number of maps, if `maps` is empty."
    )
    first: NonNegativeInt = Field(default=0, description="Number of strongest maps to skip.")
    epochs: tuple[NonNegativeInt, ...] = Field(
        default=(),
        max_length=_MAX_EPOCHS,
        description="Epochs to show in addition to the end of training; empty: all that have an index.",
    )
    settling: bool = Field(default=True, description="Also measure how fast the maps settle.")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The model after an epoch, None for the end of training, and the strongest photo of each map then."""

    epoch: int | None
    model: Model
    page: Page

    @property
    def label(self) -> str:
        """Label of the epoch in figures."""
        return self.model.manifest.epoch_label(self.epoch)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Snapshots of a training run, the final one last: the same maps of one layer, among the same photos."""

    snapshots: tuple[Snapshot, ...]

    @property
    def final(self) -> Snapshot:
        """Snapshot with the final weights."""
        return self.snapshots[-1]

    @property
    def layer(self) -> str:
        """Layer of the maps."""
        return self.final.page.layer

    @property
    def maps(self) -> tuple[int, ...]:
        """Numbers of the maps, in the order in which they are shown."""
        return self.final.page.maps


def load_timeline(context: Context, params: EvolveParams) -> Timeline:
    """Load the checkpoints and the index pages of the requested maps and epochs.

    Raises NotFound if the model has no checkpoints or lacks the layer, map or epoch; if an epoch has no index
    (the message has the command that makes it); and if an index lacks the layer. Raises InputError for a
    fully connected layer, if several indexes exist and none is named, and if indexes are of different photos
    or rank photos by sums.
    """
    store, model = _store_with_checkpoints(context), context.model
    if params.layer:
        params = with_layer(params, model.spec)
        _check_has_checkpointed(model, params.layer)
    base = params.index or _default_base(model)
    epochs = _epochs(model, base, params)
    page = load_page(context, _final_params(params, base), default=_middle_layer)
    _check_has_checkpointed(model, page.layer)
    end = Snapshot(None, model, page)
    snapshots = [_snapshot(context, store, epoch, base, end.page) for epoch in epochs]
    for snapshot in (*snapshots, end):
        _check_comparable(snapshot.page, end.page)
    return Timeline((*snapshots, end))


def _store_with_checkpoints(context: Context) -> ModelStore:
    if context.store is None:
        raise NotFound("no model store to load checkpoints from", field="model")
    if not context.model.manifest.checkpoints:
        others = [manifest.title for manifest in context.store.manifests() if manifest.checkpoints]
        message = (
            f"{context.model.manifest.title} has no checkpoints; models with checkpoints: "
            f"{', '.join(others) or 'none'}. Create some with: zfscope train --checkpoints 1,2,5"
        )
        raise NotFound(message, field="model")
    return context.store


def _check_has_checkpointed(model: Model, layer: str) -> None:
    """Raise unless checkpoints hold the layer: they end where feature maps are flattened to a vector."""
    available = _checkpointed(model.spec)
    if layer not in available:
        message = (
            f"layer '{layer}' has no feature maps; checkpoints hold only layers that have: "
            f"{list_layers(model.spec, available)}"
        )
        raise InputError(message, field="layer")


def _checkpointed(spec: NetworkSpec) -> list[str]:
    return [layer.name for layer in convolutional_part(spec).layers]


def _middle_layer(spec: NetworkSpec, indexed: Sequence[str]) -> str:
    """Return the middle convolution of the indexed layers that checkpoints hold, or else the last layer."""
    available = set(_checkpointed(spec)).intersection(indexed)
    return middle_convolution(spec, available) if available else indexed[-1]


def _default_base(model: Model) -> str:
    names = index_names(indexes_folder(model))
    at_epochs = {match[1] for match in map(_EPOCH_INDEX_NAME.fullmatch, names) if match}
    bases = sorted(at_epochs) or names
    if not bases:
        title, first = model.manifest.title, model.manifest.checkpoints[0].epoch
        commands = f"{_command(model)} and {_command(model, first)}"
        raise NotFound(f"{title} has no indexes; build them with: {commands}", field="index")
    if len(bases) > 1:
        message = f"{model.manifest.title} has several indexes; name one of {', '.join(bases)}"
        raise InputError(message, field="index")
    return bases[0]


def _epochs(model: Model, base: str, params: EvolveParams) -> list[int]:
    """Return the epochs to show, ascending: the requested ones, or else those that have an index."""
    checkpoints, indexes = model.manifest.early_epochs, index_names(indexes_folder(model))
    for index, epoch in enumerate(params.epochs):
        try:
            model.manifest.checkpoint(epoch)
        except NotFound as error:
            raise NotFound(error.message, field=f"epochs[{index}]") from error
    epochs = sorted(
        params.epochs or [epoch for epoch in checkpoints if epoch_index_name(base, epoch) in indexes]
    )
    missing = [epoch for epoch in epochs or checkpoints if epoch_index_name(base, epoch) not in indexes]
    if missing:
        numbers = ", ".join(str(epoch) for epoch in missing)
        message = (
            f"{model.manifest.title} has no index '{base}' of epoch {numbers}; "
            f"build it with: {_command(model, missing[0], base)}"
        )
        raise NotFound(message, field="epochs" if params.epochs else "index")
    return epochs


def _command(model: Model, epoch: int | None = None, base: str = "") -> str:
    command = f"zfscope index DATA --model {model.name}"
    if epoch is not None:
        command += f" --checkpoint {epoch}"
    return f"{command} --name {epoch_index_name(base, epoch)}" if base and epoch is not None else command


def _snapshot(context: Context, store: ModelStore, epoch: int, base: str, end: Page) -> Snapshot:
    context.check_cancelled()
    model = store.load_checkpoint(context.model.name, epoch, context.model.version)
    page_params = TopKParams(index=epoch_index_name(base, epoch), layer=end.layer, maps=end.maps, top=1)
    return Snapshot(epoch, model, load_page(replace(context, model=model), page_params))


def _final_params(params: EvolveParams, base: str) -> TopKParams:
    selection: dict[str, Any] = {"maps": params.maps}
    if not params.maps:
        selection = {"count": params.count, "first": params.first}
    return TopKParams(index=base, layer=params.layer, top=1, **selection)


def _check_comparable(page: Page, end: Page) -> None:
    """Raise InputError if the strongest photos of two indexes cannot be compared."""
    origin, expected = page.index.manifest.origin, end.index.manifest.origin
    if origin.data.fingerprint != expected.data.fingerprint:
        message = f"indexes '{page.index.name}' and '{end.index.name}' cover different photos"
        raise InputError(f"{message}; build both from the same DATA with: zfscope index", field="index")
    if origin.rank != "max":
        message = (
            f"index '{page.index.name}' ranks photos by the sum of a map, not by its strongest activation"
        )
        raise InputError(f"{message}; build it again without --rank", field="index")
