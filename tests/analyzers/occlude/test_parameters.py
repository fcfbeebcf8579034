"""Invalid parameters of the analyzer `occlude`."""

import re
from typing import Any

import numpy as np
import pytest

from tests.analyzers.occlude.conftest import analyze, box, mask_file
from zfscope.analysis.contract import Context
from zfscope.errors import InputError, NotFound
from zfscope_analyzers.occlude.params import OccludeParams

GOOD_MASK = mask_file(np.ones((48, 60), bool))
TRIANGLE = [[20, 10], [40, 10], [30, 30]]


@pytest.mark.parametrize(
    ("parameters", "error", "field", "message"),
    [
        (
            {"window": 33},
            InputError,
            "window",
            "window is 33; allowed: 1 to 32 \\(the network reads 32 x 32 pixels\\)",
        ),
        ({"window": 0}, InputError, "window", "window is 0"),
        ({"window": -4}, InputError, "window", "window is -4"),
        ({"stride": 0}, InputError, "stride", "stride is 0"),
        ({"window": 5, "stride": 8}, InputError, "stride", "stride 8 is larger than window 5"),
        ({"window": 0, "stride": 8}, InputError, "window", "window is 0"),
        ({"window": 8, "stride": 9}, InputError, "stride", "stride 9 is larger than window 8: some pixels"),
        (
            {"window": None, "stride": 33},
            InputError,
            "stride",
            "stride is 33; allowed: 1 to 32 \\(the network reads 32 x 32 pixels\\)",
        ),
        (
            {"classes": ["ant", "wolf"]},
            NotFound,
            r"classes\[1\]",
            "label 'wolf' not found; this model has 'ant'",
        ),
        ({"fill": "pink"}, InputError, "fill", "fill is 'pink'"),
        ({"layer": "conv9"}, NotFound, "layer", "layer 'conv9' not found"),
        ({"map": 12}, NotFound, "map", "no map 12 in layer 'relu5'; allowed: 0 to 11"),
        (
            {"boxes": [{"x0": 3, "y0": 3, "x1": 3, "y1": 9}]},
            InputError,
            r"boxes\[0\]",
            "the box is empty: x0 has to be less than x1",
        ),
        ({"masks": ["nose.png"]}, InputError, r"masks\[0\]", "not valid base64"),
        (
            {"masks": [b"not an image"]},
            InputError,
            r"masks\[0\]",
            r"masks\[0\] is not an image: it starts with 6e 6f",
        ),
        (
            {"masks": [GOOD_MASK, mask_file(np.ones((60, 48), bool))]},
            InputError,
            r"masks\[1\]",
            r"masks\[1\] is 48 x 60 pixels; the photo is 60 x 48",
        ),
        (
            {"masks": [GOOD_MASK, GOOD_MASK, mask_file(np.zeros((48, 60), bool))]},
            InputError,
            r"masks\[2\]",
            r"masks\[2\] has no occluded pixel within .* the network sees, \(8.66667, 2.66667\) to",
        ),
        ({"control_down_to": "conv9"}, NotFound, "control_down_to", "layer 'conv9' not found"),
        ({"control_down_to": "fc6"}, InputError, "control_down_to", "which comes after 'relu5'"),
        ({"masks": [GOOD_MASK] * 257}, InputError, "masks", "at most 256 items"),
        (
            {"masks": [GOOD_MASK], "boxes": [{"x0": 20, "y0": 10, "x1": 30, "y1": 20}]},
            InputError,
            "boxes",
            "masks are set too; set only one of them",
        ),
        (
            {"polygons": [TRIANGLE, TRIANGLE, [[0, 0], [4, 0], [0, 4]]]},
            InputError,
            r"polygons\[2\]",
            r"polygons\[2\] has no pixel within .* the network sees, \(8.66667, 2.66667\) to \(51.3333, 45",
        ),
        (
            {"polygons": [[[30, 20], [30.1, 20], [30, 20.1]]]},
            InputError,
            r"polygons\[0\]",
            r"polygons\[0\] has no pixel within .* occludes pixels of the network's input whose centre is",
        ),
        ({"polygons": [TRIANGLE[:2]]}, InputError, r"polygons\[0\].vertices", "at least 3 items"),
        ({"polygons": [TRIANGLE * 400]}, InputError, r"polygons\[0\].vertices", "at most 1024 items"),
        ({"polygons": [TRIANGLE] * 257}, InputError, "polygons", "at most 256 items"),
        (
            {"polygons": [[[0, 0], [1, 2, 3], [4, 5]]]},
            InputError,
            r"polygons\[0\].vertices\[1\]",
            "two coordinates",
        ),
        (
            {"polygons": [[*TRIANGLE, [0, float("nan")]]]},
            InputError,
            r"polygons\[0\].vertices\[3\].y",
            "finite number",
        ),
        (
            {"polygons": [[*TRIANGLE, [1e7, 0]]]},
            InputError,
            r"polygons\[0\].vertices\[3\].x",
            "less than or equal to 1000000",
        ),
        (
            {"masks": [GOOD_MASK], "polygons": [TRIANGLE]},
            InputError,
            "polygons",
            "masks are set too; set only one of them",
        ),
        (
            {"boxes": [box(20, 10, 30, 20)], "polygons": [TRIANGLE]},
            InputError,
            "polygons",
            "boxes are set too; set only one of them",
        ),
        ({"boxes": [box(3, 3, float("inf"), 9)]}, InputError, r"boxes\[0\].x1", "finite"),
        (
            {"boxes": [{"x0": 0, "y0": 0, "x1": 2, "y1": 2}]},
            InputError,
            r"boxes\[0\]",
            "outside of the part of the photo that the network sees",
        ),
    ],
)
def test_invalid_regions_are_rejected_before_any_pass(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, Any],
    error: type[Exception],
    field: str,
    message: str,
) -> None:
    monkeypatch.setattr(Context, "trace", None)
    with pytest.raises(error, match=message) as caught:
        analyze(context, **parameters)
    assert re.fullmatch(field, caught.value.field)


@pytest.mark.parametrize(
    ("side", "parameters", "sizes"),
    [
        (224, {}, (32, 8)),
        (227, {}, (32, 8)),
        (299, {}, (43, 11)),
        (512, {}, (73, 18)),
        (96, {}, (14, 3)),
        (28, {}, (4, 1)),
        (3, {}, (1, 1)),
        (224, {"window": 64}, (64, 8)),
        (224, {"window": 4}, (4, 4)),
        (224, {"stride": 16}, (32, 16)),
        (224, {"stride": 40}, (40, 40)),
        (28, {"window": 13, "stride": 13}, (13, 13)),
    ],
)
def test_windows_are_proportional_to_the_input_unless_set(
    side: int, parameters: dict[str, int], sizes: tuple[int, int]
) -> None:
    assert OccludeParams(**parameters).sizes(side) == sizes
