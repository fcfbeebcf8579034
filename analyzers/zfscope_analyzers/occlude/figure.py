"""Fig 7, and what of it there is to see already."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Analysis, Picture, picture
from zfscope.engine.seeds import activation
from zfscope.images.heat import class_panel, figure, heat_panel, photo_panel
from zfscope.images.normalise import reorder
from zfscope.images.render import signed_to_rgb
from zfscope_analyzers.occlude.params import OccludeParams
from zfscope_analyzers.occlude.passes import Seen, is_changed, total_floor, value_floor
from zfscope_analyzers.occlude.scene import Projected, Scene, values_of
from zfscope_analyzers.occlude.windows import averaged

_PANEL_PX = 400
_HEAT_NOTE = (
    "viridis from the least value (dark) to the greatest (yellow), which are written under each map; a map "
    "whose values differ by rounding only has one colour and one number"
)


def draw_so_far(scene: Scene, seen: Seen) -> Analysis:
    """Return the map of the first class as far as it is known."""
    done = sorted(seen.done)
    values = values_of(seen.logits[done], scene.params.value)[:, scene.targets[0]]
    view = scene.prepared.views[0]
    clean = float(scene.clean[scene.targets[0]])
    heat = averaged(values, [scene.windows[n] for n in done], view.shape[:2], clean)
    caption = _value_caption(scene, scene.targets[0])
    floor = value_floor(scene, scene.targets[0])
    drawn = figure(
        [heat_panel(heat, view, caption, side_px=_PANEL_PX, floor=floor)],
        title="Occlusion, so far",
        subtitle=f"{len(done)} of {len(scene.windows)} positions",
        scale=_HEAT_NOTE,
    )
    return Analysis(pictures=(picture("occlusion", drawn),))


def _value_caption(scene: Scene, target: int) -> str:
    label, clean = scene.labels[target].name, scene.clean[target]
    return f"{scene.params.value} of '{label}' (clean: {clean:.3g})"


def _value_panel(
    scene: Scene, target: int, heat: NDArray[np.float32], values: NDArray[np.float64]
) -> Image.Image:
    """Return panel (d) of a class; values: (windows,)."""
    caption, floor = f"(d) {_value_caption(scene, target)}", value_floor(scene, target)
    if not is_changed(float(scene.clean[target]), values, floor):
        caption += f"; {_no_change(scene)}"
    return heat_panel(heat, scene.prepared.views[0], caption, side_px=_PANEL_PX, floor=floor)


def _total_panel(scene: Scene, seen: Seen, heat: NDArray[np.float32]) -> Image.Image:
    """Return panel (b), of the watched map."""
    caption, floor = f"(b) total activation of {scene.params.layer} map {scene.unit.map}", total_floor(scene)
    clean = float(scene.traced.outputs[scene.params.layer][0, scene.unit.map].sum())
    if not is_changed(clean, seen.totals, floor):
        caption += f"; {_no_change(scene)}"
    return heat_panel(heat, scene.prepared.views[0], caption, side_px=_PANEL_PX, floor=floor)


def _no_change(scene: Scene) -> str:
    """Return what is said where only rounding differs."""
    return {"boxes": "no box", "masks": "no mask"}.get(_kind(scene.params), "no window") + " changes it"


def draw(
    scene: Scene,
    seen: Seen,
    maps: NDArray[np.float32],
    total_map: NDArray[np.float32],
    classes: NDArray[np.int64],
    there: Projected,
) -> tuple[Picture, ...]:
    """Draw all of Fig 7.

    maps: (targets, H, W), total_map: (H, W), classes: (H, W), the likeliest ones.
    """
    view, layer, unit = scene.prepared.views[0], scene.params.layer, scene.unit
    side = {"side_px": _PANEL_PX}
    values = values_of(seen.logits, scene.params.value)
    names = {number: label.name for number, label in enumerate(scene.labels)}
    strength = activation(scene.traced, layer, unit)
    panels = [
        photo_panel(_example(scene), f"(a) the photo, with one of the {_kind(scene.params)}", **side),
        _total_panel(scene, seen, total_map),
        _signed_panel(scene, there.shown, f"(c) projection of that map's strongest unit ({strength:.3g})"),
        *(
            _value_panel(scene, target, heat, values[:, target])
            for heat, target in zip(maps, scene.targets, strict=True)
        ),
        class_panel(classes, view, names, "(e) likeliest class", **side),
    ]
    if there.control is not None:  # beside the projection, in one row
        panels[1], panels[2] = panels[2], panels[1]
        panels.insert(2, _signed_panel(scene, there.control, _control_caption(there)))
    drawn = figure(
        panels,
        title=f"Occlusion, by {scene.model.name}",
        subtitle=_subtitle(scene),
        scale=f"{_HEAT_NOTE}; projection: grey is zero, on a symmetric scale",
    )
    return (picture("occlusion", drawn),)


def _signed_panel(scene: Scene, pixels: NDArray[np.float32], caption: str) -> Image.Image:
    return photo_panel(signed_to_rgb(reorder(pixels, scene.model.preprocessing)), caption, side_px=_PANEL_PX)


def _control_caption(there: Projected) -> str:
    alike = there.alike
    numbers = "" if alike.ssim is None else f" (SSIM {alike.ssim:.2f})"
    return f"(c) its control: randomised weights{numbers}"


def _example(scene: Scene) -> NDArray[np.uint8]:
    """Cover the middle one of the windows, in pixels: uint8 (H, W, 3)."""
    view: NDArray[np.uint8] = scene.prepared.views[0].copy()
    window = scene.windows[len(scene.windows) // 2]
    mask = np.asarray(window.mask)[..., None]
    view[window.area] = np.where(mask, scene.cover[window.area], view[window.area])
    return view


def _kind(params: OccludeParams) -> str:
    return "boxes" if params.boxes else "masks" if params.masks else "windows"


def _subtitle(scene: Scene) -> str:
    params, kind = scene.params, _kind(scene.params)
    size = f" of {params.window} px, every {params.stride} px" if kind == "windows" else ""
    what = f"{len(scene.windows)} {kind}{size}, filled with {params.fill}"
    return f"{what}; a pixel shows the mean over the {kind} that cover it"
