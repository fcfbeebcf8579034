"""The calls of `zfscope.client.Client`, done in this process: no service is needed."""

from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from pydantic import ValidationError

from zfscope.analysis.classification import classify
from zfscope.analysis.description import LayerDescription, describe
from zfscope.analysis.projection import Picture, Projection, ProjectionParams, project_photo
from zfscope.client import answers
from zfscope.client.requests import ProjectOptions
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.networks.shapes import parameter_count
from zfscope.runtimes import create_runtime
from zfscope.store import Accuracy, Manifest, ModelStore


class Here:
    """A store of models, and the work on them in this process. Calls that name no model take the only one."""

    def __init__(self, root: Path, *, runtime: str = "onnx") -> None:
        """root: of the store. runtime: who runs the forward pass of `classify`."""
        self._store = ModelStore(root)
        self._runtime = runtime

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def models(self) -> tuple[answers.ModelSummary, ...]:
        """List the models; see `Client.models`."""
        manifests = self._store.manifests()
        only = len({manifest.name for manifest in manifests}) == 1
        default = manifests[-1] if only else None  # they come by version
        listed = sorted(manifests, key=lambda manifest: (manifest.name, -manifest.version))
        return tuple(_summary(manifest, is_default=manifest is default) for manifest in listed)

    def model(self, name: str = "", version: int | None = None) -> answers.ModelInfo:
        """Describe a model; see `Client.model`."""
        manifest = self._manifest(name, version)
        (summary,) = (
            summary
            for summary in self.models()
            if (summary.name, summary.version) == (manifest.name, manifest.version)
        )
        return answers.ModelInfo(
            summary=summary,
            layers=tuple(_layer(layer) for layer in describe(manifest.network)),
            labels=tuple(answers.Label(label.id, label.name) for label in manifest.labels),
            preprocessing=_preprocessing(manifest.preprocessing),
            accuracy=_accuracy(manifest.accuracy) if manifest.accuracy else None,
        )

    def classify(
        self,
        photo: bytes,
        *,
        model: str = "",
        version: int | None = None,
        top: int = 5,
        ten_crop: bool = False,
    ) -> answers.Classification:
        """Give the likeliest classes of a photo; see `Client.classify`."""
        manifest = self._manifest(model, version)
        decoded = decode(photo)
        found = self._store.load(manifest.name, manifest.version)
        prepared = prepare(
            decoded,
            found.preprocessing,
            crops="ten" if ten_crop else "centre",
            mean_image=found.mean_image,
        )
        runtime = create_runtime(self._runtime, found)
        scores = classify(found, runtime, prepared, top=min(top, len(found.labels)))
        classes = tuple(
            answers.ClassScore(score.index, score.label_id, score.label, score.probability, score.logit)
            for score in scores
        )
        return answers.Classification(found.name, found.version, classes, _size(decoded.shape))

    def project(self, photo: bytes, **options: Unpack[ProjectOptions]) -> answers.Projections:
        """Give what units of a layer saw in a photo; see `Client.project`."""
        manifest = self._manifest(options.pop("model", ""), options.pop("version", None))
        params = _params(options)
        decoded = decode(photo)
        found = self._store.load(manifest.name, manifest.version)
        prepared = prepare(decoded, found.preprocessing, mean_image=found.mean_image)
        seen = project_photo(found, prepared, params)
        return answers.Projections(
            model=found.name,
            version=found.version,
            projections=tuple(_projection(item) for item in seen.items),
            sheet=_picture(seen.sheet),
            photo_size=_size(decoded.shape),
        )

    def _manifest(self, name: str, version: int | None) -> Manifest:
        return self._store.manifest(name or self._only_name(), version)

    def _only_name(self) -> str:
        names = sorted({manifest.name for manifest in self._store.manifests()})
        if not names:
            raise NotFound(f"the model store '{self._store.root}' has no models", field="store")
        if len(names) > 1:
            raise InputError(f"the store has several models; name one of {', '.join(names)}", field="model")
        return names[0]


def _summary(manifest: Manifest, *, is_default: bool) -> answers.ModelSummary:
    return answers.ModelSummary(
        name=manifest.name,
        version=manifest.version,
        summary=manifest.summary,
        network=manifest.network.name,
        classes=len(manifest.labels),
        parameters=parameter_count(manifest.network),
        is_default=is_default,
    )


def _params(options: ProjectOptions) -> ProjectionParams:
    try:
        return ProjectionParams.model_validate(options, from_attributes=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{field} is {first['input']!r:.80}: {first['msg']}", field=field) from error


def _projection(seen: Projection) -> answers.Projection:
    return answers.Projection(
        layer=seen.layer,
        map=seen.map,
        y=seen.y,
        x=seen.x,
        activation=seen.activation,
        receptive_field=seen.box,
        picture=_picture(seen.picture),
        tensor=seen.tensor,
        control_tensor=seen.control_tensor,
    )


def _picture(picture: Picture | None) -> answers.Picture | None:
    return None if picture is None else answers.Picture(picture.name, picture.png, picture.scale)


def _layer(layer: LayerDescription) -> answers.Layer:
    return answers.Layer(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        parameters=layer.parameters,
        stride_px=layer.stride,
        receptive_field_px=layer.receptive_field,
    )


def _preprocessing(steps: Preprocessing) -> answers.PreprocessingInfo:
    return answers.PreprocessingInfo(
        short_side_px=steps.short_side,
        centre_px=steps.centre,
        crop_px=steps.crop,
        channels=steps.channels,
        mean=() if steps.mean == "image" else steps.mean,
        std=steps.std,
    )


def _accuracy(accuracy: Accuracy) -> answers.Accuracy:
    return answers.Accuracy(
        top1_percent=accuracy.top1,
        top5_percent=accuracy.top5,
        ten_crop_top1_percent=accuracy.ten_crop_top1,
        ten_crop_top5_percent=accuracy.ten_crop_top5,
        images=accuracy.images,
        data=accuracy.data,
    )


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width, _ = shape
    return height, width
