"""A training session: from a data set to a run, and from a finished run to a model in the store."""

import datetime
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from zfscope.datasets.names import as_unicode, quoted, similar_classes
from zfscope.errors import InputError
from zfscope.files import LOCK, folder_for_files, locked, write_file
from zfscope.images.curves import plot_history
from zfscope.images.preprocess import MeanImage
from zfscope.networks.network import Network
from zfscope.store import Label, Manifest, Provenance, RecordedAccuracy, write_model
from zfscope.store.weights import Precision, pack_weights, unpack_weights
from zfscope.store.write import check_writable
from zfscope.training.batches import Batches, mean_image
from zfscope.training.card import model_card
from zfscope.training.data_checks import (
    check_names,
    count_overlap,
    name_warnings,
    overlap_warning,
    repeat_warnings,
)
from zfscope.training.decoded import DecodedPhotos, cached_photos
from zfscope.training.evaluate import MeasuredAccuracy, evaluate
from zfscope.training.labelled import LabelledPhotos, check_filled, read_folder
from zfscope.training.recipe import load_recipe
from zfscope.training.run import LABELS, TrainingCallbacks, TrainingRun
from zfscope.training.settings import TrainingSettings, check_settings
from zfscope.training.start import initial_network, training_start
from zfscope.training.teacher import Teacher, new_teacher
from zfscope.validation import first_fault

# Maximum number of skipped photos with a warning each.
_MAX_NAMED = 10
Advance = Callable[[int], None]
Warn = Callable[[str], None]


class TrainingSession:
    """A training run with its decoded photos; call `train`, then `publish`."""

    def __init__(
        self,
        settings: TrainingSettings,
        *,
        advance: Advance = lambda photos: None,
        warn: Warn = lambda message: None,
    ) -> None:
        """Check the settings, decode the photos unless they are cached, and resume an existing run.

        Everything that the stored model will contain is checked first. advance: called with the number of
        photos decoded since the last call. warn: called with possible problems of the data.

        Raises InputError, NotFound and RuntimeUnavailable for invalid settings, and if an existing run has
        other photos or settings.
        """
        check_settings(settings)
        self.settings = settings
        self.recipe = load_recipe(settings.recipe_name)
        self.training_photos = read_folder(settings.data)
        self._check_classes()
        self.start = training_start(settings, self.recipe, len(self.training_photos.classes))
        self.preprocessing = self.start.preprocessing
        self.teacher = self._teacher()
        self._check_manifest()
        self.validation_photos = (
            read_folder(settings.validation, self.training_photos.classes) if settings.validation else None
        )
        check_writable(settings.out, field="out", remedy="choose another --out")
        self._warn, network = warn, initial_network(self.start, settings, self.recipe)
        with folder_for_files(settings.out):
            self.training = self._decoded(self.training_photos, "training.pixels", advance)
        self._check_training()
        self.validation = (
            self._decoded(self.validation_photos, "validation.pixels", advance)
            if self.validation_photos
            else None
        )
        for message in self._warnings():
            warn(message)
        self.mean_image = self._mean_image()
        self.run = TrainingRun(
            settings.out,
            network,
            self._batches(),
            settings.epochs,
            data=self._data_identity(),
            new_layers=self.start.new_layers,
            kept_layers=self.start.kept_layers,
            teacher=self.teacher,
        )
        self.resumed = self.run.resume(warn=warn)

    @property
    def decoded(self) -> int:
        """Number of decoded photos, for training and validation."""
        return len(self.training.targets) + (len(self.validation.targets) if self.validation else 0)

    def train(self, callbacks: TrainingCallbacks) -> None:
        """Train to the last epoch; see `TrainingRun.run`.

        Also raises InputError if another process is training in the same folder.
        """
        validate, out = self._validate if self.validation else None, self.settings.out
        busy = InputError(f"another process is already training in '{out}'", field="out")
        with locked(out / LOCK, otherwise=busy):
            self.run.run(
                checkpoints=frozenset(self.settings.checkpoints), validate=validate, callbacks=callbacks
            )
        picture = plot_history(self.run.progress.history)
        write_file(self.settings.out / "history.png", picture)

    def publish(self, store: Path) -> Path:
        """Write the trained network to a store as a model and return its folder.

        Raises InputError if the model already exists.
        """
        out, history = self.settings.out, self.run.progress.history
        checkpoints = {_epoch(path): path for path in (out / "checkpoints").glob("epoch-*.safetensors")}
        # Measure what users will load: weights in the stored precision.
        packed = pack_weights(self.run.network, precision=self._precision)
        stored, _ = unpack_weights(packed, self.run.network.spec)
        accuracy = self._accuracy(stored.on_device(self.settings.device).network)
        manifest = self._manifest(accuracy, len(self.training.targets))
        return write_model(
            store,
            manifest,
            self.run.network,
            checkpoints=checkpoints,
            extra_files={
                "history.json": self.run.history_json(),
                "history.png": plot_history(history),
                "README.md": model_card(manifest, history, sorted(checkpoints)).encode(),
            },
            mean_image=self.mean_image,
            precision=self._precision,
        )

    @property
    def _precision(self) -> Precision:
        """Precision of the stored weights: half, but for networks of imported models, which may exceed it."""
        settings = self.settings
        own = settings.source is None or settings.new_network or settings.source.weights.half
        return "float16" if own else "float32"

    def _teacher(self) -> Teacher | None:
        settings = self.settings
        if settings.teacher is None:
            if self.recipe.teaching.match:
                message = f"recipe '{settings.recipe_name}' matches layers with a teacher, but none is given"
                raise InputError(f"{message}; name it with --teacher", field="teacher")
            return None
        teaching, spec = self.recipe.teaching, self.start.spec
        return new_teacher(settings.teacher, teaching, spec, self.preprocessing, device=settings.device)

    def _check_classes(self) -> None:
        """Raise InputError if the classes differ from the settings."""
        expected, classes = self.settings.classes, self.training_photos.classes
        if expected is not None and expected != len(classes):
            root = as_unicode(str(self.training_photos.data.root))
            message = f"'{root}' has {len(classes)} classes, but classes is set to {expected}"
            raise InputError(message, field="classes")
        check_names(classes, self.settings.labels or {})

    def _check_manifest(self) -> None:
        """Raise InputError if the classes cannot be stored in a model."""
        try:
            self._manifest(None, len(self.training_photos))
        except ValidationError as error:
            fault = first_fault(error, Manifest)
            field = str(error.errors(include_url=False)[0]["loc"][0])
            raise InputError(f"the model could not be stored: {fault}", field=field) from error

    def _check_training(self) -> None:
        counts = np.bincount(self.training.targets, minlength=len(self.training_photos.classes))
        skipped = self.training.skipped
        reason = f" that can be used; {quoted(skipped[0].name)}: {skipped[0].reason}" if skipped else ""
        check_filled(self.training_photos, counts, reason)

    def _warnings(self) -> Iterator[str]:
        """Yield warnings about the data."""
        training, validation = self.training, self.validation
        yield from similar_classes(self.training_photos.classes)
        yield from name_warnings(self.training_photos.classes, self.settings.labels or {})
        for decoded in (training, validation):
            skipped = decoded.skipped if decoded else ()
            yield from (f"photo {quoted(name)} is skipped: {reason}" for name, reason in skipped[:_MAX_NAMED])
            if len(skipped) > _MAX_NAMED:
                yield f"{len(skipped) - _MAX_NAMED:,} more photos are skipped"
        validation_records = validation.record.used if validation else []
        yield from repeat_warnings(training.record.used, "training photos")
        yield from repeat_warnings(validation_records, "validation photos")
        yield from filter(None, [overlap_warning(training.record.used, validation_records)])

    def _manifest(self, accuracy: RecordedAccuracy | None, photos: int) -> Manifest:
        settings, start, names = self.settings, self.start, self.settings.labels or {}
        return Manifest(
            name=settings.name,
            version=1,
            summary=self._summary(photos),
            network=start.spec,
            preprocessing=start.preprocessing,
            preprocessing_assumed=bool(start.source and start.source.manifest.preprocessing_assumed),
            labels=tuple(Label(id=name, name=names.get(name, name)) for name in self.training_photos.classes),
            accuracy=accuracy,
            provenance=Provenance(
                source="zfscope train",
                tuned_from=start.tuned_from,
                taught_by=self.teacher.title if self.teacher else "",
                licence=self._licence,
                data=_title(settings.data),
                recipe=as_unicode(settings.recipe_name),
                epochs=settings.epochs,
                date=datetime.datetime.now(datetime.UTC).date(),
            ),
        )

    @property
    def _licence(self) -> str:
        """The licences of the models that the weights derive from."""
        models = [model for model in (self.settings.source, self.settings.teacher) if model is not None]
        return "; ".join(dict.fromkeys(filter(None, (m.manifest.provenance.licence for m in models))))

    def _summary(self, photos: int) -> str:
        source, settings = self.settings.source, self.settings
        if source is None:
            return f"{settings.network}, trained on {photos:,} photos"
        start = f"{source.name} version {source.version}"
        if settings.new_network:
            return f"{settings.network}, started from filters of {start}, trained on {photos:,} photos"
        return f"{start}, fine-tuned on {photos:,} photos"

    def _mean_image(self) -> MeanImage | None:
        """Return the mean image that the preprocessing subtracts; None if it subtracts a mean per channel."""
        if self.start.source is not None:
            return self.start.source.mean_image
        return mean_image(self.training.squares) if self.recipe.mean == "image" else None

    def _accuracy(self, network: Network) -> RecordedAccuracy | None:
        if self.validation is None or self.settings.validation is None:
            return None
        one = self._measure(network)
        ten = self._measure(network, ten_crop=True)
        return RecordedAccuracy(
            top1=one.top1,
            top5=one.top5,
            images=one.images,
            data=_title(self.settings.validation),
            ten_crop_top1=ten.top1,
            ten_crop_top5=ten.top5,
            trained_on=count_overlap(self.training.record.used, self.validation.record.used),
        )

    def _validate(self, size: int) -> MeasuredAccuracy:
        return self._measure(self.run.network, size=size)

    def _measure(
        self, network: Network, *, size: int | None = None, ten_crop: bool = False
    ) -> MeasuredAccuracy:
        assert self.validation is not None
        return evaluate(
            network,
            self.validation.squares,
            self.validation.targets,
            self.preprocessing,
            mean_image=self.mean_image,
            ten_crop=ten_crop,
            size=size,
        )

    def _decoded(self, photos: LabelledPhotos, cache: str, advance: Advance) -> DecodedPhotos:
        out = self.settings.out
        run_started = (out / "state.pt").exists()
        return cached_photos(
            photos,
            self.preprocessing,
            out / cache,
            run_started=run_started,
            advance=advance,
            warn=self._warn,
        )

    def _data_identity(self) -> dict[str, str]:
        """Return the identity of the run's data: photos with their classes, and the class names."""
        names = self.settings.labels or {}
        return {
            "training photos": self.training.record.fingerprint,
            "validation photos": self.validation.record.fingerprint if self.validation else "",
            LABELS: json.dumps({name: names.get(name, name) for name in self.training_photos.classes}),
            **self.start.identity,
            **({"teacher": self.teacher.title} if self.teacher else {}),
        }

    def _batches(self) -> Batches:
        return Batches(
            self.training.squares,
            self.training.targets,
            self.preprocessing,
            self.recipe,
            self.settings.seed,
            self.mean_image,
        )


def _epoch(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("epoch-"))


def _title(folder: Path) -> str:
    """Return the name of a folder with that of its parent: `imagenette/train`."""
    return as_unicode("/".join(folder.resolve().parts[-2:]))
