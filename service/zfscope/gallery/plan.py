"""The plan of a gallery: the layers and maps of an index, and the epochs at which they are shown."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from zfscope.choices import PrecisionName, coarsest
from zfscope.engine.frame import UnitFrame, unit_frame
from zfscope.errors import InputError
from zfscope.networks.spec import convolutional_part
from zfscope.records import MAX_EVOLVED_MAPS, MAX_RECORDS
from zfscope.scan import Index, indexes_folder
from zfscope.scan.manifest import IndexManifest
from zfscope.scan.open import epoch_index_name, index_names, read_manifest
from zfscope.store import Model
from zfscope.store.integrity import sha256

# Maximum number of tensor values per analysis, which limits memory to about 200 MB per core.
_MAX_VALUES = 2**24


@dataclass(frozen=True)
class LayerPlan:
    """The maps to show of a layer, its frame, and the epochs at which they are shown, in ascending order."""

    name: str
    maps: tuple[int, ...]
    frame: UnitFrame
    epochs: tuple[int, ...]


@dataclass(frozen=True)
class MapBatch:
    """Maps of a layer that are inspected together, numbered within the layer."""

    layer: LayerPlan
    number: int
    maps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class GalleryPlan:
    """The contents of a gallery. top: number of photos per map. projections: their precision."""

    model: Model
    index: Index
    layers: tuple[LayerPlan, ...]
    top: int
    projections: str = PrecisionName.float32

    @property
    def batches(self) -> tuple[MapBatch, ...]:
        """The maps of all layers, in batches."""
        return tuple(batch for layer in self.layers for batch in _batches(layer, self.top))

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs at which maps are shown, ascending."""
        return tuple(sorted({epoch for layer in self.layers for epoch in layer.epochs}))

    @property
    def identity(self) -> str:
        """SHA-256 of everything that determines the pictures, except the photos themselves."""
        manifests = [manifest.model_dump(mode="json") for manifest in self._manifests]
        layers = [(layer.name, layer.maps, layer.epochs) for layer in self.layers]
        parts = [version("zfscope"), manifests, layers, self.top, self.projections]
        return sha256(json.dumps(parts, sort_keys=True).encode())

    @property
    def precision(self) -> PrecisionName:
        """Precision of the gallery: the coarsest of its projections and indexes."""
        indexes = (manifest.origin.precision for manifest in self._manifests)
        return coarsest(self.projections, *indexes)

    @cached_property
    def _manifests(self) -> tuple[IndexManifest, ...]:
        """The manifests of the index and of those of the epochs."""
        epochs = (_manifest(self.model, self.index.name, epoch) for epoch in self.epochs)
        return (self.index.manifest, *epochs)

    @property
    def index_sha256(self) -> str:
        """SHA-256 of the index's manifest."""
        return sha256(self.index.manifest.model_dump_json().encode())


def plan_gallery(
    model: Model,
    index: Index,
    *,
    layers: Sequence[str] = (),
    top: int | None = None,
    count: int | None = None,
    evolution: bool = True,
    projections: str = PrecisionName.float32,
) -> GalleryPlan:
    """Return the plan of a gallery of an index.

    layers: layers to show, by default all in the index. top: number of photos per map, by default 9, or fewer
    if the index has fewer. count: number of strongest maps to show per layer, by default all. evolution:
    whether to also show the maps at each epoch that has an index. projections: their precision.

    Raises NotFound for a layer that is not indexed, InputError if `top` or `count` is out of range.
    """
    indexed = min(index.manifest.origin.top, index.manifest.images)
    max_top = min(MAX_RECORDS, indexed)
    if top is not None and not 1 <= top <= max_top:
        reason = f"index '{index.name}' has {indexed} photos per map"
        raise InputError(f"top is {top}; allowed: 1 to {max_top} ({reason})", field="top")
    if count is not None and count < 1:
        raise InputError(f"count is {count}; allowed: 1 or more", field="count")
    named = [model.spec.layer(layer, field="layers").name for layer in layers]
    for layer in named:
        index.alive(layer)  # raises NotFound
    epochs = _epochs(model, index) if evolution else {}
    selected = [layer for layer in index.layers if not named or layer in named]
    return GalleryPlan(
        model,
        index,
        tuple(
            LayerPlan(
                name,
                tuple(sorted(index.strongest_maps(name)[:count])),
                unit_frame(model.spec, name),
                tuple(epoch for epoch, available in epochs.items() if name in available),
            )
            for name in selected
        ),
        top or max_top,
        projections,
    )


def _epochs(model: Model, index: Index) -> dict[int, tuple[str, ...]]:
    """Return the layers to show at each epoch: convolutional, and in an index of the same photos."""
    if index.manifest.origin.rank != "max":
        return {}
    available = index_names(indexes_folder(model))
    indexed = {}
    for epoch in model.manifest.early_epochs:
        if epoch_index_name(index.name, epoch) in available:
            origin = _manifest(model, index.name, epoch).origin
            if (origin.data.fingerprint, origin.rank) == (index.manifest.origin.data.fingerprint, "max"):
                indexed[epoch] = tuple(layer.name for layer in origin.layers)
    convolutional = {layer.name for layer in convolutional_part(model.spec).layers}
    return {
        epoch: tuple(layer for layer in layers if layer in convolutional) for epoch, layers in indexed.items()
    }


def _manifest(model: Model, name: str, epoch: int) -> IndexManifest:
    return read_manifest(indexes_folder(model) / epoch_index_name(name, epoch))


def _batches(layer: LayerPlan, top: int) -> Iterator[MapBatch]:
    columns = max(top, len(layer.epochs) + 1)  # the final weights count as an epoch
    count = min(MAX_EVOLVED_MAPS, max(1, _MAX_VALUES // (columns * 3 * layer.frame.size**2)))
    for number, start in enumerate(range(0, len(layer.maps), count)):
        yield MapBatch(layer, number, layer.maps[start : start + count])
