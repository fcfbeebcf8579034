"""Figure of a probe: accuracy by layer, and by the number of photos per class (Fig 9 of the paper)."""

from collections.abc import Sequence

import numpy as np

from zfscope.images.chunks import PICTURE_KEY
from zfscope.images.curves import Band, BandChart, plot_band_charts
from zfscope.images.render import encode_png
from zfscope.probe.manifest import LayerAccuracy, ProbeResult

_WIDTH_PX, _HEIGHT_PX = 660, 400


def draw_probe(result: ProbeResult) -> bytes:
    """Return a PNG: a chart by layer with a line per number of photos, and, if there are several, vice versa.

    Bands are one standard deviation over the splits to each side, up to 100 %.
    """
    layers = [layer.name for layer in result.features.origin.layers]
    sizes, rows = result.plan.per_class, result.accuracies
    by_layer = [
        _band(f"{size} per class", range(len(layers)), [row for row in rows if row.per_class == size])
        for size in sizes
    ]
    by_size = [_band(layer, sizes, [row for row in rows if row.layer == layer]) for layer in layers]
    model = result.features.origin.model
    title = f"{model.name} version {model.version}, {result.classes} classes"
    measure = "accuracy (%)" if result.plan.splits == 1 else "accuracy (%) \u00b1 standard deviation"
    charts = [BandChart(title, "layer", measure, by_layer, layers)]
    if len(sizes) > 1:
        charts.append(BandChart("Accuracy by number of photos", "photos per class", measure, by_size))
    drawn = plot_band_charts(charts, width_px=_WIDTH_PX * len(charts), height_px=_HEIGHT_PX)
    return encode_png(drawn, text={PICTURE_KEY: "probe"})


def _band(name: str, x: Sequence[int], rows: Sequence[LayerAccuracy]) -> Band:
    middle = np.array([row.accuracy for row in rows])
    deviation = np.array([row.deviation or 0 for row in rows])
    upper = np.minimum(middle + deviation, 100)
    return Band(name, np.array(x, np.float64), middle, np.maximum(middle - deviation, 0), upper)
