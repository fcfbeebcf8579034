"""The manifests of a probe: its features, `features.json`, and its result, `probe.json`."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from zfscope.choices import PrecisionName
from zfscope.datasets import DataSet
from zfscope.errors import InputError
from zfscope.images.limits import DecodeLimits, environment_limits
from zfscope.networks.spec import shapes
from zfscope.probe.plan import ProbePlan
from zfscope.runtimes import Runtime
from zfscope.runtimes.cells import cell_count
from zfscope.scan.batches import BATCH
from zfscope.scan.manifest import DataIdentity, ModelIdentity, data_identity, model_identity
from zfscope.store import Manifest
from zfscope.text import safe_name
from zfscope.validation import first_fault

FEATURES, RESULT = "features.json", "probe.json"
FEATURE_FOLDER, ROWS, FIGURE = "features", "rows.parquet", "probe.png"
Part = TypeVar("Part", bound=BaseModel)


class _ProbePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureLayer(_ProbePart):
    """Features of a layer. features: number per photo. file: name of the array in `features/`."""

    name: str
    features: PositiveInt
    file: str


class FeatureOrigin(_ProbePart):
    """Inputs of features: equal origins give equal features, up to rounding.

    pooling: how outputs become features. batch: photos per forward pass. runtime: runtime of the forward
    pass. precision: of the forward pass. max_image_bytes, max_image_pixels: photos above these limits were
    skipped or decoded at a smaller scale.
    """

    model: ModelIdentity
    data: DataIdentity
    layers: tuple[FeatureLayer, ...]
    pooling: Literal["max 3x3, signed root, rms 1"] = "max 3x3, signed root, rms 1"
    dtype: Literal["float16"] = "float16"
    batch: PositiveInt = BATCH
    runtime: str
    precision: PrecisionName
    max_image_bytes: PositiveInt
    max_image_pixels: PositiveInt

    @property
    def limits(self) -> DecodeLimits:
        """Limits of decoding."""
        return DecodeLimits(bytes=self.max_image_bytes, pixels=self.max_image_pixels)


class UnusedFile(_ProbePart):
    """A photo without features, and the reason."""

    path: str
    reason: str


class FeatureManifest(_ProbePart):
    """Everything about features except themselves.

    photos: number of photos with features; the others of the data set were not needed, or are `skipped`.
    """

    format_version: Literal[1] = 1
    origin: FeatureOrigin
    photos: NonNegativeInt
    skipped: tuple[UnusedFile, ...]


class LayerAccuracy(_ProbePart):
    """Accuracy by a layer's features after training on `per_class` photos of each class, in percent.

    accuracy: mean over the splits. deviation: standard deviation over the splits (of a sample); null for a
    single split. splits: accuracy of each split. unconverged: number of splits whose classifier had not
    converged after the largest number of steps.
    """

    layer: str
    per_class: PositiveInt
    accuracy: float
    deviation: float | None
    splits: tuple[float, ...]
    unconverged: NonNegativeInt


class ProbeResult(_ProbePart):
    """Result of a probe: by layer and number of photos per class.

    classes: number of classes. tested: number of photos that the first split tests with. classifier: method
    and parameters.
    """

    format_version: Literal[1] = 1
    features: FeatureManifest
    plan: ProbePlan
    classes: PositiveInt
    tested: PositiveInt
    classifier: str
    accuracies: tuple[LayerAccuracy, ...]


def make_origin(model: Manifest, data: DataSet, layers: tuple[str, ...], runtime: Runtime) -> FeatureOrigin:
    """Return the inputs of features."""
    limits = environment_limits()
    return FeatureOrigin(
        model=model_identity(model),
        data=data_identity(data),
        layers=_feature_layers(model, layers),
        runtime=runtime.title,
        precision=PrecisionName(runtime.precision),
        max_image_bytes=limits.bytes,
        max_image_pixels=limits.pixels,
    )


def _feature_layers(model: Manifest, layers: tuple[str, ...]) -> tuple[FeatureLayer, ...]:
    known = shapes(model.network)
    rows = []
    for number, name in enumerate(layers, 1):
        maps, *sides = known[name]
        cells = [cell_count(side) for side in sides]
        count = maps * cells[0] * cells[1] if cells else maps
        rows.append(FeatureLayer(name=name, features=count, file=f"{number:03}-{safe_name(name)}.npy"))
    return tuple(rows)


def read_probe(folder: Path) -> ProbeResult:
    """Return the result of the probe in a folder. Raises InputError if the folder has none."""
    return _read(folder / RESULT, ProbeResult)


def read_features(folder: Path) -> FeatureManifest:
    """Return the manifest of the features in a folder. Raises InputError if the folder has none."""
    return _read(folder / FEATURES, FeatureManifest)


def _read(path: Path, kind: type[Part]) -> Part:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        message = f"'{path.parent}' has no {path.name} of `zfscope probe`: {error.strerror or error}"
        raise InputError(message, field="out") from error
    except ValidationError as error:
        fault = first_fault(error, kind)
        message = f"'{path}' is damaged: {fault}; remove the folder and repeat the probe"
        raise InputError(message, field="out") from error
