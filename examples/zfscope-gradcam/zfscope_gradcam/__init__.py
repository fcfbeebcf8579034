"""Grad-CAM for ZFScope: where in a photo the evidence for a class lies (Selvaraju et al. 2017)."""

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import interpolate

from zfscope.plugin import (
    ATTRIBUTION,
    FORWARD,
    Analysis,
    Context,
    InputError,
    Label,
    Layer,
    Model,
    Need,
    Network,
    NetworkSpec,
    Picture,
    Table,
    Trace,
    array,
    check_classifies,
    check_layer,
    class_number,
    default_layers,
    figure,
    heat_panel,
    list_layers,
    photo_panel,
    picture,
    rounding,
    softmax,
)

_SIDE_PX = 400
_LEGEND = "viridis, from the smallest value (dark) to the largest (yellow); both are written below the map"


class GradCamParams(BaseModel):
    """The class to explain, and the layer whose maps explain it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(
        default="",
        description="Layer of feature maps below the class scores. Empty: the activation after the last "
        "convolution.",
    )
    label: str = Field(
        default="", description="Class: a label's id or name. Empty: the photo's most likely class."
    )


@dataclass(frozen=True)
class _Target:
    """The class to explain: its index among the scores, its score and its probability in the photo."""

    index: int
    label: Label
    score: float
    probability: float


class GradCam:
    """Grad-CAM: the maps of a layer, weighted by their evidence for a class, summed and laid over the photo.

    Tensors, float32: `cam` (rows, columns) of the layer, ReLU(sum_k alpha_k A^k); `weights` (maps,), the
    alpha_k; `attribution` (H, W), `cam` resized to the network's crop. Numbers: `score` of the class before
    the softmax; `peak`, the largest value of `cam`, 0 without evidence for the class. Table: `classes`
    (label_id, label, probability, layer), one row. Picture: `gradcam`.
    """

    name = "gradcam"
    summary = "Where in a photo the evidence for a class lies (Grad-CAM)"
    api_version = 2
    photos = (1, 1)
    params = GradCamParams
    needs = (Need.network, Need.scores)

    def cost(self, model: Model, params: GradCamParams) -> int:
        """Return the number of passes: one forward, one backward."""
        return 2

    def analyze(self, context: Context, params: GradCamParams) -> Analysis:
        """Compute the evidence in the network's crop of the photo.

        Raises NotFound for an unknown layer or label; InputError for a layer without maps or without a path
        to the scores, and for a name that several labels share.
        """
        model, crop = context.model, context.images[0]
        check_classifies(model)
        layer = _layer_with_maps(model.network, params.layer)
        number = class_number(model, params.label, field="label") if params.label else None
        context.check_cancelled()
        traced = context.trace()
        context.progress(0.4, None)
        context.check_cancelled()
        target = _target_of(model, traced, number)
        cam, weights = grad_cam(model.network, traced, layer, target.index)
        heat, floor = _resize(cam, crop.views.shape[1:3]), cam_floor(traced, layer, weights)
        context.progress(0.8, None)
        return Analysis(
            tensors={"cam": array(cam), "weights": array(weights), ATTRIBUTION: array(heat)},
            pictures=(_draw(context, layer, target, heat, floor),) if context.pictures else (),
            numbers={"score": target.score, "peak": float(cam.max())},
            tables={"classes": _table_of(target, layer)},
        )


def grad_cam(network: Network, traced: Trace, layer: str, index: int) -> tuple[Tensor, Tensor]:
    """Return ReLU(sum_k alpha_k A^k), (rows, columns), and alpha_k, (maps,), of one class score (Sec 3).

    A^k are the layer's maps; alpha_k is the mean over space of the score's gradient at A^k (Eq 1, 2).
    """
    with torch.enable_grad():
        maps = traced.outputs[layer].detach().requires_grad_()
        score = _scores_of(network, traced, layer, maps)[0, index]
        (gradient,) = torch.autograd.grad(score, maps)
    weights = gradient[0].mean((1, 2))
    return torch.einsum("k,kyx->yx", weights, maps.detach()[0]).relu(), weights


def cam_floor(traced: Trace, layer: str, weights: Tensor) -> float:
    """Return the largest value that rounding errors can cause in the map, since its terms may cancel."""
    terms = torch.einsum("k,kyx->yx", weights.abs(), traced.outputs[layer][0].abs())
    return rounding(float(terms.max()))


def _scores_of(network: Network, traced: Trace, layer: str, maps: Tensor) -> Tensor:
    """Run the layers above a layer on the given maps; return the class scores, (1, classes)."""
    outputs = {**traced.outputs, layer: maps}
    sources = network.spec.sources
    for step in _above(network.spec, layer):
        inputs = [outputs[name] for name in sources[step.name]]
        outputs[step.name] = FORWARD[step.kind](step, inputs, network.weights(step.name))
    return outputs[network.spec.scores]


def _above(spec: NetworkSpec, layer: str) -> list[Layer]:
    """Return the layers that depend on a layer, in the order of evaluation."""
    sources, changed, above = spec.sources, {layer}, []
    for step in spec.layers:
        if not changed.isdisjoint(sources[step.name]):
            changed.add(step.name)
            above.append(step)
    return above


def _layer_with_maps(network: Network, name: str) -> str:
    """Return the full name of a layer, or of the default layer if the name is empty.

    Raises NotFound or InputError unless the layer has maps and leads to the class scores.
    """
    layer = check_layer(network.spec, name or default_layers(network.spec).last_activation)
    if len(network.shapes[layer]) != 3:
        allowed = list_layers(
            network.spec, [step.name for step in network.spec.layers if len(network.shapes[step.name]) == 3]
        )
        raise InputError(f"layer '{layer}' has no maps; layers with maps: {allowed}", field="layer")
    if network.spec.layers[-1] not in _above(network.spec, layer):
        raise InputError(f"layer '{layer}' does not lead to the class scores", field="layer")
    return layer


def _target_of(model: Model, traced: Trace, number: int | None) -> _Target:
    """Return the class with this index, or the most likely one for None."""
    logits = array(traced.outputs[model.network.spec.scores])
    index = int(logits[0].argmax()) if number is None else number
    return _Target(index, model.labels[index], float(logits[0, index]), float(softmax(logits)[0, index]))


def _resize(cam: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize a map, (rows, columns), bilinearly to (H, W)."""
    return interpolate(cam[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _table_of(target: _Target, layer: str) -> Table:
    """Return the class and the layer as a table of one row."""
    row = (target.label.id, target.label.name, target.probability, layer)
    return Table(("label_id", "label", "probability", "layer"), (row,))


def _draw(context: Context, layer: str, target: _Target, heat: Tensor, floor: float) -> Picture:
    """Draw the photo, and next to it the photo under the map; values up to `floor` are rounding errors."""
    view, name = context.images[0].views[0], target.label.name
    subject = "evidence" if float(heat.max()) > floor else "no evidence"
    caption = f"{subject} for '{name}' in the maps of {layer}"
    panels = [
        photo_panel(view, "the network's crop of the photo", side_px=_SIDE_PX),
        heat_panel(array(heat), view, caption, side_px=_SIDE_PX, floor=floor),
    ]
    rendering = figure(
        panels,
        title=f"Grad-CAM of {context.model.name}",
        subtitle=f"'{name}': probability {target.probability:.3g}, score {target.score:.3g}",
        scale=_LEGEND,
    )
    return picture("gradcam", rendering)
