"""Figure like Fig 7, for all windows or for those finished so far."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Picture, picture
from zfscope.engine.seeds import activation
from zfscope.images.heat import class_panel, figure, heat_panel, photo_panel
from zfscope.images.normalise import reorder
from zfscope.images.render import signed_to_rgb
from zfscope_analyzers.occlude.params import Shapes
from zfscope_analyzers.occlude.passes import OcclusionScores, is_changed, total_floor, value_floor
from zfscope_analyzers.occlude.setup import OcclusionRun, WatchedProjection, class_values
from zfscope_analyzers.occlude.windows import average_over_windows

_PANEL_PX = 400
_SINGULAR: Mapping[Shapes, str] = {
    "masks": "mask",
    "boxes": "box",
    "polygons": "polygon",
    "windows": "window",
}
_HEAT_NOTE = (
    "colour map viridis from the lowest value (dark) to the highest (yellow), both given under each map; a "
    "map whose values differ only by rounding has one colour and one number"
)


def draw_partial(run: OcclusionRun, values: NDArray[np.float64], planned: int) -> Picture:
    """Draw the map of the first class over the finished windows, which are those of the run.

    values: (windows,), of the first class. planned: number of all windows.
    """
    view = run.prepared.views[0]
    clean = float(run.clean[run.targets[0]])
    heat = average_over_windows(values, run.windows, view.shape[:2], clean)
    caption = _value_caption(run, run.targets[0])
    floor = value_floor(run, run.targets[0])
    drawn = figure(
        [heat_panel(heat, view, caption, side_px=_PANEL_PX, floor=floor)],
        title="Occlusion sensitivity (in progress)",
        subtitle=f"{len(run.windows)} of {planned} positions",
        scale=_HEAT_NOTE,
    )
    return picture("occlusion", drawn)


def _value_caption(run: OcclusionRun, target: int) -> str:
    label, clean = run.labels[target].name, run.clean[target]
    return f"{run.params.value} of '{label}' (clean: {clean:.3g})"


def _letter(run: OcclusionRun, panel: str) -> str:
    """Return the letter of a panel of Fig 7 in brackets; those after (c) move up where (c) is left out."""
    is_moved = run.model.is_opaque and panel > "c"
    return f"({chr(ord(panel) - is_moved)})"


def _value_panel(
    run: OcclusionRun, target: int, heat: NDArray[np.float32], values: NDArray[np.float64]
) -> Image.Image:
    """Draw panel (d) for one class. values: (windows,)."""
    caption, floor = f"{_letter(run, 'd')} {_value_caption(run, target)}", value_floor(run, target)
    if not is_changed(float(run.clean[target]), values, floor):
        caption += f"; {_no_change(run)}"
    return heat_panel(heat, run.prepared.views[0], caption, side_px=_PANEL_PX, floor=floor)


def _total_panel(run: OcclusionRun, scores: OcclusionScores, heat: NDArray[np.float32]) -> Image.Image:
    """Draw panel (b), the total activation of the watched map."""
    caption, floor = f"(b) total activation of {run.params.layer} map {run.unit.map}", total_floor(run)
    clean = float(run.traced.outputs[run.params.layer][0, run.unit.map].sum())
    if not is_changed(clean, scores.totals, floor):
        caption += f"; {_no_change(run)}"
    return heat_panel(heat, run.prepared.views[0], caption, side_px=_PANEL_PX, floor=floor)


def _no_change(run: OcclusionRun) -> str:
    """Return the note on a panel whose values differ only by rounding."""
    return f"no {_SINGULAR[run.params.shapes]} changes it"


def draw_figure(
    run: OcclusionRun,
    scores: OcclusionScores,
    maps: NDArray[np.float32],
    total_map: NDArray[np.float32],
    classes: NDArray[np.int64],
    watched: WatchedProjection | None,
) -> tuple[Picture, ...]:
    """Draw all panels of Fig 7.

    maps: (targets, H, W), of the classes. total_map: (H, W). classes: (H, W), the most likely class. watched:
    None for a network without projections, whose figure lacks panel (c) and letters (d) and (e) as (c)
    and (d).
    """
    view = run.prepared.views[0]
    side = {"side_px": _PANEL_PX}
    values = class_values(scores.logits, run.params.value)
    names = {number: label.name for number, label in enumerate(run.labels)}
    panels = [
        photo_panel(_example(run), f"(a) photo with one of the {run.params.shapes} occluded", **side),
        _total_panel(run, scores, total_map),
        *([] if watched is None else [_projection_panel(run, watched)]),
        *(
            _value_panel(run, target, heat, values[:, target])
            for heat, target in zip(maps, run.targets, strict=True)
        ),
        class_panel(classes, view, names, f"{_letter(run, 'e')} most likely class", **side),
    ]
    if watched is not None and watched.control is not None:  # next to the projection, in one row
        panels[1], panels[2] = panels[2], panels[1]
        panels.insert(2, _signed_panel(run, watched.control, _control_caption(watched)))
    drawn = figure(
        panels,
        title=f"Occlusion sensitivity of {run.model.name}",
        subtitle=_subtitle(run),
        scale=_HEAT_NOTE if watched is None else f"{_HEAT_NOTE}; projection: grey is zero, symmetric scale",
        columns=2 if len(panels) == 4 else 3,  # without a projection, two rows of two
    )
    return (picture("occlusion", drawn),)


def _projection_panel(run: OcclusionRun, watched: WatchedProjection) -> Image.Image:
    strength = activation(run.traced, run.params.layer, run.unit)
    return _signed_panel(run, watched.shown, f"(c) projection of the map's strongest unit ({strength:.3g})")


def _signed_panel(run: OcclusionRun, pixels: NDArray[np.float32], caption: str) -> Image.Image:
    return photo_panel(signed_to_rgb(reorder(pixels, run.model.preprocessing)), caption, side_px=_PANEL_PX)


def _control_caption(watched: WatchedProjection) -> str:
    similarity = watched.similarity
    numbers = "" if similarity.ssim is None else f" (SSIM {similarity.ssim:.2f})"
    return f"(c) control: randomised weights{numbers}"


def _example(run: OcclusionRun) -> NDArray[np.uint8]:
    """Return the crop with the middle window occluded, uint8 (H, W, 3)."""
    view: NDArray[np.uint8] = run.prepared.views[0].copy()
    window = run.windows[len(run.windows) // 2]
    mask = np.asarray(window.mask)[..., None]
    view[window.area] = np.where(mask, run.fill_view[window.area], view[window.area])
    return view


def _subtitle(run: OcclusionRun) -> str:
    params, kind = run.params, run.params.shapes
    window, stride = params.sizes(run.model.spec.input_size)
    size = f" of {window} px, every {stride} px" if kind == "windows" else ""
    text = f"{len(run.windows)} {kind}{size}, fill: {params.fill}"
    return f"{text}; each pixel shows the mean over the {kind} that occlude it"
