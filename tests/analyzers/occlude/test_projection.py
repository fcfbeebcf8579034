"""Projection of the watched map's strongest unit, and its control."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.analyzers.occlude.conftest import analyze, trace_of
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import read_params
from zfscope.engine import project
from zfscope.engine.seeds import strongest_unit


def test_the_strongest_unit_of_the_map_is_projected(plain_context: Context) -> None:
    result = trace_of(plain_context)
    unit = strongest_unit(result, "relu5", 0, 4)
    expected = project(plain_context.model.network, result, "relu5", [unit])[0].numpy()
    np.testing.assert_allclose(analyze(plain_context, map=4).tensors["projection"], expected, atol=1e-6)


@pytest.mark.parametrize("down_to", ["", "conv5"])
def test_the_control_equals_that_of_the_analyzer_project(plain_context: Context, down_to: str) -> None:
    wanted = {"control": True, "control_down_to": down_to}
    result = analyze(plain_context, map=4, **wanted)
    strongest = strongest_unit(trace_of(plain_context), "relu5", 0, 4)
    unit = {"map": 4, "y": strongest.y, "x": strongest.x}
    project = load_analyzers().analyzer("project")
    params = read_params(project, {"layer": "relu5", "units": [unit], **wanted})
    expected = project.analyze(plain_context, params)
    np.testing.assert_array_equal(result.tensors["control-projection"], expected.tensors["controls"][0])
    (watched,) = result.tables["watched"].records()
    (row,) = expected.tables["projections"].records()
    assert watched["ssim"] == row["ssim"]
    assert watched["rank_correlation"] == row["rank_correlation"]


def test_without_a_control_nothing_is_compared(plain_context: Context) -> None:
    result = analyze(plain_context)
    assert "control-projection" not in result.tensors
    (watched,) = result.tables["watched"].records()
    assert (watched["ssim"], watched["rank_correlation"]) == (None, None)


def test_the_control_adds_a_panel(context: Context) -> None:
    heights = [
        Image.open(
            io.BytesIO(analyze(context, classes=["ant", "cat"], control=control).pictures[0].png)
        ).height
        for control in (False, True)
    ]
    assert heights[1] > heights[0]
