"""The control of the analyzer `top-k`."""

from typing import Any

import numpy as np
import pytest

from tests.analyzers.conftest import SPEC
from tests.analyzers.top_k.conftest import TracedPhoto, analyze, records
from zfscope.analysis.contract import Context
from zfscope.analysis.control import control_network, project_control, similarity
from zfscope.engine import Unit, receptive_fields


@pytest.mark.parametrize("layer", ["conv5", "fc6"])
def test_the_control_is_that_of_each_photo_alone(
    ready: Context, traced_photos: list[TracedPhoto], layer: str
) -> None:
    result = analyze(ready, layer=layer, maps=[5], top=3, control=True, control_down_to="conv5")
    field = receptive_fields(SPEC)[layer]
    names = {each.name: each for each in traced_photos}
    for row, projection, control in zip(
        records(result), result.tensors["projections"][0], result.tensors["controls"][0], strict=True
    ):
        images = names[row["path"]].images
        unit = Unit(0, 5, row["y"] or 0, row["x"] or 0)
        options: Any = {"rule": "deconvnet", "normalisation": "skip"}
        random = control_network(ready.model.network, layer, down_to="conv5")
        expected = project_control(random, images, layer, [unit], **options)[0].numpy()
        frame = (0, 0, 32, 32) if layer == "fc6" else field.box(unit.y, unit.x)
        left, top, right, bottom = frame
        inside = expected[:, max(0, top) : bottom, max(0, left) : right]
        within = (
            slice(None),
            *(
                slice(max(0, -at), max(0, -at) + size)
                for at, size in ((top, inside.shape[1]), (left, inside.shape[2]))
            ),
        )
        np.testing.assert_allclose(control[within], inside, atol=1e-5)
        assert np.count_nonzero(control) == np.count_nonzero(inside)
        score = similarity(projection[within], control[within])
        assert row["ssim"] == pytest.approx(score.ssim, abs=1e-4)
        assert row["rank_correlation"] == pytest.approx(score.rank_correlation, abs=1e-4)


def test_without_a_control_no_controls_are_returned(ready: Context) -> None:
    result = analyze(ready, maps=[0])
    assert set(result.tensors) == {"projections", "patches", "states"}
    assert {(row["ssim"], row["rank_correlation"]) for row in records(result)} == {(None, None)}
