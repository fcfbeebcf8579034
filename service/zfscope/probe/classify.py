"""Accuracy of a linear classifier of features, trained on few photos of each class."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import MissingExtra
from zfscope.probe.extract import Features

# Inverse strength of the classifier's L2 penalty, and the gradient at which its training ends, for features
# with a root mean square of 1. Of powers of ten, the C that is best or nearly so in all layers of ZFNet.
PENALTY, TOLERANCE, STEPS = 0.1, 1e-3, 300
CLASSIFIER = f"scikit-learn LogisticRegression(C={PENALTY}, tol={TOLERANCE}, max_iter={STEPS})"
# Photos whose classes are predicted at once.
CHUNK = 1024

Labels = NDArray[np.int32]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """Result of a classifier: its accuracy from 0 to 1, and whether its training converged."""

    accuracy: float
    converged: bool


def require_scikit_learn() -> None:
    """Raise MissingExtra unless scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401  # imported for its error
    except ModuleNotFoundError as error:
        raise MissingExtra("a probe needs zfscope[probe]: pip install 'zfscope[probe]'") from error


@contextmanager
def classifying() -> Iterator[None]:
    """Prepare for `fit_classifier` in several threads: each computes on one core.

    Settings of the process, for libraries and warnings, are changed until the end of the block.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # counted instead
        yield


def fit_classifier(features: Features, labels: Labels, trained: Numbers, tested: Numbers) -> Fit:
    """Train logistic regression on some photos and return its accuracy on others.

    features: (N, features), of which only the rows of the two are read, those to test with in chunks.
    labels: index of the class of each photo, (N,). trained, tested: numbers of the photos.
    """
    from sklearn.linear_model import LogisticRegression

    classifier: Any = LogisticRegression(C=PENALTY, tol=TOLERANCE, max_iter=STEPS)
    classifier.fit(_rows(features, trained), labels[trained])
    chunks = (tested[start : start + CHUNK] for start in range(0, len(tested), CHUNK))
    predicted = np.concatenate([classifier.predict(_rows(features, chunk)) for chunk in chunks])
    return Fit(class_mean_accuracy(predicted, labels[tested]), int(classifier.n_iter_.max()) < STEPS)


def class_mean_accuracy(predicted: Labels, actual: Labels) -> float:
    """Return the mean of the accuracies of all classes, as the paper does: classes differ in size."""
    hits = np.bincount(actual, predicted == actual)
    photos = np.bincount(actual)
    return float((hits[photos > 0] / photos[photos > 0]).mean())


def _rows(features: Features, numbers: Numbers) -> NDArray[np.float32]:
    return features[numbers].astype(np.float32)
