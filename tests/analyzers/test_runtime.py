"""Full passes use the selected runtime: here one that classifies everything as a cat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from zfscope.analysis.classification import classify
from zfscope.analysis.contract import Analyzer, Context
from zfscope.analysis.run import read_params, run
from zfscope.runtimes import MapMaxima, Runtime
from zfscope.runtimes.protocol import compute_maxima
from zfscope_analyzers.invariance import InvarianceAnalyzer
from zfscope_analyzers.occlude import Occlude

Array = NDArray[np.float32]
CAT = 2


@dataclass
class CatsEverywhere:
    """Runtime with constant class scores that otherwise delegates to another one."""

    runtime: Runtime
    name: str = "cats"
    title: str = "cats"
    precision: str = "float32"

    def forward(self, images: Array) -> Array:
        scores = np.zeros_like(self.runtime.forward(images))
        scores[:, CAT] = 20
        return scores

    def outputs(self, images: Array, layers: Sequence[str]) -> Mapping[str, Array]:
        return {**self.runtime.outputs(images, layers), "fc8": self.forward(images)}

    def map_maxima(
        self, images: Array, layers: Sequence[str], *, sums: bool = False
    ) -> Mapping[str, MapMaxima]:
        maxima = self.runtime.map_maxima(images, layers, sums=sums)
        return {**maxima, "fc8": compute_maxima(self.forward(images), sums=sums)}

    def cell_maxima(self, images: Array, layers: Sequence[str]) -> Mapping[str, Array]:
        return {**self.runtime.cell_maxima(images, layers), "fc8": self.forward(images)}

    def check(self) -> None:
        self.runtime.check()


@pytest.fixture
def cats(plain_context: Context) -> Context:
    return replace(plain_context, runtime=CatsEverywhere(plain_context.runtime))


def analysed(analyzer: Analyzer[Any], context: Context, **params: object) -> Mapping[str, Any]:
    return run(analyzer, context, read_params(analyzer, params)).tensors


def test_classification_uses_the_selected_runtime(cats: Context) -> None:
    assert classify(cats.model, cats.runtime, cats.images[0])[0].label == "cat"


def test_invariance_uses_the_selected_runtime(cats: Context) -> None:
    result = analysed(InvarianceAnalyzer(), cats, transformations=["rotation"], rotations_deg=[90])
    np.testing.assert_allclose(result["rotation-probabilities"], 1, atol=1e-6)
    assert (result["rotation-distances"] > 0).all()


def test_full_occlusion_passes_use_the_selected_runtime(cats: Context) -> None:
    result = analysed(Occlude(), cats, window=8, stride=8, method="full", classes=["cat"])
    np.testing.assert_allclose(result["values"], 1, atol=1e-6)
