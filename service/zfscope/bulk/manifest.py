"""The manifest of a run, `run.json`: its inputs, and what it wrote."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from zfscope.bulk.work import PhotoAnalyzer
from zfscope.choices import PrecisionName
from zfscope.datasets import DataSet
from zfscope.scan.manifest import DataIdentity, ModelIdentity, data_identity, model_identity
from zfscope.store.manifest import Hashes

RUN = "run.json"
RESULTS, SKIPPED, TENSORS = "results.parquet", "skipped.parquet", "tensors.parquet"
TENSOR_FOLDER, PICTURE_FOLDER, SHEET = "tensors", "pictures", "index.html"


class _RunPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunOrigin(_RunPart):
    """Inputs of a run: equal origins give identical files, byte for byte.

    analyzer, package: name of the analyzer, and of its package with the version. parameters: as given; others
    have the analyzer's defaults. tensors, pictures: whether they are among the results. runtime: runtime of
    the forward pass. precision: of the computations. max_image_bytes, max_image_pixels: photos above these
    limits were skipped or decoded at a smaller scale.
    """

    model: ModelIdentity
    data: DataIdentity
    analyzer: str
    package: str
    parameters: Mapping[str, Any]
    tensors: bool
    pictures: bool
    runtime: str
    precision: PrecisionName
    max_image_bytes: PositiveInt
    max_image_pixels: PositiveInt


class RunWarning(_RunPart):
    """A warning of the analyses. images: number of photos with it. first: path of the first of them."""

    code: str
    message: str
    images: PositiveInt
    first: str


class TensorSummary(_RunPart):
    """Tensors of one name, a tensor per photo.

    dtypes: types of their elements, usually one. shape: extents of their axes, null where they differ between
    photos; null if the number of axes differs. images: number of photos with such a tensor. files: number of
    files in `tensors/`.
    """

    dtypes: tuple[str, ...]
    shape: tuple[PositiveInt | None, ...] | None
    images: PositiveInt
    files: PositiveInt


class RunManifest(_RunPart):
    """Everything about a run except its results.

    images: number of photos analyzed. skipped: number of photos without an analysis. warnings: in the order
    of their first photos. tensors: by name. pictures: number of files in `pictures/`. files: SHA-256 of the
    tables.
    """

    format_version: Literal[1] = 1
    origin: RunOrigin
    images: PositiveInt
    skipped: NonNegativeInt
    warnings: tuple[RunWarning, ...]
    tensors: Mapping[str, TensorSummary]
    pictures: NonNegativeInt
    files: Hashes


def make_origin(work: PhotoAnalyzer, data: DataSet) -> RunOrigin:
    """Return the inputs of a run."""
    host, task = work.host, work.task
    runtime, limits = host.loaded.runtime, host.image_limits
    return RunOrigin(
        model=model_identity(host.model.manifest),
        data=data_identity(data),
        analyzer=host.analyzer,
        package=host.package,
        parameters=task.parameters,
        tensors=task.tensors,
        pictures=task.pictures,
        runtime=runtime.title,
        precision=PrecisionName(runtime.precision),
        max_image_bytes=limits.bytes,
        max_image_pixels=limits.pixels,
    )
