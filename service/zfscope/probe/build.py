"""A probe: features of the photos, once for all layers, and then a classifier per layer, size and split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from zfscope.datasets import DataSet
from zfscope.datasets.names import as_unicode
from zfscope.datasets.read import SkippedPhoto, no_usable_photo_error
from zfscope.errors import CannotWrite, InputError
from zfscope.files import LOCK, exclusive_folder, write_file
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.stages import rectified_stages
from zfscope.parallel import Batch, Engine, LocalEngine
from zfscope.probe.classify import CLASSIFIER, Fit, classifying, fit_classifier, require_scikit_learn
from zfscope.probe.extract import Extractor
from zfscope.probe.features import FeatureFolder
from zfscope.probe.fits import FitJournal, FitKey
from zfscope.probe.manifest import FIGURE, RESULT, LayerAccuracy, ProbeResult, make_origin
from zfscope.probe.plan import Numbers, ProbedPhotos, ProbePlan, Split
from zfscope.processors import map_as_done
from zfscope.runtimes import Runtime, create_runtime
from zfscope.scan.batches import BATCH
from zfscope.store import Model


class ProbeStage(StrEnum):
    """Stages of a probe."""

    features = "features"
    classifiers = "classifiers"


# Called with the stage and the numbers of photos, or of classifiers, done and in total: at the start of a
# stage, and after each batch or classifier.
ProgressCallback = Callable[[ProbeStage, int, int], None]


def probe_layers(
    model: Model,
    data: DataSet,
    target: Path,
    plan: ProbePlan,
    *,
    layers: Sequence[str] = (),
    runtime: Runtime | None = None,
    engine: Engine = LocalEngine(),  # noqa: B008  # frozen
    progress: ProgressCallback = lambda stage, done, total: None,
) -> ProbeResult:
    """Measure how well the features of each layer tell the classes of a data set apart.

    Features and results are written to the folder `target`. After a kill at any moment, the same call resumes
    and returns the same result; a call with another plan uses the features that are there. layers: by default
    the activations of the network's convolutions and fully connected layers, see `rectified_stages`. runtime:
    with one thread, since each thread of the engine runs its own pass; by default ONNX Runtime.

    Raises InputError if the data set has fewer than two classes or a class has too few photos, if the target
    holds something else, and for an ambiguous layer; NotFound for an unknown layer or class; CannotWrite; and
    MissingExtra without scikit-learn.
    """
    require_scikit_learn()
    photos = ProbedPhotos(data, plan)
    photos.check()
    runtime = runtime or create_runtime("onnx", model, threads=1)
    names = select_layers(model.spec, layers, has_classes=bool(model.labels))
    origin = make_origin(model.manifest, data, names, runtime)
    extractor = Extractor(runtime, names, model.preprocessing, model.mean_image, origin.limits)
    with _workspace(target):
        features = FeatureFolder(target, origin, data)
        skipped = _extract(extractor, photos, features, engine, progress)
        manifest = features.write_manifest()
        splits = [*photos.splits(skipped)]
        result = ProbeResult(
            features=manifest,
            plan=plan,
            classes=len(photos.by_class),
            tested=len(splits[0].tested),
            classifier=CLASSIFIER,
            accuracies=_accuracies(_classify(target, photos, features, names, splits, progress)),
        )
        _write_result(target, result)
    return result


def select_layers(spec: NetworkSpec, layers: Sequence[str], *, has_classes: bool) -> tuple[str, ...]:
    """Return the layers to probe, in the order of evaluation; see `probe_layers`.

    has_classes: whether the last layer has class scores. Raises NotFound and InputError.
    """
    named = {spec.layer(name, field="layers").name for name in layers}
    named = named or {*rectified_stages(spec, has_classes=has_classes)}
    return tuple(layer.name for layer in spec.layers if layer.name in named)


def _workspace(target: Path) -> AbstractContextManager[None]:
    """Create and lock the folder of a probe."""

    def unwritable(error: CannotWrite) -> InputError:
        message = f"the probe cannot be written to '{target}': {error.reason}; choose another --out"
        return InputError(message, field="out")

    busy = InputError(f"another process is already writing to '{target}'", field="out")
    return exclusive_folder(
        target, busy=busy, unwritable=unwritable, tidy=lambda folder: (folder / LOCK).unlink(missing_ok=True)
    )


def _extract(
    extractor: Extractor,
    photos: ProbedPhotos,
    features: FeatureFolder,
    engine: Engine,
    progress: ProgressCallback,
) -> frozenset[int]:
    """Compute the features that are missing; return the numbers of needed photos that cannot be used.

    Photos that cannot be used are replaced by others in a further round, which depends on the rounds before
    only: batches are the same after a kill.
    """
    skipped, requested = frozenset[int](), np.zeros(len(photos.data), np.bool_)
    while True:
        needed = photos.needed(skipped)
        new = needed[~requested[needed]]
        requested[needed] = True
        _run(extractor, photos.data, new, features, engine, lambda: _report(progress, features, requested))
        found = frozenset(number for number in features.skipped if requested[number])
        _check_used(photos, features, found)
        if found == skipped:
            return skipped
        skipped = found


def _report(progress: ProgressCallback, features: FeatureFolder, requested: NDArray[np.bool_]) -> None:
    progress(ProbeStage.features, int((features.known & requested).sum()), int(requested.sum()))


def _run(
    extractor: Extractor,
    data: DataSet,
    numbers: Numbers,
    features: FeatureFolder,
    engine: Engine,
    report: Callable[[], None],
) -> None:
    """Compute and save the features of photos that have none yet."""
    report()
    if features.known[numbers].all():
        return
    extractor.warm_up()
    for result in engine(extractor, _batches(data, numbers, features)):
        features.save(result)
        report()


def _batches(data: DataSet, numbers: Numbers, features: FeatureFolder) -> Iterator[Batch]:
    """Yield batches that follow from the numbers, without photos that are known."""
    for number, start in enumerate(range(0, len(numbers), BATCH)):
        batch = numbers[start : start + BATCH]
        pending = batch[~features.known[batch]].tolist()
        if pending:
            yield Batch(number, tuple(map(data.photo, pending)))


def _check_used(photos: ProbedPhotos, features: FeatureFolder, skipped: frozenset[int]) -> None:
    """Raise InputError if no photo can be used, or too few of a class."""
    if len(skipped) == sum(map(len, photos.by_class.values())):
        first = min(skipped)
        reason = SkippedPhoto(as_unicode(photos.data.names[first]), features.skipped[first])
        raise no_usable_photo_error(photos.data, reason)
    photos.check(skipped)


def _classify(
    target: Path,
    photos: ProbedPhotos,
    features: FeatureFolder,
    layers: Sequence[str],
    splits: Sequence[Split],
    progress: ProgressCallback,
) -> Mapping[FitKey, Fit]:
    """Return the result of each classifier, in order; those that are missing are trained."""
    keys = [FitKey(*key) for key in product(layers, photos.plan.per_class, range(len(splits)))]
    journal = FitJournal(target, photos.plan)
    arrays, labels = {layer: features.layer(layer) for layer in layers}, photos.labels

    def run(key: FitKey) -> tuple[FitKey, Fit]:
        split = splits[key.split]
        return key, fit_classifier(arrays[key.layer], labels, split.trained[key.per_class], split.tested)

    progress(ProbeStage.classifiers, len(journal.done), len(keys))
    with classifying():
        for key, fit in map_as_done(run, [key for key in keys if key not in journal.done]):
            journal.save(key, fit)
            progress(ProbeStage.classifiers, len(journal.done), len(keys))
    return {key: journal.done[key] for key in keys}


def _accuracies(fits: Mapping[FitKey, Fit]) -> tuple[LayerAccuracy, ...]:
    """Return the mean of the splits for each layer and number of photos per class."""
    by_row: dict[tuple[str, int], list[Fit]] = {}
    for key, fit in fits.items():
        by_row.setdefault((key.layer, key.per_class), []).append(fit)
    return tuple(_accuracy(layer, size, each) for (layer, size), each in by_row.items())


def _accuracy(layer: str, per_class: int, fits: Sequence[Fit]) -> LayerAccuracy:
    shares = [100 * fit.accuracy for fit in fits]
    return LayerAccuracy(
        layer=layer,
        per_class=per_class,
        accuracy=round(mean(shares), 3),
        deviation=round(stdev(shares), 3) if len(shares) > 1 else None,
        splits=tuple(round(share, 3) for share in shares),
        unconverged=sum(not fit.converged for fit in fits),
    )


def _write_result(target: Path, result: ProbeResult) -> None:
    from zfscope.probe.figure import draw_probe  # imports matplotlib

    write_file(target / FIGURE, draw_probe(result))
    write_file(target / RESULT, result.model_dump_json(indent=2).encode() + b"\n")
