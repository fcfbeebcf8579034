"""Classification of a photo."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from zfscope.answers.classification import Classification, ClassScore
from zfscope.errors import InputError, NotFound
from zfscope.images.preprocess import Prepared
from zfscope.results import Notice, merge_notices
from zfscope.runtimes import Runtime
from zfscope.store import Manifest, Model

DEFAULT_TOP = 5
MAX_TOP = 1000
# Maximum number of known labels listed in a NotFound message.
_MAX_LISTED_LABELS = 10


def classify(model: Model, runtime: Runtime, prepared: Prepared, top: int = 5) -> tuple[ClassScore, ...]:
    """Return the `top` most likely classes, most likely first, averaged over the crops (Sec 3).

    Returns all classes if the model has fewer. Raises InputError for a `top` outside 1..1000 and for a model
    without classes.
    """
    check_classifies(model)
    check_top(top)
    return likeliest(model, runtime.forward(prepared.pixels), top)


def classification(
    model: Model,
    logits: NDArray[np.float32],
    top: int,
    *,
    photo_size: tuple[int, int],
    warnings: Iterable[Notice],
    precision: str,
) -> Classification:
    """Return the most likely classes as a `Classification`, with the warnings of model and photo.

    precision: of the forward pass.
    """
    scores = likeliest(model, logits, top)
    noticed = merge_notices((*model.warnings, *warnings))
    return Classification(model.name, model.version, scores, photo_size, noticed, precision)


def check_top(top: int) -> None:
    """Raise InputError unless `top` is within 1..1000."""
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"top is {top}; allowed: 1 to {MAX_TOP} classes", field="top")


def likeliest(model: Model, logits: NDArray[np.float32], top: int) -> tuple[ClassScore, ...]:
    """Return the most likely classes from the logits of a photo's crops, (N, classes), in order."""
    probabilities = softmax(logits).mean(0)
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(
        ClassScore(
            int(index),
            model.labels[index].id,
            model.labels[index].name,
            float(probabilities[index]),
            float(logits[:, index].mean()),
        )
        for index in order
    )


def check_classifies(model: Model) -> None:
    """Raise InputError for a model that ends in feature maps, and so has no class scores."""
    if reason := no_classes_reason(model.manifest):
        raise InputError(
            f"{model.manifest.title} {reason}; use it for projections, or name another model", field="model"
        )


def no_classes_reason(manifest: Manifest) -> str:
    """Return why a model has no class scores, as the end of a sentence about it; empty if it has them."""
    if manifest.labels:
        return ""
    return f"has no classes: it ends in the feature maps of '{manifest.network.scores}'"


def class_number(model: Model, label: str, *, field: str) -> int:
    """Return the index of a class among the scores, given the id or else the name of its label.

    field: request field named in errors. Raises NotFound for an unknown label, and InputError for an
    ambiguous name or a model without classes.
    """
    check_classifies(model)
    ids = [known.id for known in model.labels]
    if label in ids:
        return ids.index(label)
    named = [index for index, known in enumerate(model.labels) if known.name == label]
    if not named:
        known = ", ".join(f"'{label.name}' ({label.id})" for label in model.labels[:_MAX_LISTED_LABELS])
        more = f" and {len(ids) - _MAX_LISTED_LABELS:,} more" if len(ids) > _MAX_LISTED_LABELS else ""
        raise NotFound(f"label '{label}' not found; this model has {known}{more}", field=field)
    if len(named) > 1:
        known = ", ".join(ids[index] for index in named)
        raise InputError(f"{len(named)} labels are named '{label}'; use an id instead: {known}", field=field)
    return named[0]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the softmax of logits, (N, classes), over the classes."""
    powers: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    total: NDArray[np.float64] = powers.sum(1, keepdims=True)
    return np.divide(powers, total)
