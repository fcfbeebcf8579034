"""What all methods share: the class, the module of the call, the result and its figure."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from zfscope.plugin import (
    FILL_PATTERN,
    Analysis,
    Context,
    Label,
    Model,
    Need,
    Picture,
    Table,
    array,
    attribution_panel,
    check_classifies,
    class_number,
    figure,
    fill_input,
    images_of,
    photo_panel,
    picture,
    softmax,
)
from zfscope_captum.module import CaptumModule

_SIDE_PX = 400
_LEGEND = (
    "red: supports the class; blue: speaks against it; the strongest colours are the 99.5th percentile of "
    "the magnitudes, written below the map"
)
# Images of a pass, where Captum divides its work.
BATCH = 16


class CaptumParams(BaseModel):
    """The class to explain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str = Field(
        default="", description="Class: a label's id or name. Empty: the photo's most likely class."
    )


class BaselineParams(CaptumParams):
    """The class, and the image that stands for the absence of evidence."""

    baseline: str = Field(
        default="grey",
        pattern=FILL_PATTERN,
        description="Image without evidence: grey (128), mean (the mean colour of the crop), blur (the crop, "
        "blurred by a Gaussian with a standard deviation of 1/14 of its side) or #rrggbb.",
    )


ParamsT = TypeVar("ParamsT", bound=CaptumParams)


@dataclass(frozen=True, eq=False)
class Call(Generic[ParamsT]):
    """One call of a method.

    module: the network, for this call alone. images: the crop, (1, C, H, W). target: index of the class.
    score, probability: of the class in the photo.
    """

    context: Context
    params: ParamsT
    module: CaptumModule
    images: Tensor
    target: int
    label: Label
    score: float
    probability: float

    def baseline(self) -> Tensor:
        """Return the baseline of a method that has one, (1, C, H, W)."""
        assert isinstance(self.params, BaselineParams)
        model, view = self.context.model, self.context.images[0].views[0]
        blur_px = view.shape[0] / 14
        _, pixels = fill_input(
            view, self.params.baseline, model.preprocessing, model.mean_image, blur_px=blur_px
        )
        return images_of(model, pixels[None])

    def scores_of(self, images: Tensor) -> float:
        """Return the score of the class for one image, (1, C, H, W)."""
        with torch.no_grad():
            return float(self.module(images)[0, self.target])


@dataclass(frozen=True, eq=False)
class Attributed:
    """Result of a method. values: as Captum returned them, without the batch dimension.

    attribution: (H, W), of the crop. numbers: further numbers.
    """

    values: Tensor
    attribution: Tensor
    numbers: Mapping[str, float] = field(default_factory=dict)


class CaptumAnalyzer(Generic[ParamsT]):
    """Base class of the analyzers.

    Tensors, float32: `attribution` (H, W), how much each pixel of the network's crop supports the class;
    `captum`, what Captum returned. Number: `score` of the class before the softmax, which all methods
    explain. Table: `classes` (label_id, label, probability), one row. Picture: the method,
    such as `deep-lift`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    # The method's name in the figure.
    title: ClassVar[str]
    params: type[ParamsT]
    api_version = 2
    photos = (1, 1)
    needs = (Need.network, Need.scores)

    def __init__(self) -> None:
        # Captum warns, in each call, that it registers hooks: here, on a module that no other call uses.
        warnings.filterwarnings("ignore", "Setting (forward, )?backward", UserWarning)

    def cost(self, model: Model, params: ParamsT) -> int:
        """Return the number of passes; a backward pass counts as one."""
        raise NotImplementedError

    def attribute(self, call: Call[ParamsT]) -> Attributed:
        """Call the method of Captum."""
        raise NotImplementedError

    def check(self, model: Model, params: ParamsT) -> None:
        """Raise NotFound or InputError for parameters that do not fit the model."""

    def analyze(self, context: Context, params: ParamsT) -> Analysis:
        """Attribute the score of a class to the pixels of the network's crop of the photo.

        Raises NotFound for an unknown label or layer; InputError for a name that several labels share, and
        for a layer without maps or without a path to the scores.
        """
        model = context.model
        check_classifies(model)
        number = class_number(model, params.label, field="label") if params.label else None
        self.check(model, params)
        with torch.enable_grad():  # a service computes without gradients
            call = _prepare(context, params, number, self.cost(model, params))
            attributed = self.attribute(call)
        row = (call.label.id, call.label.name, call.probability)
        return Analysis(
            tensors={"attribution": array(attributed.attribution), "captum": array(attributed.values)},
            pictures=(self._draw(call, attributed),) if context.pictures else (),
            numbers={"score": call.score, **attributed.numbers},
            tables={"classes": Table(("label_id", "label", "probability"), (row,))},
        )

    def _draw(self, call: Call[ParamsT], attributed: Attributed) -> Picture:
        view = call.context.images[0].views[0]
        panels = [
            photo_panel(view, "the network's crop of the photo", side_px=_SIDE_PX),
            attribution_panel(
                array(attributed.attribution), view, f"evidence for '{call.label.name}'", side_px=_SIDE_PX
            ),
        ]
        rendering = figure(
            panels,
            title=f"{self.title} of {call.context.model.name}",
            subtitle=_subtitle(call),
            scale=_LEGEND,
        )
        return picture(self.name.removeprefix("captum-"), rendering)


def _subtitle(call: Call[Any]) -> str:
    text = f"'{call.label.name}': probability {call.probability:.3g}, score {call.score:.3g}"
    return f"{text}; baseline: {call.params.baseline}" if isinstance(call.params, BaselineParams) else text


def _prepare(context: Context, params: ParamsT, number: int | None, cost: int) -> Call[ParamsT]:
    model = context.model
    module = CaptumModule(model.network, _reporter(context, cost))
    images = images_of(model, context.images[0].pixels[:1])
    with torch.no_grad():
        scores = array(module(images))
    target = int(scores[0].argmax()) if number is None else number
    return Call(
        context,
        params,
        module,
        images.requires_grad_(),
        target,
        model.labels[target],
        float(scores[0, target]),
        float(softmax(scores)[0, target]),
    )


def _reporter(context: Context, cost: int) -> Callable[[int], None]:
    """Return a function that is called before each pass: it reports progress, and raises if cancelled."""
    done = 0

    def report(count: int) -> None:
        nonlocal done
        context.check_cancelled()
        context.progress(min(done / cost, 1.0), None)
        done += count

    return report


def summed(values: Tensor) -> Tensor:
    """Return what Captum returned for an image, (1, C, H, W), summed over the channels, (H, W)."""
    return values.detach()[0].sum(0)


def completeness(call: Call[Any], values: Tensor, baseline: Tensor) -> dict[str, float]:
    """Return the sum of the values, and how far it is from the difference of the scores that it should be."""
    total, before = float(values.detach().double().sum()), call.scores_of(baseline)
    return {
        "baseline_score": before,
        "total": total,
        "completeness_gap": total - (call.score - before),
    }
