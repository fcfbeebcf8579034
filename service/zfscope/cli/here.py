"""The calls of `zfscope.client.Client`, done in this process: no service is needed."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from zfscope.analysis.classification import classify
from zfscope.analysis.contract import Context
from zfscope.analysis.description import LayerDescription, describe
from zfscope.analysis.registry import Registered, load_analyzers
from zfscope.analysis.run import Meter, check_photos, cost_of, default_cost, guarded, read_params, run
from zfscope.cli.streams import keep_stdout
from zfscope.client import answers
from zfscope.client.requests import ProjectOptions
from zfscope.errors import InputError, NotFound
from zfscope.images.decode import decode_photo
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared, Preprocessing, prepare_photo
from zfscope.networks.shapes import parameter_count
from zfscope.results import merge_notices
from zfscope.runtimes import TorchServe, create_runtime
from zfscope.store import Accuracy, DamagedEntry, Manifest, Model, ModelStore

Key = tuple[str, int]


class Here:
    """A store of models, and the work on them in this process. Calls that name no model take its default."""

    def __init__(
        self, root: Path, *, runtime: str = "onnx", torchserve: str = "", indexes: Path | None = None
    ) -> None:
        """root: of the store. runtime: runs forward passes. torchserve: its address, empty for the default.

        indexes: see `ModelStore`.
        """
        keep_stdout()  # from analyzers, which run in this process
        self._store = ModelStore(root, indexes=indexes)
        self._runtime = partial(
            create_runtime, runtime, torchserve=TorchServe(torchserve) if torchserve else None
        )
        self._loaded: dict[tuple[str, int], Model] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def models(self) -> tuple[answers.ModelSummary, ...]:
        """List the models; see `Client.models`."""
        default = self._default()
        listed = sorted(self._store.listing(), key=lambda found: (found.name, -found.version))
        return tuple(_summary(found, default) for found in listed)

    def model(self, name: str = "", version: int | None = None) -> answers.ModelInfo:
        """Describe a model; see `Client.model`."""
        manifest = self._store.manifest(name, version)
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
        manifest = self._store.manifest(model, version)
        decoded = decode_photo(photo, field="image.encoded")
        found = self._load(manifest)
        prepared = prepare_photo(
            decoded,
            found.preprocessing,
            crops="ten" if ten_crop else "centre",
            mean_image=found.mean_image,
        )
        runtime = self._runtime(found)
        scores = classify(found, runtime, prepared, top=min(top, len(found.labels)))
        classes = tuple(
            answers.ClassScore(score.index, score.label_id, score.label, score.probability, score.logit)
            for score in scores
        )
        return answers.Classification(
            found.name,
            found.version,
            classes,
            decoded.size,
            merge_notices((*found.warnings, *prepared.warnings)),
        )

    def project(self, photo: bytes, **options: Unpack[ProjectOptions]) -> answers.Projections:
        """Give what units of a layer saw in a photo; see `Client.project`."""
        about = {name: options.pop(name) for name in _ABOUT if name in options}  # type: ignore[misc]
        found, (seen,) = self._analyze("project", {"image.encoded": photo}, options, **about)
        return projections(found, seen.geometries[0].photo_size)

    def analyzers(self, model: str = "", version: int | None = None) -> tuple[answers.AnalyzerInfo, ...]:
        """List the analyzers that are installed; see `Client.analyzers`."""
        found = self._load(self._store.manifest(model, version))
        return tuple(_analyzer(registered, found) for registered in load_analyzers().values())

    def analyze(
        self,
        analyzer: str,
        photos: Sequence[bytes],
        parameters: Mapping[str, Any],
        *,
        model: str = "",
        version: int | None = None,
        pictures: bool = True,
        tensors: bool = False,
        progress: Callable[[answers.Progress], None] | None = None,
    ) -> answers.Analyzed:
        """Run any analyzer on photos; see `Client.analyze`. What there is to see already is not drawn."""
        found, _ = self._analyze(
            analyzer,
            {f"images[{place}].encoded": photo for place, photo in enumerate(photos)},
            parameters,
            model=model,
            version=version,
            pictures=pictures,
            tensors=tensors,
            progress=progress,
        )
        return found

    def _analyze(
        self,
        analyzer: str,
        photos: Mapping[str, bytes],
        parameters: Mapping[str, Any],
        *,
        model: str = "",
        version: int | None = None,
        pictures: bool = True,
        tensors: bool = False,
        progress: Callable[[answers.Progress], None] | None = None,
    ) -> tuple[answers.Analyzed, tuple[Prepared, ...]]:
        """Return the prepared photos too. photos: by the field of the request that would hold each."""
        asked = load_analyzers().registered(analyzer)
        with guarded(asked):
            check_photos(asked.analyzer, len(photos))
            params = read_params(asked.analyzer, parameters)
        manifest = self._store.manifest(model, version)
        decoded = {field: decode_photo(photo, field=field) for field, photo in photos.items()}
        found = self._load(manifest)
        with guarded(asked):
            cost_of(asked.analyzer, found, params)  # not limited here, but a fault in it is one
        images = tuple(
            prepare_photo(photo, found.preprocessing, mean_image=found.mean_image, field=field)
            for field, photo in decoded.items()
        )
        meter = Meter()

        def tell(share: float, _: object = None) -> None:
            if progress:
                progress(answers.Progress(*meter.read(share), None))

        context = Context(
            model=found,
            runtime=self._runtime(found),
            images=images,
            pictures=pictures,
            tensors=tensors,
            store=self._store,
            noticed=found.warnings,
            progress=tell,
        )
        with guarded(asked):
            analysis = run(asked.analyzer, context, params)
        return answers.Analyzed(found.name, found.version, analysis), images

    def _load(self, manifest: Manifest) -> Model:
        """Load a model, once: a command may list what can be asked of it before it asks."""
        key = manifest.name, manifest.version
        if key not in self._loaded:
            self._loaded[key] = self._store.load(*key)
        return self._loaded[key]

    def _default(self) -> Key | None:
        try:
            folder = self._store.folder("")
        except (NotFound, InputError):
            return None
        return folder.parent.name, int(folder.name)


def _summary(found: Manifest | DamagedEntry, default: Key | None) -> answers.ModelSummary:
    is_default = (found.name, found.version) == default
    if isinstance(found, DamagedEntry):
        return answers.ModelSummary(
            name=found.name,
            version=found.version,
            summary="",
            network="",
            classes=0,
            parameters=0,
            is_default=is_default,
            damage=found.reason,
        )
    manifest = found
    return answers.ModelSummary(
        name=manifest.name,
        version=manifest.version,
        summary=manifest.summary,
        network=manifest.network.name,
        classes=len(manifest.labels),
        parameters=parameter_count(manifest.network),
        is_default=is_default,
    )


_ABOUT = ("model", "version", "pictures", "tensors")


def projections(found: answers.Analyzed, size: tuple[int, int]) -> answers.Projections:
    """Give what the analyzer `project` found as what `Client.project` gives."""
    analysis = found.analysis
    records = analysis.tables["projections"].records()
    tensors = analysis.tensors.get("projections", [None] * len(records))
    controls = analysis.tensors.get("controls", [None] * len(records))
    return answers.Projections(
        model=found.model,
        version=found.version,
        projections=tuple(
            answers.Projection(
                **{name: record[name] for name in ("layer", "map", "y", "x", "activation")},
                receptive_field=Box(*(record[side] for side in ("x0", "y0", "x1", "y1"))),
                picture=analysis.picture(record["picture"]),
                tensor=tensor,
                control_tensor=control,
                control_ssim=record["ssim"],
                control_rank_correlation=record["rank_correlation"],
            )
            for record, tensor, control in zip(records, tensors, controls, strict=True)
        ),
        sheet=next((picture for picture in analysis.pictures if picture.name.endswith("-sheet")), None),
        photo_size=size,
        warnings=analysis.warnings,
    )


def _analyzer(registered: Registered, model: Model) -> answers.AnalyzerInfo:
    analyzer = registered.analyzer
    with guarded(registered):
        return answers.AnalyzerInfo(
            name=analyzer.name,
            summary=analyzer.summary,
            distribution=registered.distribution,
            version=registered.version,
            parameters_schema=analyzer.params.model_json_schema(),
            cost=default_cost(analyzer, model),
            photos=analyzer.photos,
        )


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
