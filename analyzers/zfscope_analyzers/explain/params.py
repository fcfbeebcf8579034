"""Parameters of the comparison of explanations."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, ValidationInfo, field_validator

from zfscope.analysis.contract import Subanalysis
from zfscope_analyzers.faithfulness.params import NAME as FAITHFULNESS
from zfscope_analyzers.faithfulness.params import FaithfulnessParams
from zfscope_analyzers.params import Params, reject_duplicates

NAME = "explain"


class ExplainParams(Params):
    """The methods and models to compare, and how they are measured."""

    methods: Annotated[tuple[str, ...], AfterValidator(reject_duplicates)] = Field(
        default=("occlude", "project"),
        min_length=1,
        max_length=12,
        description="Methods to compare: analyzers that give a tensor `attribution`. NAME/VARIANT is the "
        "analyzer NAME once more, with other parameters.",
    )
    method_parameters: dict[str, dict[str, Any]] = Field(
        default={},
        description="Parameters of methods, by method as named in `methods`. The class is added, unless they "
        "select one.",
    )
    label: str = Field(
        default="", description="Class: a label's id or name. Empty: the photo's most likely class."
    )
    other: str = Field(
        default="",
        description="Another model to compare with, as NAME (newest version) or NAME:VERSION. Empty: none.",
    )
    removal: Literal["blur", "mean", "grey"] = Field(
        default="blur", description="Replacement of removed pixels; see the analyzer faithfulness."
    )
    step: float = Field(
        default=0.02, ge=0.001, le=0.5, description="Share of the pixels that is removed per step."
    )
    random: int = Field(
        default=5, ge=0, le=100, description="Number of random orders to compare with; 0 for none."
    )
    seed: NonNegativeInt = Field(default=0, description="Seed of the random orders.")
    control: bool = Field(
        default=False, description="Whether to measure each method with randomised weights, too."
    )

    @property
    def models(self) -> int:
        """Number of models."""
        return 2 if self.other else 1

    def faithfulness(self, method: str, *, random: bool) -> FaithfulnessParams:
        """Return the parameters of the measurement of a method. random: whether to measure random orders."""
        return FaithfulnessParams(
            method=analyzer_of(method),
            method_parameters=self.method_parameters.get(method, {}),
            removal=self.removal,
            step=self.step,
            random=self.random if random else 0,
            seed=self.seed,
            control=self.control,
        )

    def subanalyses(self) -> Sequence[Subanalysis]:
        """Return the analyses of all methods for all models."""
        times = self.models * (1 + self.control)
        return [
            Subanalysis(
                analyzer_of(method),
                self.method_parameters.get(method, {}),
                f"methods[{index}]",
                f"method_parameters.{method}",
                times,
                optional=True,
            )
            for index, method in enumerate(self.methods)
        ]

    @field_validator("methods")
    @classmethod
    def _reject_comparisons(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for method in methods:
            if analyzer_of(method) in (NAME, FAITHFULNESS):
                raise ValueError(f"'{method}' compares explanations and is none; name others")
        return methods

    @field_validator("method_parameters")
    @classmethod
    def _reject_unknown_methods(
        cls, parameters: dict[str, dict[str, Any]], info: ValidationInfo
    ) -> dict[str, dict[str, Any]]:
        methods = info.data.get("methods", tuple(parameters))
        for method in parameters:
            if method not in methods:
                raise ValueError(f"'{method}' is not one of the methods: {', '.join(methods)}")
        return parameters


def analyzer_of(method: str) -> str:
    """Return the analyzer of a method: `project` of `project/guided`."""
    return method.partition("/")[0]
