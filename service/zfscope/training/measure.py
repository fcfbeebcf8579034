"""The accuracy of a stored model on a data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zfscope.datasets import PassedOver
from zfscope.datasets.names import similar_classes
from zfscope.datasets.read import Skipped
from zfscope.errors import InputError
from zfscope.store import Model
from zfscope.training.decoded import cached_photos
from zfscope.training.evaluate import Accuracy, evaluate
from zfscope.training.labelled import read_folder
from zfscope.training.overlap import repeat_warnings


@dataclass(frozen=True)
class Evaluation:
    """An accuracy, the photos that could not be used, what was passed over, and what may be wrong."""

    accuracy: Accuracy
    skipped: tuple[Skipped, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    warnings: tuple[str, ...] = ()


def evaluate_model(
    model: Model,
    data: Path,
    *,
    ten_crop: bool,
    cache: Path,
    advance: Callable[[int], None] = lambda photos: None,
) -> Evaluation:
    """Measure a stored model on a data set whose classes are among its label ids.

    cache: a folder for the decoded photos. advance: called with the number of photos decoded, then of those
    classified. Raises InputError for a data set that does not fit the model, and for a model without classes.
    """
    if not model.labels:
        raise InputError(f"{model.manifest.title} has no classes to be right about", field="model")
    photos = read_folder(data, [label.id for label in model.labels])
    decoded = cached_photos(photos, model.preprocessing, cache / "evaluation.pixels", advance=advance)
    accuracy = evaluate(
        model.network,
        np.asarray(decoded.squares),
        decoded.targets,
        model.preprocessing,
        mean_image=model.mean_image,
        ten_crop=ten_crop,
        advance=advance,
    )
    warnings = *similar_classes(photos.data.classes), *repeat_warnings(decoded.record.used, "photos")
    return Evaluation(accuracy, decoded.skipped, photos.passed_over, warnings)
