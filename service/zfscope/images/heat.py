"""Maps drawn over the image they describe: heat maps with a scale, and class maps with a legend."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zfscope.images import layout
from zfscope.images.render import Rendering, Rgb, symmetric_scale
from zfscope.rounding import is_level

# Viridis at 0, 1/4, 1/2, 3/4 and 1: perceptually uniform, also in grey.
_VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float64)
# From negative over zero to positive: blue, white, red.
_SIGNED = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], np.float64)
# Opacity of the map over the photo.
_COLOUR_SHARE = 0.65
_BAR_PX = 12


def viridis(values: NDArray[np.floating], low: float, high: float) -> Rgb:
    """Return the viridis colours, uint8 (..., 3), of values from `low` to `high`; other values are clipped.

    If `low` equals `high`, all values get the middle colour.
    """
    share = np.clip((values - low) / (high - low), 0, 1) if high > low else np.full(values.shape, 0.5)
    return _colours(share, _VIRIDIS)


def _colours(share: NDArray[np.floating], stops: NDArray[np.float64]) -> Rgb:
    """Return the colours of shares from 0 to 1 on a scale of equidistant colours, (stops, 3)."""
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, at, stop) for stop in stops.T], axis=-1).round().astype(np.uint8)


def overlay(colours: Rgb, view: Rgb) -> Rgb:
    """Blend colours, uint8 (H, W, 3), over a grey version of an image of the same size."""
    grey = view.mean(axis=2, keepdims=True)
    blended: Rgb = (_COLOUR_SHARE * colours + (1 - _COLOUR_SHARE) * grey).round().astype(np.uint8)
    return blended


def heat_panel(
    values: NDArray[np.floating], view: Rgb, caption: str, *, side_px: int, floor: float = 0.0
) -> Image.Image:
    """Return a heat map over its image, with a scale and a caption below.

    values: (H, W). view: the image, uint8 (H, W, 3). side_px: width of the panel. floor: differences of up to
    this much do not count. The scale extends from the minimum to the maximum. Values that differ only by
    rounding, or by at most `floor`, get a single colour and number, since rounding errors stretched over the
    whole scale would look like a result.
    """
    low, high = float(values.min()), float(values.max())
    level = is_level(values, floor=floor)
    if level:
        low = high = float(np.median(values))
    picture = _resize(overlay(viridis(values, low, high), view), side_px)
    ramp = np.linspace(low, high, side_px)[None].repeat(_BAR_PX, axis=0)
    bar = Image.fromarray(viridis(ramp, low, high))
    labels = [f"{low:.3g} everywhere"] if level else [f"{low:.3g}", f"{high:.3g}"]
    return _panel([picture, bar, _scale_labels(labels, side_px)], caption, side_px)


def attribution_panel(
    values: NDArray[np.floating], view: Rgb, caption: str, *, side_px: int, scale: float | None = None
) -> Image.Image:
    """Return a map of signed values over its image: red above zero, blue below, with a scale and a caption.

    values: (H, W). view: the image, uint8 (H, W, 3). side_px: width of the panel. scale: magnitude of the
    strongest colours, by default that of `symmetric_scale`; if it is 0, all values are shown as zero. Without
    values below zero, the scale starts at zero.
    """
    strongest = symmetric_scale(values) if scale is None else scale
    lowest = -strongest if float(values.min()) < 0 else 0.0
    picture = _resize(overlay(_signed_colours(values, strongest), view), side_px)
    ramp = np.linspace(lowest, strongest, side_px)[None].repeat(_BAR_PX, axis=0)
    bar = Image.fromarray(_signed_colours(ramp, strongest))
    labels = [f"{lowest:.3g}", f"{strongest:.3g}"] if strongest else ["0 everywhere"]
    return _panel([picture, bar, _scale_labels(labels, side_px)], caption, side_px)


def _signed_colours(values: NDArray[np.floating], strongest: float) -> Rgb:
    share = np.clip(values / strongest, -1, 1) if strongest > 0 else np.zeros(values.shape)
    return _colours((share + 1) / 2, _SIGNED)


def _scale_labels(labels: Sequence[str], side_px: int) -> Image.Image:
    """Return the labels below a scale: the first at its left end, the second, if any, at its right end."""
    ends = [layout.text(label, layout.SMALL, layout.FAINT) for label in labels]
    scale = layout.blank(side_px, ends[0].height)
    scale.paste(ends[0], (0, 0))
    for end in ends[1:]:
        scale.paste(end, (side_px - end.width, 0))
    return scale


def class_panel(
    classes: NDArray[np.int64], view: Rgb, names: Mapping[int, str], caption: str, *, side_px: int
) -> Image.Image:
    """Return a map of class numbers over its image, with a legend and a caption below.

    classes: (H, W). view: the image, uint8 (H, W, 3). names: name of each class number. side_px: width of the
    panel. The legend lists the classes by area, largest first; at most one per colour.
    """
    numbers, areas = np.unique(classes, return_counts=True)
    order = [int(numbers[index]) for index in np.argsort(-areas, kind="stable")]
    painted = np.zeros((*classes.shape, 3), np.uint8)
    for index, number in enumerate(order):
        painted[classes == number] = layout.palette_colour(index)
    picture = _resize(overlay(painted, view), side_px)
    legend = [
        layout.hstack(
            [_swatch(index), layout.text(names[number], layout.SMALL, width_px=side_px - 24)], gap=6
        )
        for index, number in enumerate(order[: len(layout.COLOURS)])
    ]
    return _panel([picture, *legend], caption, side_px)


def photo_panel(picture: Rgb, caption: str, *, side_px: int) -> Image.Image:
    """Return an image, uint8 (H, W, 3), resized to `side_px` pixels of width, with a caption below."""
    return _panel([_resize(picture, side_px)], caption, side_px)


def figure(
    panels: Sequence[Image.Image], *, title: str, subtitle: str, scale: str, columns: int = 3
) -> Rendering:
    """Return a figure of panels in rows under a title. scale: meaning of the colours, stored in the PNG."""
    return layout.page(title, [layout.grid(panels, columns, gap=24)], scale=scale, subtitle=subtitle)


def _panel(parts: Sequence[Image.Image], caption: str, side_px: int) -> Image.Image:
    return layout.vstack([*parts, layout.paragraph(caption, layout.BODY, side_px)], gap=4)


def _swatch(index: int) -> Image.Image:
    return Image.new("RGB", (14, 14), layout.palette_colour(index))


def _resize(picture: Rgb, side_px: int) -> Image.Image:
    height, width = picture.shape[:2]
    size = (side_px, round(height * side_px / width))
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
