"""What is the same for all windows of a photo: where they lie, what covers, what the network says without.

And what the watched map saw in the photo as it is, and would have seen without having learnt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context, array, check_classifies, class_number, images_of
from zfscope.analysis.control import Similarity, check_down_to, project_control, similarities
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit, is_silent, strongest_unit, strongest_units
from zfscope.engine.trace import Trace, trace
from zfscope.errors import InputError, NotFound
from zfscope.images.geometry import Box
from zfscope.images.normalise import normalise
from zfscope.images.preprocess import Prepared
from zfscope.images.render import GREY
from zfscope.networks.receptive import receptive_fields
from zfscope.store import Label, Model
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.windows import Window, masked, starts
from zfscope_analyzers.params import PhotoBox


@dataclass(frozen=True, eq=False)
class Scene:
    """What is the same for all windows."""

    context: Context
    params: OccludeParams
    windows: Sequence[Window]
    targets: Sequence[int]
    scores: NDArray[np.float32]
    """The clean photo's class scores, before the softmax."""
    clean: NDArray[np.float64]
    """What is read of each class in the clean photo: its probability, or its score."""
    unit: Unit
    traced: Trace
    cover: NDArray[np.uint8]
    """What covers, as a picture of the crop's size."""
    filled: Tensor
    """The normalised crop with the fill everywhere: (3, H, W)."""

    def under(self, window: Window) -> Tensor:
        """Return the normalised pixels of a window that is covered: (3, rows, columns)."""
        rows, columns = window.area
        mask = torch.as_tensor(window.mask, device=self.filled.device)
        clean = self.traced.outputs["input"][0, :, rows, columns]
        return torch.where(mask, self.filled[:, rows, columns], clean)

    @property
    def model(self) -> Model:
        """The model that looks."""
        return self.context.model

    @property
    def prepared(self) -> Prepared:
        """The photo that is looked at."""
        return self.context.images[0]

    @property
    def labels(self) -> Sequence[Label]:
        """The model's classes."""
        return self.model.labels


def scene_of(context: Context, params: OccludeParams) -> Scene:
    """Look at the photo as it is. Raises InputError and NotFound, before any pass, for what does not fit."""
    model, prepared = context.model, context.images[0]
    check_classifies(model)
    windows = _windows(context, params)
    targets = [
        class_number(model, label, field=f"classes[{place}]") for place, label in enumerate(params.classes)
    ]
    model.network.spec.layer(params.layer)
    check_down_to(model.network, params.layer, params.control_down_to)
    shape = model.network.shapes[params.layer]
    if params.map is not None and params.map >= shape[0]:
        raise NotFound(
            f"no map {params.map} in layer '{params.layer}'; map runs from 0 to {shape[0] - 1}", field="map"
        )
    traced = trace(model.network, images_of(model, prepared.pixels[:1]))
    scores = array(traced.outputs[model.spec.scores])[0]
    if params.map is None:
        (unit,) = strongest_units(traced, params.layer, 0, 1)
    else:
        unit = strongest_unit(traced, params.layer, 0, params.map)
    cover = cover_of(prepared.views[0], params.fill, blur_px=params.window / 2)
    filled = normalise(cover, model.preprocessing, model.mean_image)
    return Scene(
        context=context,
        params=params,
        windows=windows,
        targets=targets or [int(scores.argmax())],
        scores=scores,
        clean=values_of(scores[None], params.value)[0],
        unit=unit,
        traced=traced,
        cover=cover,
        filled=images_of(model, filled),
    )


def cover_of(view: NDArray[np.uint8], fill: str, *, blur_px: float) -> NDArray[np.uint8]:
    """Return the picture that covers a view, uint8 (H, W, 3): all of it.

    fill: `grey` (128), `mean` (the view's own mean colour; the model's is `fill_colour` of
    `zfscope.images.transform`), `blur` (the view, by a Gaussian of a standard deviation of `blur_px`), or
    #rrggbb.
    """
    if fill == "blur":
        return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(blur_px)))
    if fill == "grey":
        colour = np.full(3, GREY)
    elif fill == "mean":
        colour = view.reshape(-1, 3).mean(0).round()
    else:
        colour = np.array([int(fill[place : place + 2], 16) for place in (1, 3, 5)])
    return np.broadcast_to(colour.astype(np.uint8), view.shape)


def values_of(logits: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """Return the probabilities of class scores, (N, classes), or for the kind `logit` themselves."""
    return softmax(logits) if kind == "probability" else logits.astype(np.float64)


def _windows(context: Context, params: OccludeParams) -> Sequence[Window]:
    prepared = context.images[0]
    height, width = prepared.views.shape[1:3]
    if params.boxes:
        return [_boxed(box, place, prepared) for place, box in enumerate(params.boxes)]
    if params.masks:
        return list(_masked(context, params.masks))
    if params.window > min(height, width):
        raise InputError(
            f"window is {params.window}; the network reads {width} x {height} pixels: allowed are 1 to "
            f"{min(height, width)}",
            field="window",
        )
    rows, columns = (starts(side, params.window, params.stride) for side in (height, width))
    return [Window(y, x, params.window, params.window) for y in rows for x in columns]


def _boxed(box: PhotoBox, place: int, prepared: Prepared) -> Window:
    """Return the network pixels of a box of the photo. Raises InputError for one outside of the crop."""
    height, width = prepared.views.shape[1:3]
    there = prepared.geometries[0].to_network(Box(box.x0, box.y0, box.x1, box.y1)).whole()
    inside = there.clip((height, width))
    if not inside.width or not inside.height:
        region = prepared.geometries[0].region
        raise InputError(
            f"boxes[{place}] is ({box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}); of the photo the network "
            f"sees ({region.x0:g}, {region.y0:g}, {region.x1:g}, {region.y1:g})",
            field=f"boxes[{place}]",
        )
    return Window(int(inside.y0), int(inside.x0), int(inside.height), int(inside.width))


def _masked(context: Context, masks: Sequence[bytes]) -> Iterator[Window]:
    """Yield the window of each mask; a mask of a large photo takes some tenths of a second."""
    for place, mask in enumerate(masks):
        context.check_cancelled()
        yield masked(mask, context.images[0], f"masks[{place}]", context.limits)


@dataclass(frozen=True, eq=False)
class Projected:
    """The projection of the map's strongest unit, and of the control, None without one: float32 (3, H, W)."""

    pixels: NDArray[np.float32]
    control: NDArray[np.float32] | None
    alike: Similarity
    silent: bool
    """The unit's activation is rounding, and so is the projection."""

    @property
    def shown(self) -> NDArray[np.float32]:
        """The projection as it is drawn: rounding is drawn as zero."""
        return np.zeros_like(self.pixels) if self.silent else self.pixels


def projected(scene: Scene) -> Projected:
    """Project the map's strongest unit, and the control where it was asked for."""
    params, network, unit = scene.params, scene.model.network, scene.unit
    pixels = array(project(network, scene.traced, params.layer, [unit]))
    silent = is_silent(scene.traced, params.layer, unit)
    if not params.control:
        return Projected(pixels[0], None, Similarity(None, None), silent)
    images = scene.traced.outputs["input"]
    seen = project_control(
        network,
        images,
        params.layer,
        [unit],
        rule="deconvnet",
        normalisation="skip",
        down_to=params.control_down_to,
    )
    control = array(seen)
    field = Box(*receptive_fields(network.spec)[params.layer].box(unit.y, unit.x))
    return Projected(pixels[0], control[0], similarities(pixels, control, [field])[0], silent)
