"""Setup of an occlusion run: windows, fill, the clean forward pass, and projections of the watched map."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zfscope.analysis.classification import softmax
from zfscope.analysis.contract import Context, array, check_classifies, class_number, images_of
from zfscope.analysis.control import Similarity, check_down_to, project_control, similarities
from zfscope.engine.deconvnet import project
from zfscope.engine.seeds import Unit, is_silent, strongest_unit, strongest_units
from zfscope.engine.trace import Trace
from zfscope.errors import InputError
from zfscope.images.fill import fill_input
from zfscope.images.geometry import Box
from zfscope.images.preprocess import Prepared
from zfscope.networks.receptive import receptive_fields
from zfscope.networks.spec import shapes
from zfscope.store import Label, Model, opaque_reason
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.polygons import window_from_polygon
from zfscope_analyzers.occlude.windows import OcclusionWindow, window_from_mask, window_starts
from zfscope_analyzers.params import PhotoBox, PhotoPolygon, check_map


@dataclass(frozen=True, eq=False)
class OcclusionRun:
    """Everything that all windows of a photo have in common.

    targets: indices of the watched classes. scores: (classes,), scores of the clean photo before the softmax.
    clean: (classes,), the probability or score of each class in the clean photo. unit: strongest unit of the
    watched map. traced: forward pass of the clean crop. fill_view: the fill, uint8 (H, W, 3), as large as the
    crop. fill_pixels: the fill, normalised for the network, (C, H, W).
    """

    context: Context
    params: OccludeParams
    windows: Sequence[OcclusionWindow]
    targets: Sequence[int]
    scores: NDArray[np.float32]
    clean: NDArray[np.float64]
    unit: Unit
    traced: Trace
    fill_view: NDArray[np.uint8]
    fill_pixels: Tensor

    def occluded_pixels(self, window: OcclusionWindow) -> Tensor:
        """Return the normalised pixels of a window after occlusion: (C, rows, columns)."""
        rows, columns = window.area
        mask = torch.as_tensor(window.mask, device=self.fill_pixels.device)
        clean = self.traced.outputs["input"][0, :, rows, columns]
        return torch.where(mask, self.fill_pixels[:, rows, columns], clean)

    @property
    def model(self) -> Model:
        """Model under analysis."""
        return self.context.model

    @property
    def prepared(self) -> Prepared:
        """Photo to occlude."""
        return self.context.images[0]

    @property
    def labels(self) -> Sequence[Label]:
        """Classes of the model."""
        return self.model.labels


def prepare_run(context: Context, params: OccludeParams) -> OcclusionRun:
    """Validate the parameters and run the clean photo.

    Raises InputError and NotFound for parameters that do not fit the model or the photo, before any pass.
    """
    model, prepared = context.model, context.images[0]
    check_classifies(model)
    params = params.resolve(model.spec)
    windows = _windows(context, params)
    targets = [
        class_number(model, label, field=f"classes[{index}]") for index, label in enumerate(params.classes)
    ]
    _check_network_parameters(model, params)
    if params.map is not None:
        check_map(params.map, shapes(model.spec)[params.layer][0], layer=params.layer, field="map")
    traced = context.trace_layers([params.layer, model.spec.scores])
    scores = array(traced.outputs[model.spec.scores])[0]
    if params.map is None:
        (unit,) = strongest_units(traced, params.layer, 0, 1)
    else:
        unit = strongest_unit(traced, params.layer, 0, params.map)
    fill_view, fill_pixels = fill_input(
        prepared.views[0],
        params.fill,
        model.preprocessing,
        model.mean_image,
        blur_px=params.sizes(model.spec.input_size).window / 2,
    )
    return OcclusionRun(
        context=context,
        params=params,
        windows=windows,
        targets=targets or [int(scores.argmax())],
        scores=scores,
        clean=class_values(scores[None], params.value)[0],
        unit=unit,
        traced=traced,
        fill_view=fill_view,
        fill_pixels=images_of(model, fill_pixels),
    )


def _check_network_parameters(model: Model, params: OccludeParams) -> None:
    """Raise InputError or NotFound for parameters about layers that the model does not have.

    An opaque network is only run as a whole.
    """
    if not model.is_opaque:
        check_down_to(model.network, params.layer, params.control_down_to)
        return
    reason = f"{model.manifest.title} {opaque_reason(model.manifest)}"
    if params.method == "incremental":
        raise InputError(f"method is 'incremental', but {reason}; allowed: auto or full", field="method")
    if params.control:
        raise InputError(f"control is set, but {reason}; it has no projections", field="control")


def class_values(logits: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """Return probabilities from class scores, (N, classes), or the scores if the kind is `logit`."""
    return softmax(logits) if kind == "probability" else logits.astype(np.float64)


def _windows(context: Context, params: OccludeParams) -> Sequence[OcclusionWindow]:
    prepared = context.images[0]
    if params.boxes:
        return [window_from_box(box, index, prepared) for index, box in enumerate(params.boxes)]
    if params.masks:
        return list(_windows_from_masks(context, params.masks))
    if params.polygons:
        return list(_windows_from_polygons(context, params.polygons))
    side = context.model.spec.input_size
    sizes = params.sizes(side)
    if sizes.window > side:
        field = "window" if params.window else "stride"
        message = (
            f"{field} is {sizes.window}; allowed: 1 to {side} (the network reads {side} x {side} pixels)"
        )
        raise InputError(message, field=field)
    starts = window_starts(side, *sizes)
    return [OcclusionWindow(y, x, sizes.window, sizes.window) for y in starts for x in starts]


def window_from_box(box: PhotoBox, index: int, prepared: Prepared) -> OcclusionWindow:
    """Convert a box of the photo to the network's input. Raises InputError for a box outside of the crop."""
    height, width = prepared.views.shape[1:3]
    network_box = prepared.geometries[0].to_network(Box(box.x0, box.y0, box.x1, box.y1)).whole()
    inside = network_box.clip((height, width))
    if not inside.width or not inside.height:
        region = prepared.geometries[0].region
        raise InputError(
            f"boxes[{index}] is ({box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}), outside of the part of the "
            f"photo that the network sees, ({region.x0:g}, {region.y0:g}, {region.x1:g}, {region.y1:g})",
            field=f"boxes[{index}]",
        )
    return OcclusionWindow(int(inside.y0), int(inside.x0), int(inside.height), int(inside.width))


def _windows_from_masks(context: Context, masks: Sequence[bytes]) -> Iterator[OcclusionWindow]:
    """Yield the window of each mask; decoding a mask of a large photo takes some tenths of a second."""
    for index, mask in enumerate(masks):
        context.check_cancelled()
        yield window_from_mask(mask, context.images[0], f"masks[{index}]", context.limits)


def _windows_from_polygons(context: Context, polygons: Sequence[PhotoPolygon]) -> Iterator[OcclusionWindow]:
    """Yield the window of each polygon; one with many vertices takes up to some tenths of a second."""
    for index, polygon in enumerate(polygons):
        context.check_cancelled()
        yield window_from_polygon(polygon, context.images[0], f"polygons[{index}]")


@dataclass(frozen=True, eq=False)
class WatchedProjection:
    """Projection of the watched map's strongest unit, and of its control, float32 (C, H, W) each.

    control: None without a control. silent: whether the activation, and so the projection, is rounding only.
    """

    pixels: NDArray[np.float32]
    control: NDArray[np.float32] | None
    similarity: Similarity
    silent: bool

    @property
    def shown(self) -> NDArray[np.float32]:
        """Projection for drawing: zero if it is only rounding."""
        return np.zeros_like(self.pixels) if self.silent else self.pixels


def project_watched(run: OcclusionRun) -> WatchedProjection | None:
    """Project the watched map's strongest unit, with the control if it was requested.

    None for an opaque network.
    """
    if run.model.is_opaque:
        return None
    params, network, unit = run.params, run.context.network, run.unit
    pixels = array(project(network, run.traced, params.layer, [unit]))
    silent = is_silent(run.traced, params.layer, unit)
    if not params.control:
        return WatchedProjection(pixels[0], None, Similarity(None, None), silent)
    images = run.traced.outputs["input"]
    random = run.context.control(params.layer, down_to=params.control_down_to)
    control = array(
        project_control(random, images, params.layer, [unit], rule="deconvnet", normalisation="skip")
    )
    field = Box(*receptive_fields(network.spec)[params.layer].box(unit.y, unit.x))
    return WatchedProjection(pixels[0], control[0], similarities(pixels, control, [field])[0], silent)
