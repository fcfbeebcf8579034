"""The likeliest classes of a photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import InputError
from zfscope.images.preprocess import Prepared
from zfscope.runtimes import Runtime
from zfscope.store import Model

LARGEST_TOP = 1000


@dataclass(frozen=True)
class ClassScore:
    """A class: its place among the labels, its probability (0..1) and its score before the softmax."""

    label_id: str
    label: str
    probability: float
    logit: float
    index: int


def classify(model: Model, runtime: Runtime, prepared: Prepared, top: int = 5) -> tuple[ClassScore, ...]:
    """Give the likeliest classes, likeliest first; of ten crops the mean probability (Sec 3).

    Raises InputError unless `top` lies in 1..1000; a model with fewer classes gives all it has.
    """
    if not 1 <= top <= LARGEST_TOP:
        raise InputError(f"top is {top}; allowed are 1 to {LARGEST_TOP}", field="top")
    logits = runtime.forward(prepared.pixels)
    probabilities = softmax(logits).mean(0)
    likeliest = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(
        ClassScore(
            model.labels[index].id,
            model.labels[index].name,
            float(probabilities[index]),
            float(logits[:, index].mean()),
            int(index),
        )
        for index in likeliest
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give probabilities, (N, classes), that add up to 1 in every row."""
    powers: NDArray[np.float64] = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    total: NDArray[np.float64] = powers.sum(1, keepdims=True)
    return np.divide(powers, total)
