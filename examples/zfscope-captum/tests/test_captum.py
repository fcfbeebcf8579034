"""Each method equals Captum, called by hand on a network of torch's own modules."""

from collections.abc import Callable
from itertools import combinations
from math import comb
from typing import Any

import captum.attr
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_models import LABELS, RULED, TINY, context_of, run_method, seeded_network, torch_tiny
from torch import Tensor, nn
from torch.nn.functional import interpolate

import zfscope_captum
from zfscope.analysis.contract import Context

Method = Callable[[nn.Sequential, Tensor, int], Tensor]
# The default baseline: level 128, less the mean of 0.
BASELINE = torch.full((1, 3, 32, 32), 128.0, dtype=torch.float64)
# Cells of 8 x 8 pixels.
CELLS = torch.tensor([[y // 8 * 4 + x // 8 for x in range(32)] for y in range(32)]).expand(1, 3, 32, 32)


def seed() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  # Captum uses it


def gradient_shap(model: nn.Sequential, x: Tensor, target: int) -> Tensor:
    seed()
    method = captum.attr.GradientShap(model)
    return method.attribute(x, BASELINE, n_samples=7, stdevs=0.5, target=target)


def kernel_shap(model: nn.Sequential, x: Tensor, target: int) -> Tensor:
    seed()
    method = captum.attr.KernelShap(model)
    return method.attribute(x.detach(), BASELINE, target, feature_mask=CELLS, n_samples=60)


METHODS: list[tuple[str, dict[str, Any], Method]] = [
    (
        "IntegratedGradients",
        {"steps": 30},
        lambda model, x, target: captum.attr.IntegratedGradients(model).attribute(
            x, BASELINE, target=target, n_steps=30
        ),
    ),
    (
        "IntegratedGradients",
        {"steps": 10, "method": "riemann_trapezoid"},
        lambda model, x, target: captum.attr.IntegratedGradients(model).attribute(
            x, BASELINE, target=target, n_steps=10, method="riemann_trapezoid"
        ),
    ),
    ("GradientShap", {"samples": 7, "noise": 0.5, "seed": 3}, gradient_shap),
    (
        "DeepLift",
        {},
        lambda model, x, target: captum.attr.DeepLift(model).attribute(x, BASELINE, target=target).detach(),
    ),
    (
        "GuidedGradCam",
        {"layer": "conv5"},
        lambda model, x, target: captum.attr.GuidedGradCam(model, model.conv5).attribute(x, target),
    ),
    (
        "LayerGradCam",
        {"layer": "relu1"},
        lambda model, x, target: (
            captum.attr.LayerGradCam(model, model.relu1).attribute(x, target, relu_attributions=True).detach()
        ),
    ),
    (
        "FeatureAblation",
        {"parts": 16},
        lambda model, x, target: captum.attr.FeatureAblation(model).attribute(
            x.detach(), BASELINE, target=target, feature_mask=CELLS
        ),
    ),
    ("KernelShap", {"parts": 16, "samples": 60, "seed": 3}, kernel_shap),
]


def expected_attribution(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (H, W) form of what Captum returned, (channels, rows, columns)."""
    if name == "LayerGradCam":
        enlarged = interpolate(torch.from_numpy(values)[None], (32, 32), mode="bilinear", align_corners=False)
        return enlarged[0, 0].numpy()
    return values[0] if name in ("FeatureAblation", "KernelShap") else values.sum(0)


@pytest.mark.parametrize(("name", "params", "by_hand"), METHODS)
@pytest.mark.parametrize("label", ["bee", "cat"])
def test_a_method_equals_captum_called_by_hand(
    context: Context, name: str, params: dict[str, Any], by_hand: Method, label: str
) -> None:
    result = run_method(getattr(zfscope_captum, name)(), context, label=label, **params)
    images = torch.from_numpy(context.images[0].pixels).double().requires_grad_()
    values = by_hand(torch_tiny(context.model.network), images, LABELS.index(label))[0].detach().numpy()

    assert np.abs(values).max() > 0
    np.testing.assert_allclose(result.tensors["captum"], values, rtol=1e-6, atol=1e-6 * np.abs(values).max())
    attribution = expected_attribution(name, values)
    tolerance = 1e-6 * np.abs(attribution).max()
    np.testing.assert_allclose(result.tensors["attribution"], attribution, rtol=1e-6, atol=tolerance)
    scores = torch_tiny(context.model.network)(images.detach())[0]
    assert result.numbers["score"] == pytest.approx(float(scores[LABELS.index(label)]), rel=1e-6)


def test_integrated_gradients_sum_to_the_difference_of_the_scores(context: Context) -> None:
    gaps = []
    for steps in (10, 300):
        numbers = run_method(zfscope_captum.IntegratedGradients(), context, label="cat", steps=steps).numbers
        model = torch_tiny(context.model.network)
        before = float(model(BASELINE)[0, 2])
        assert numbers["baseline_score"] == pytest.approx(before, rel=1e-6)
        gaps.append(numbers["completeness_gap"])
        assert numbers["total"] == pytest.approx(numbers["score"] - before + gaps[-1])
    assert abs(gaps[1]) < 1e-2 * abs(numbers["score"] - before)


def test_deeplift_is_complete_where_captum_has_a_rule_for_each_layer() -> None:
    context = context_of(seeded_network(RULED))
    numbers = run_method(zfscope_captum.DeepLift(), context, label="bee").numbers
    assert abs(numbers["score"] - numbers["baseline_score"]) > 0.1
    assert numbers["completeness_gap"] == pytest.approx(0, abs=1e-9)


def test_shapley_values_sum_to_the_difference_of_the_scores(context: Context) -> None:
    numbers = run_method(zfscope_captum.KernelShap(), context, parts=9, samples=1000).numbers
    difference = numbers["score"] - numbers["baseline_score"]
    assert numbers["completeness_gap"] == pytest.approx(0, abs=1e-3 * abs(difference))


def test_shapley_values_equal_those_of_all_orders(context: Context) -> None:
    """Of four parts, by their definition: the mean gain over all sets of other parts, weighted by size."""
    model, images = torch_tiny(context.model.network), torch.from_numpy(context.images[0].pixels).double()
    parts = torch.tensor([[y // 16 * 2 + x // 16 for x in range(32)] for y in range(32)])

    def score(kept: set[int]) -> float:
        inside = sum((parts == part for part in kept), torch.zeros(32, 32, dtype=torch.bool))
        return float(model(torch.where(inside, images, BASELINE))[0, 1])

    expected = []
    for part in range(4):
        others = [set(chosen) for size in range(4) for chosen in combinations({0, 1, 2, 3} - {part}, size)]
        expected.append(sum((score(o | {part}) - score(o)) / (4 * comb(3, len(o))) for o in others))
    result = run_method(zfscope_captum.KernelShap(), context, label="bee", parts=4, samples=2000)
    found = result.tensors["attribution"][::16, ::16].ravel()
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_tiny_is_the_network_under_test(context: Context) -> None:
    images = torch.from_numpy(context.images[0].pixels).double()
    torch.testing.assert_close(
        torch_tiny(seeded_network(TINY))(images), context.model.network(images), rtol=1e-6, atol=1e-6
    )
