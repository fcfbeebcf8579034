"""The sheet: attributions over the photo on one scale, with their measures, and the agreement of methods."""

from collections.abc import Mapping, Sequence

from PIL import Image

from zfscope.analysis.contract import Picture, picture
from zfscope.images import layout
from zfscope.images.heat import attribution_panel, photo_panel
from zfscope.images.normalise import reorder
from zfscope.images.render import signed_to_rgb
from zfscope.store import opaque_reason
from zfscope_analyzers.explain.measure import ModelExplanations, agreements, difference, relative
from zfscope_analyzers.explain.params import ExplainParams
from zfscope_analyzers.explain.result import random_area

_PANEL_PX, _GAP_PX, _COLUMNS, _ROW_PX = 300, 24, 4, 26
# Width of columns with names of methods and numbers in the table of agreements.
_NAME_PX, _NUMBER_PX = 240, 160
_SCALE = (
    "attributions: each on a scale of its own, -1 to 1, red supports the class, blue speaks against it; "
    "differences: this model's relative attribution minus the other's; projections: grey is zero, symmetric "
    "scale of its own"
)


def draw_sheet(params: ExplainParams, explained: Sequence[ModelExplanations]) -> Picture:
    """Draw the explanations of one model in a grid, or of two models in a row per method."""
    first = explained[0]
    titles = " and ".join(each.title for each in explained)
    if len(explained) == 1:
        body = layout.grid(_single(params, first), _COLUMNS, gap=_GAP_PX)
    else:
        body = layout.vstack(
            [layout.hstack(row, gap=_GAP_PX) for row in _pairs(params, explained)], gap=_GAP_PX
        )
    chance = ", ".join(f"{area:.3g}" for each in explained if (area := random_area(each)) is not None)
    drawn = layout.page(
        f"'{first.label}' explained by {titles}",
        [body, *(_agreement_table(each, len(explained) > 1) for each in explained if len(each.measured) > 1)],
        subtitle=f"Areas under the probability while pixels are removed ({params.removal}) or inserted"
        + (f"; of random orders: {chance}" if chance else ""),
        scale=_SCALE,
    )
    return picture("explain", drawn)


def _single(params: ExplainParams, explained: ModelExplanations) -> list[Image.Image]:
    return [_photo(explained), *(_panel(explained, method) for method in params.methods)]


def _pairs(params: ExplainParams, explained: Sequence[ModelExplanations]) -> list[list[Image.Image]]:
    """Return a row for the photos and classes, one for each method, and one for the projections."""
    first, second = explained
    view = first.context.images[0].views[0]
    rows = [[_photo(first), _photo(second)]]
    for method in params.methods:
        has_picture = any(method in each.measured for each in explained)
        row = [_panel(each, method, fill=has_picture) for each in explained]
        if method in first.measured and method in second.measured:
            values = difference(first, second, method)
            caption = f"{method}: {first.title} minus {second.title}"
            row.append(attribution_panel(values, view, caption, side_px=_PANEL_PX, scale=2))
        rows.append(row)
    if not any(each.projection for each in explained):
        return rows
    return [*rows, [_projection(each) for each in explained]]


def _photo(explained: ModelExplanations) -> Image.Image:
    """Return the photo with the most likely classes below."""
    view = explained.context.images[0].views[0]
    caption = f"{explained.title}: '{explained.label}' {explained.probability:.3g}"
    classes = [
        layout.text(f"{score.probability:.3f} {score.label}", layout.SMALL, layout.FAINT, width_px=_PANEL_PX)
        for score in explained.classes
    ]
    return layout.vstack([photo_panel(view, caption, side_px=_PANEL_PX), *classes], gap=2)


def _panel(explained: ModelExplanations, method: str, *, fill: bool = True) -> Image.Image:
    """Return the attribution of a method with its areas and time, or the reason for its failure.

    fill: whether a reason is as high as a picture.
    """
    view, photo = explained.context.images[0].views[0], explained.measured.get(method)
    if photo is None:
        return _reason(f"{method}: {explained.reasons[method]}", _PANEL_PX if fill else 0)
    measures = [_areas("", photo.areas(photo.curves)), f"{photo.seconds:.2g} s"]
    if photo.control:
        measures.insert(1, _areas("control: ", photo.areas(photo.control)))
    panel = attribution_panel(relative(photo.attribution), view, method, side_px=_PANEL_PX, scale=1)
    return layout.vstack(
        [panel, *(layout.text(line, layout.SMALL, layout.FAINT, width_px=_PANEL_PX) for line in measures)],
        gap=2,
    )


def _reason(text: str, height_px: int = _PANEL_PX) -> Image.Image:
    """Return a panel of at least the given height that says why there is no picture."""
    lines = layout.paragraph(text, layout.BODY, _PANEL_PX, layout.FAINT)
    panel = layout.blank(_PANEL_PX, max(height_px, lines.height))
    panel.paste(lines, (0, 0))
    return panel


def _areas(name: str, areas: tuple[float, float]) -> str:
    return f"{name}deletion {areas[0]:.3g}, insertion {areas[1]:.3g}"


def _projection(explained: ModelExplanations) -> Image.Image:
    shown = explained.projection
    if shown is None:
        manifest = explained.model.manifest
        return _reason(f"no projection: {manifest.title} {opaque_reason(manifest)}")
    pixels = signed_to_rgb(reorder(shown.pixels, explained.model.preprocessing))
    unit = explained.model.unit_name(shown.layer, shown.map)
    return photo_panel(pixels, f"strongest projection: {unit} of {shown.layer}", side_px=_PANEL_PX)


def _agreement_table(explained: ModelExplanations, several: bool) -> Image.Image:
    """Return the rank correlations of every two methods as a triangular table."""
    methods, known = list(explained.measured), agreements(explained.attributions)
    of_model = f" of {explained.title}" if several else ""
    heading = layout.text(f"Agreement{of_model} (rank correlation)", layout.HEADING)
    rows = [_row("", methods[:-1])]
    for number, method in enumerate(methods[1:], 1):
        rows.append(_row(method, [_number(known, one, method) for one in methods[:number]]))
    return layout.vstack([heading, *rows], gap=4)


def _row(name: str, cells: Sequence[str]) -> Image.Image:
    drawn = [layout.cell(name, _NAME_PX, gap_px=12, height_px=_ROW_PX)]
    drawn += [
        layout.cell(each, _NUMBER_PX, gap_px=12, size_px=layout.SMALL, height_px=_ROW_PX) for each in cells
    ]
    return layout.hstack(drawn, gap=0)


def _number(known: Mapping[tuple[str, str], float | None], one: str, other: str) -> str:
    value = known[one, other]
    return "" if value is None else f"{value:+.2f}"
