"""The manifest of an index, `index.json`: its inputs, and the hash of every other file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from zfscope.choices import PrecisionName
from zfscope.datasets.dataset import DataSet, DataSetKind
from zfscope.datasets.names import as_unicode
from zfscope.engine.seeds import Rank
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layer import Shape
from zfscope.networks.spec import shapes
from zfscope.runtimes import Runtime
from zfscope.scan.batches import BATCH
from zfscope.scan.plan import ScanPlan
from zfscope.store import Manifest
from zfscope.store.manifest import Hashes, Sha256

INDEX = "index.json"
RECORDS, MAPS, SKIPPED = "records.parquet", "maps.parquet", "skipped.parquet"


class _IndexPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelIdentity(_IndexPart):
    """Identity of a model: everything that its activations depend on."""

    name: str
    version: PositiveInt
    weights_sha256: Sha256
    network_sha256: Sha256
    preprocessing: Preprocessing


class DataIdentity(_IndexPart):
    """Identity of a data set. fingerprint: SHA-256 of names, classes and sizes of its photos, in order."""

    root: str
    kind: DataSetKind
    photos: PositiveInt
    fingerprint: Sha256


class LayerShape(_IndexPart):
    """A layer with maps of rows x columns; 1 x 1 if fully connected."""

    name: str
    maps: PositiveInt
    rows: PositiveInt
    columns: PositiveInt


class Origin(_IndexPart):
    """Inputs of an index: equal origins give identical files, byte for byte.

    top: number of photos kept for each map. rank: order of the photos of a map. batch: photos per forward
    pass. runtime: runtime of the forward pass; it affects the last bits of activations (with TorchServe, so
    do its batches). precision: of the forward pass. max_image_bytes, max_image_pixels: photos above these
    limits were skipped or decoded at a smaller scale.
    """

    model: ModelIdentity
    data: DataIdentity
    layers: tuple[LayerShape, ...]
    top: PositiveInt
    rank: Rank
    batch: PositiveInt = BATCH
    runtime: str = "onnx"
    precision: PrecisionName = PrecisionName.float32
    max_image_bytes: PositiveInt = DecodeLimits.bytes
    max_image_pixels: PositiveInt = DecodeLimits.pixels

    @property
    def limits(self) -> DecodeLimits:
        """Limits of decoding; reloading a photo applies the same limits."""
        return DecodeLimits(bytes=self.max_image_bytes, pixels=self.max_image_pixels)


class IndexManifest(_IndexPart):
    """Everything about an index except its tables.

    images: number of photos used. skipped: number of photos not used. histogram_edges: lower edges of the
    histogram bins, except the first bin, which counts values of 0 and below.
    """

    format_version: Literal[1] = 1
    origin: Origin
    images: PositiveInt
    skipped: NonNegativeInt
    histogram_edges: tuple[float, ...]
    files: Hashes


def make_origin(model: Manifest, data: DataSet, plan: ScanPlan, runtime: Runtime) -> Origin:
    """Return the inputs of an index, with the decoding limits of the environment."""
    layer_shapes, limits = shapes(model.network), environment_limits()
    return Origin(
        model=model_identity(model),
        data=data_identity(data),
        layers=tuple(_layer_shape(name, layer_shapes[name]) for name in plan.layers),
        top=plan.top,
        rank=plan.rank,
        runtime=runtime.title,
        precision=PrecisionName(runtime.precision),
        max_image_bytes=limits.bytes,
        max_image_pixels=limits.pixels,
    )


def data_identity(data: DataSet) -> DataIdentity:
    """Return everything that identifies a data set."""
    return DataIdentity(
        root=as_unicode(str(data.root)), kind=data.kind, photos=len(data), fingerprint=data.fingerprint
    )


def model_identity(model: Manifest) -> ModelIdentity:
    """Return everything that a model's activations depend on."""
    return ModelIdentity(
        name=model.name,
        version=model.version,
        weights_sha256=model.files[model.weights_file],
        network_sha256=model.network.fingerprint,
        preprocessing=model.preprocessing,
    )


def _layer_shape(name: str, shape: Shape) -> LayerShape:
    maps, rows, columns = shape if len(shape) == 3 else (shape[0], 1, 1)
    return LayerShape(name=name, maps=maps, rows=rows, columns=columns)


def differences(one: BaseModel, other: BaseModel) -> str:
    """Return the names of the fields in which two instances of a class differ; empty if they are equal."""
    fields = [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]
    return ", ".join(fields)
