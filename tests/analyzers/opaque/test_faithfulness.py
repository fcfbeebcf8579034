"""Faithfulness and explanations of opaque models, compared with bare passes over removed pixels."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analyzers.conftest import SPEC, blobs, manifest_of
from tests.analyzers.faithfulness.conftest import npy
from tests.analyzers.opaque.conftest import REASON, analyze, context_of, softmax_by_hand, without_passes
from tests.support.opaque_models import add_opaque_model, input_by_hand, reference_scores
from zfscope.analysis.contract import Context
from zfscope.errors import InputError
from zfscope.networks import build
from zfscope.store import write_model

GREY = {"removal": "grey", "step": 0.25}


def curves_by_hand(context: Context, attribution: np.ndarray) -> dict[str, list[float]]:
    """Remove and insert quarters of the pixels in order, and return the probabilities of class c."""
    clean = context.images[0].views[0]
    order = np.argsort(-attribution.ravel(), kind="stable")
    views = {"deletion": [], "insertion": []}
    for step in range(5):
        for kind in views:
            view = clean.copy().reshape(-1, 3)
            chosen = order[: step * 256] if kind == "deletion" else order[step * 256 :]
            view[chosen] = 128
            views[kind].append(input_by_hand(view.reshape(32, 32, 3)))
    return {
        kind: softmax_by_hand(reference_scores(context.model.name, np.stack(inputs)))[:, 2].tolist()
        for kind, inputs in views.items()
    }


def test_curves_match_pixels_removed_by_hand(context: Context) -> None:
    attribution = np.random.default_rng(3).permutation(1024).reshape(32, 32).astype(np.float32)
    result = analyze("faithfulness", context, attribution=npy(attribution), labels=["c"], random=0, **GREY)
    expected = curves_by_hand(context, attribution)
    assert np.ptp(expected["deletion"]) > 1e-3, "the pixels matter"
    rows = list(result.tables["curves"].records())
    for kind, values in expected.items():
        assert [row[kind] for row in rows] == pytest.approx(values, abs=1e-5)
        area = sum((one + other) / 8 for one, other in pairwise(values))
        assert result.numbers[f"{kind}_area"] == pytest.approx(area, abs=1e-5)


def test_the_attribution_is_that_of_occlude(context: Context) -> None:
    windows = {"window": 8, "stride": 8}
    result = analyze("faithfulness", context, method_parameters=windows, labels=["c"], random=2, **GREY)
    occluded = analyze("occlude", context, classes=["c"], **windows)
    np.testing.assert_array_equal(result.tensors["attribution"], occluded.tensors["attribution"])
    assert result.tensors["random"].shape == (1, 2, 5)


def test_the_control_is_left_out_with_a_warning(context: Context) -> None:
    result = analyze(
        "faithfulness", replace(context, pictures=True), method_parameters={"window": 16}, **GREY
    )
    (notice,) = [each for each in result.warnings if each.code == "no-control"]
    assert "is an opaque graph" in notice.message
    assert notice.field == "control"
    assert "control-attributions" not in result.tensors
    (row,) = result.tables["photos"].records()
    assert row["control_deletion_area"] is row["control_insertion_area"] is None
    assert row["random_area"] is not None


def test_a_method_that_needs_layers_is_rejected(context: Context) -> None:
    with pytest.raises(InputError, match=REASON):
        analyze("faithfulness", context, method="project", **GREY)


def test_explanations_state_why_a_method_has_none(context: Context) -> None:
    parameters = {"occlude": {"window": 8, "stride": 8}}
    result = analyze("explain", context, label="c", method_parameters=parameters, step=0.25)
    occluded = analyze("occlude", context, classes=["c"], window=8, stride=8)
    np.testing.assert_array_equal(result.tensors["occlude-attribution"], occluded.tensors["attribution"])
    rows = {row["method"]: row for row in result.tables["methods"].records()}
    assert "is an opaque graph, not a list of layers" in rows["project"]["reason"]
    assert rows["occlude"]["reason"] is None


@pytest.mark.parametrize("first", ["vit", "convnext"])
def test_two_models_of_which_one_has_layers_are_compared(first: str, tmp_path: Path) -> None:
    network = build(SPEC, generator=torch.Generator().manual_seed(3))
    write_model(tmp_path, manifest_of("tiny", SPEC), network)
    context = replace(context_of(add_opaque_model(tmp_path, first), blobs(7)), pictures=True)
    parameters = {"occlude": {"window": 8, "stride": 8}}
    result = analyze(
        "explain", context, methods=["occlude"], other="tiny", method_parameters=parameters, step=0.25
    )
    assert {"occlude-attribution", "other-occlude-attribution", "occlude-difference"} <= result.tensors.keys()
    assert "projection" not in result.tensors
    assert result.tensors["other-projection"].shape == (3, 32, 32)
    assert [picture.name for picture in result.pictures] == ["explain"]


def test_a_control_that_is_asked_for_is_rejected_before_any_pass(context: Context) -> None:
    with pytest.raises(InputError, match="control is set, but model '.*' version 1 " + REASON) as caught:
        analyze("faithfulness", without_passes(context), control=True)
    assert caught.value.field == "control"
