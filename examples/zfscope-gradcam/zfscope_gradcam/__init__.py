"""Grad-CAM for ZFScope: where in a photo the evidence for a class lies (Selvaraju et al. 2017)."""

from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import interpolate

from zfscope.plugin import (
    FORWARD,
    Analysis,
    Context,
    InputError,
    Label,
    Layer,
    Model,
    Network,
    NetworkSpec,
    Picture,
    Table,
    Trace,
    array,
    check_classifies,
    check_layer,
    class_number,
    figure,
    heat_panel,
    images_of,
    photo_panel,
    picture,
    rounding,
    softmax,
    trace,
)

_SIDE_PX = 400
_LEGEND = "viridis from the least value (dark) to the greatest (yellow), which are written under the map"


class GradCamParams(BaseModel):
    """Which class to explain, and by the maps of which layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str = Field(default="relu5", description="A layer of feature maps, below the class scores.")
    label: str = Field(
        default="", description="The class: a label's id or its name. Empty: the photo's likeliest."
    )


@dataclass(frozen=True)
class _Target:
    """The class that is explained: its place among the scores, its score and probability in the photo."""

    place: int
    label: Label
    score: float
    probability: float


class GradCam:
    """Weights the maps of a layer by how much each speaks for a class, and lays their sum over the photo.

    Gives the tensors, float32, `cam` (rows, columns) of the layer, ReLU(sum_k alpha_k A^k); `weights`
    (maps,), the alpha_k; and `heat` (H, W), `cam` resized to the network's crop. The numbers `score`, of the
    class before the softmax, and `peak`, the greatest value of `cam`: 0 where nothing speaks for the class.
    The table `classes` (label_id, label, probability), of one row. The picture `gradcam`.
    """

    name = "gradcam"
    summary = "Where in a photo the evidence for a class lies (Grad-CAM)"
    api_version = 2
    photos = (1, 1)
    params = GradCamParams

    def cost(self, model: Model, params: GradCamParams) -> int:
        """Count a pass up, and one for the way back."""
        return 2

    def analyze(self, context: Context, params: GradCamParams) -> Analysis:
        """Find the evidence in the network's crop of the photo.

        Raises NotFound for a layer or label that the model does not have, InputError for a layer that has no
        maps or does not lead to the scores, and for a name that several labels have.
        """
        model, crop = context.model, context.images[0]
        check_classifies(model)
        _check_maps(model.network, params.layer)
        wanted = class_number(model, params.label, field="label") if params.label else None
        context.check_cancelled()
        traced = trace(model.network, images_of(model, crop.pixels[:1]))
        context.progress(0.4, None)
        context.check_cancelled()
        target = _target_of(model, traced, wanted)
        cam, weights = grad_cam(model.network, traced, params.layer, target.place)
        heat, floor = _resized(cam, crop.views.shape[1:3]), cam_floor(traced, params.layer, weights)
        context.progress(0.8, None)
        return Analysis(
            tensors={"cam": array(cam), "weights": array(weights), "heat": array(heat)},
            pictures=(_drawn(context, params.layer, target, heat, floor),) if context.pictures else (),
            numbers={"score": target.score, "peak": float(cam.max())},
            tables={"classes": _table_of(target)},
        )


def grad_cam(network: Network, traced: Trace, layer: str, place: int) -> tuple[Tensor, Tensor]:
    """Give ReLU(sum_k alpha_k A^k), (rows, columns), and the alpha_k, (maps,), of one class score (Sec 3).

    A^k are the layer's maps; alpha_k is the mean over space of the score's gradient at A^k (Eq 1, 2).
    """
    with torch.enable_grad():
        maps = traced.outputs[layer].detach().requires_grad_()
        score = _scores_of(network, traced, layer, maps)[0, place]
        (gradient,) = torch.autograd.grad(score, maps)
    weights = gradient[0].mean((1, 2))
    return torch.einsum("k,kyx->yx", weights, maps.detach()[0]).relu(), weights


def cam_floor(traced: Trace, layer: str, weights: Tensor) -> float:
    """Return the largest value that rounding gives a map of evidence, whose terms may cancel."""
    terms = torch.einsum("k,kyx->yx", weights.abs(), traced.outputs[layer][0].abs())
    return rounding(float(terms.max()))


def _scores_of(network: Network, traced: Trace, layer: str, maps: Tensor) -> Tensor:
    """Run what lies above a layer again, from these maps of it: the class scores, (1, classes)."""
    known = {**traced.outputs, layer: maps}
    sources = network.spec.sources
    for step in _above(network.spec, layer):
        inputs = [known[name] for name in sources[step.name]]
        known[step.name] = FORWARD[step.kind](step, inputs, network.weights(step.name))
    return known[network.spec.scores]


def _above(spec: NetworkSpec, layer: str) -> list[Layer]:
    """Give the layers that read a layer, or read what does, in the order of evaluation."""
    sources, changed, found = spec.sources, {layer}, []
    for step in spec.layers:
        if not changed.isdisjoint(sources[step.name]):
            changed.add(step.name)
            found.append(step)
    return found


def _check_maps(network: Network, layer: str) -> None:
    """Raise NotFound or InputError unless the layer has maps and leads to the class scores."""
    check_layer(network.spec, layer)
    if len(network.shapes[layer]) != 3:
        have = ", ".join(known.name for known in network.spec.layers if len(network.shapes[known.name]) == 3)
        raise InputError(f"layer '{layer}' has no maps; these have: {have}", field="layer")
    if network.spec.layers[-1] not in _above(network.spec, layer):
        raise InputError(f"layer '{layer}' does not lead to the class scores", field="layer")


def _target_of(model: Model, traced: Trace, wanted: int | None) -> _Target:
    """Give the class at a place among the scores, the likeliest for None."""
    logits = array(traced.outputs[model.network.spec.scores])
    place = int(logits[0].argmax()) if wanted is None else wanted
    return _Target(place, model.labels[place], float(logits[0, place]), float(softmax(logits)[0, place]))


def _resized(cam: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize a map, (rows, columns), bilinearly to a size of (H, W)."""
    return interpolate(cam[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _table_of(target: _Target) -> Table:
    """Write the class as a table of one row."""
    row = (target.label.id, target.label.name, target.probability)
    return Table(("label_id", "label", "probability"), (row,))


def _drawn(context: Context, layer: str, target: _Target, heat: Tensor, floor: float) -> Picture:
    """Draw the photo beside the map that is laid over it; up to `floor` its values are rounding."""
    view, name = context.images[0].views[0], target.label.name
    subject = "what speaks" if float(heat.max()) > floor else "nothing speaks"
    caption = f"{subject} for '{name}' in the maps of {layer}"
    panels = [
        photo_panel(view, "what the network sees of the photo", side_px=_SIDE_PX),
        heat_panel(array(heat), view, caption, side_px=_SIDE_PX, floor=floor),
    ]
    rendering = figure(
        panels,
        title=f"Grad-CAM, by {context.model.name}",
        subtitle=f"'{name}': probability {target.probability:.3g}, score {target.score:.3g}",
        scale=_LEGEND,
    )
    return picture("gradcam", rendering)
