"""Analyzers accepted by the contract, at run time and by mypy: `make check` type-checks this file.

If mypy accepted an invalid analyzer, the `type: ignore` on its line would be unused, which is an error.
"""

import inspect
import sys
import textwrap
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, Field

from zfscope.analysis import contract
from zfscope.analysis.contract import Analysis, Analyzer, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params, run
from zfscope.images.preprocess import Preprocessing, prepare
from zfscope.store import Model


class BrightnessParams(BaseModel, extra="forbid"):
    channel: int = Field(default=0, ge=0, le=2, description="Colour channel: 0 red, 1 green, 2 blue.")


class Brightness:
    name = "brightness"
    summary = "The mean level of one colour channel of a photo"
    api_version = 2
    photos = (1, 1)
    params = BrightnessParams
    needs = ()  # nothing of the model; see below

    def cost(self, model: Model, params: BrightnessParams) -> int:
        return 0  # forward passes per photo

    def analyze(self, context: Context, params: BrightnessParams) -> Analysis:
        context.check_cancelled()
        photo = context.images[0].photo
        return Analysis(numbers={"level": float(photo[:, :, params.channel].mean())})


@dataclass(frozen=True)
class Frozen:
    """An analyzer with some attributes on its immutable instances, and the others as ClassVar."""

    name: str = "frozen"
    photos: tuple[int, int] = (1, 1)
    summary: ClassVar[str] = "Returns nothing"
    api_version: ClassVar[int] = 2
    params: ClassVar[type[BrightnessParams]] = BrightnessParams

    def cost(self, model: Model, params: BrightnessParams) -> int:
        return 0

    def analyze(self, context: Context, params: BrightnessParams) -> Analysis:
        return Analysis()


@dataclass(frozen=True)
class Numbered(Frozen):
    name: int = 5  # type: ignore[assignment]


class Other(BaseModel):
    level: int = 1


VALID: tuple[Analyzer[BrightnessParams], ...] = (Brightness(), Frozen())
WITH_OTHER_PARAMETERS: Analyzer[Other] = Brightness()  # type: ignore[assignment]
WITH_A_NUMBER_AS_NAME: Analyzer[BrightnessParams] = Numbered()  # type: ignore[assignment]
NOT_AN_ANALYZER: Analyzer[BrightnessParams] = Other()  # type: ignore[assignment]


def test_the_example_in_the_contract_matches_this_file() -> None:
    example = "\n".join(inspect.getsource(shown) for shown in (BrightnessParams, Brightness))
    assert textwrap.indent(example, "    ") in str(contract.__doc__)


@pytest.mark.parametrize("analyzer", VALID, ids=lambda analyzer: analyzer.name)
def test_the_registry_accepts_what_mypy_accepts(
    analyzer: Analyzer[BrightnessParams], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("typed_analyzers")
    vars(module)["Typed"] = type(analyzer)
    monkeypatch.setitem(sys.modules, "typed_analyzers", module)
    point = EntryPoint(analyzer.name, "typed_analyzers:Typed", "zfscope.analyzers")
    assert list(load_analyzers(points=[point])) == [analyzer.name]


def test_the_example_returns_the_mean_of_the_requested_channel() -> None:
    steps = Preprocessing(short_side=8, centre=8, crop=8)
    photo = prepare(np.full((8, 8, 3), (10, 20, 30), np.uint8), steps)
    runtime: Any = SimpleNamespace(precision="float32")  # it uses neither this nor the model
    context = Context(model=None, runtime=runtime, images=(photo,))  # type: ignore[arg-type]
    result = run(Brightness(), context, read_params(Brightness(), {"channel": 2}))
    assert result.numbers == {"level": 30}
