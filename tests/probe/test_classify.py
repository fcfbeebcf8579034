"""Classifiers of features: scikit-learn's, on the rows of the photos alone."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from zfscope.probe import classify
from zfscope.probe.classify import class_mean_accuracy, fit_classifier


def noisy_classes(count: int = 240, classes: int = 4) -> tuple[Any, Any]:
    """Return features that show the class in noise, and the classes, of very different sizes."""
    generator = np.random.default_rng(0)
    labels = generator.choice(classes, count, p=[0.6, 0.2, 0.1, 0.1]).astype(np.int32)
    features = generator.normal(size=(count, 12)) + 1.5 * np.eye(12)[labels]
    return features.astype(np.float16), labels


def test_the_accuracy_is_that_of_scikit_learn_by_hand() -> None:
    features, labels = noisy_classes()
    trained, tested = np.arange(0, 80), np.arange(80, 240)
    by_hand = LogisticRegression(C=0.1, tol=1e-3, max_iter=300)
    by_hand.fit(features[:80].astype(np.float32), labels[:80])
    predicted = by_hand.predict(features[80:].astype(np.float32))
    fit = fit_classifier(features, labels, trained, tested)
    assert fit.accuracy == balanced_accuracy_score(labels[80:], predicted)
    assert fit.accuracy != (predicted == labels[80:]).mean()
    assert 0.4 < fit.accuracy < 1
    assert fit.converged


def test_a_training_that_does_not_converge_is_reported(monkeypatch: Any) -> None:
    features, labels = noisy_classes()
    monkeypatch.setattr(classify, "STEPS", 2)
    with classify.classifying():
        assert not fit_classifier(features, labels, np.arange(80), np.arange(80, 240)).converged


def test_the_accuracy_is_the_mean_over_the_tested_classes() -> None:
    actual, predicted = np.array([0, 0, 0, 2, 2]), np.array([0, 0, 2, 2, 0])
    assert class_mean_accuracy(predicted, actual) == (2 / 3 + 1 / 2) / 2


def test_features_are_read_by_the_rows_to_train_on_and_by_chunks_to_test_with(monkeypatch: Any) -> None:
    features, labels = noisy_classes()
    read = []

    class Counting:
        def __getitem__(self, numbers: Any) -> Any:
            read.append(len(numbers))
            return features[numbers]

    monkeypatch.setattr(classify, "CHUNK", 64)
    assert fit_classifier(Counting(), labels, np.arange(80), np.arange(80, 240)) == fit_classifier(  # type: ignore[arg-type]
        features, labels, np.arange(80), np.arange(80, 240)
    )
    assert read == [80, 64, 64, 32]
