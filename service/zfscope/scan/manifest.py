"""The manifest of an index, `index.json`: what it was made from, and the hash of every other file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from zfscope.datasets.dataset import DataSet, Kind
from zfscope.datasets.names import printable
from zfscope.engine.seeds import Rank
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layers import Shape
from zfscope.networks.spec import shapes
from zfscope.scan.batches import BATCH
from zfscope.scan.plan import ScanPlan
from zfscope.store import Manifest
from zfscope.store.manifest import WEIGHTS, Hashes, Sha256

INDEX = "index.json"
RECORDS, MAPS, SKIPPED = "records.parquet", "maps.parquet", "skipped.parquet"


class _IndexPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelIdentity(_IndexPart):
    """The model whose layers were looked at: all that its activations depend on."""

    name: str
    version: PositiveInt
    weights_sha256: Sha256
    network_sha256: Sha256
    preprocessing: Preprocessing


class DataIdentity(_IndexPart):
    """The photos. `fingerprint` is the SHA-256 of their names, classes and sizes, in order."""

    root: str
    kind: Kind
    photos: PositiveInt
    fingerprint: Sha256


class LayerShape(_IndexPart):
    """A layer: maps of rows x columns; a fully connected one has maps of 1 x 1."""

    name: str
    maps: PositiveInt
    rows: PositiveInt
    columns: PositiveInt


class Origin(_IndexPart):
    """What an index is made from: the same origin gives the same files, byte for byte.

    runtime: who found the strongest units; their last bits depend on that (and TorchServe's on its batches).
    max_image_bytes, max_image_pixels: photos over these limits were skipped, or decoded at a smaller scale.
    """

    model: ModelIdentity
    data: DataIdentity
    layers: tuple[LayerShape, ...]
    top: PositiveInt
    rank: Rank
    batch: PositiveInt = BATCH
    runtime: str = "onnx"
    max_image_bytes: PositiveInt = DecodeLimits.bytes
    max_image_pixels: PositiveInt = DecodeLimits.pixels

    @property
    def limits(self) -> DecodeLimits:
        """The limits of photos, which are read again within the same."""
        return DecodeLimits(bytes=self.max_image_bytes, pixels=self.max_image_pixels)


class IndexManifest(_IndexPart):
    """All about an index but its tables.

    images: photos that were used. histogram_edges: where the bins of histograms begin, the first one's
    aside, which counts all that is 0 or less.
    """

    format_version: Literal[1] = 1
    origin: Origin
    images: PositiveInt
    skipped: NonNegativeInt
    histogram_edges: tuple[float, ...]
    files: Hashes


def make_origin(model: Manifest, data: DataSet, plan: ScanPlan, runtime: str) -> Origin:
    """Return what an index is made from, with the limits of photos that the environment sets."""
    known, limits = shapes(model.network), environment_limits()
    return Origin(
        model=model_identity(model),
        data=DataIdentity(
            root=printable(str(data.root)), kind=data.kind, photos=len(data), fingerprint=data.fingerprint
        ),
        layers=tuple(_layer_shape(name, known[name]) for name in plan.layers),
        top=plan.top,
        rank=plan.rank,
        runtime=runtime,
        max_image_bytes=limits.bytes,
        max_image_pixels=limits.pixels,
    )


def model_identity(model: Manifest) -> ModelIdentity:
    """Say which model it is, by all that its activations depend on."""
    return ModelIdentity(
        name=model.name,
        version=model.version,
        weights_sha256=model.files[WEIGHTS],
        network_sha256=model.network.fingerprint,
        preprocessing=model.preprocessing,
    )


def _layer_shape(name: str, shape: Shape) -> LayerShape:
    maps, rows, columns = shape if len(shape) == 3 else (shape[0], 1, 1)
    return LayerShape(name=name, maps=maps, rows=rows, columns=columns)


def differences(one: BaseModel, other: BaseModel) -> str:
    """Name the parts in which two of a kind differ, empty where they do not."""
    parts = [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]
    return ", ".join(parts)
