"""Figure of the measurements: the first photo with its attributions, and the mean curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.analysis.contract import Context, Picture, picture
from zfscope.images import layout
from zfscope.images.curves import Chart, plot_charts
from zfscope.images.heat import attribution_panel, photo_panel
from zfscope_analyzers.faithfulness.measure import PhotoFaithfulness
from zfscope_analyzers.faithfulness.params import FaithfulnessParams
from zfscope_analyzers.faithfulness.removal import area

_PANEL_PX, _GAP_PX, _CHART_PX = 340, 24, 380
_SCALE = (
    "attribution: red above zero, blue below, the values of the strongest colours given under each map; "
    "curves: value of the class, bands: one standard deviation of the random orders around their mean, or "
    "with several photos the standard error of the mean over the photos"
)


def draw_figure(
    context: Context, params: FaithfulnessParams, measured: Sequence[PhotoFaithfulness]
) -> Picture:
    """Draw the first photo, its attribution and that of the control, and the curves below."""
    model, several = context.model, len(measured) > 1
    panels = _panels(context, params, measured[0], len(measured))
    width = 3 * _PANEL_PX + 2 * _GAP_PX
    charts = plot_charts(
        [_chart(params, measured, kind) for kind in (0, 1)], width_px=width, height_px=_CHART_PX
    )
    label = model.labels[measured[0].class_index].name
    subject = f"{len(measured)} photos" if several else f"class '{label}'"
    name = "a given attribution" if params.attribution is not None else f"'{params.method}'"
    drawn = layout.page(
        f"Faithfulness of {name} for {model.name}",
        [layout.grid(panels, 3, gap=_GAP_PX), Image.fromarray(charts)],
        subtitle=f"{subject}; {params.value}; removed pixels: {params.removal}, {params.steps} steps; "
        "lower deletion and higher insertion are better",
        scale=_SCALE,
        width_px=width,
    )
    return picture("faithfulness", drawn)


def _panels(
    context: Context, params: FaithfulnessParams, photo: PhotoFaithfulness, photos: int
) -> list[Image.Image]:
    view = context.images[0].views[0]
    label = context.model.labels[photo.class_index].name
    which = f"first of {photos} photos" if photos > 1 else "photo"
    name = "given attribution" if params.attribution is not None else f"attribution by {params.method}"
    panels = [
        photo_panel(view, f"{which}; {params.value} of '{label}': {photo.clean:.3g}", side_px=_PANEL_PX),
        attribution_panel(photo.attribution, view, name, side_px=_PANEL_PX),
    ]
    if photo.control_attribution is not None:
        caption = "control: randomised weights"
        panels.append(attribution_panel(photo.control_attribution, view, caption, side_px=_PANEL_PX))
    return panels


@dataclass(frozen=True, eq=False)
class _Line:
    """A curve, and how far a band around it extends to each side; None for no band. (steps + 1,) each."""

    mean: NDArray[np.float64]
    band: NDArray[np.float64] | None


def _chart(params: FaithfulnessParams, measured: Sequence[PhotoFaithfulness], kind: int) -> Chart:
    """Return the chart of deletion (kind 0) or insertion (1)."""
    shares, orders = measured[0].shares, [photo.random[:, :: 1 - 2 * kind] for photo in measured]
    lines = {"attribution": _over_photos([photo.curves[kind] for photo in measured])}
    if orders[0].size:
        of_photos = [order.mean(0) for order in orders]
        lines["random orders"] = _over_photos(of_photos) if len(orders) > 1 else _over_orders(orders[0])
    controls = [photo.control[kind] for photo in measured if photo.control]
    if controls:
        lines["control"] = _over_photos(controls)
    areas = ", ".join(f"{name.split()[0]} {area(line.mean, shares):.3g}" for name, line in lines.items())
    return Chart(
        title=f"{('Deletion', 'Insertion')[kind]}: {areas}",
        quantity=f"share of pixels {('removed', 'inserted')[kind]}",
        measure=params.value,
        lines={name: (shares, line.mean) for name, line in lines.items()},
        bands={
            name: (line.mean - line.band, line.mean + line.band)
            for name, line in lines.items()
            if line.band is not None
        },
    )


def _over_photos(curves: Sequence[NDArray[np.float64]]) -> _Line:
    """Return the mean over photos with its standard error."""
    if len(curves) < 2:
        return _Line(curves[0], None)
    return _Line(np.mean(curves, axis=0), np.std(curves, axis=0, ddof=1) / len(curves) ** 0.5)


def _over_orders(curves: NDArray[np.float64]) -> _Line:
    """Return the mean over the random orders of one photo with their standard deviation."""
    return _Line(curves.mean(0), curves.std(0, ddof=1) if len(curves) > 1 else None)
