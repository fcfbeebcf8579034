"""Modules, threads, errors, pictures and cancellation of the analyzers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import BRANCHY, LABELS, RULED, TINY, context_of, run_method, seeded_network

import zfscope_captum
from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import check_photos, read_params
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope_captum import CaptumModule
from zfscope_captum.features import grid, segments
from zfscope_captum.maps import layer_with_maps

QUICK: dict[str, dict[str, Any]] = {
    "IntegratedGradients": {"steps": 5},
    "GradientShap": {"samples": 3},
    "DeepLift": {},
    "GuidedGradCam": {},
    "LayerGradCam": {},
    "FeatureAblation": {"parts": 9},
    "KernelShap": {"parts": 4, "samples": 20},
}


@pytest.fixture(params=QUICK)
def method(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any]]:
    """Each analyzer, with parameters that take little time."""
    return getattr(zfscope_captum, request.param)(), QUICK[request.param]


@pytest.mark.parametrize("spec", [TINY, RULED, BRANCHY])
def test_the_module_computes_what_the_network_computes(spec: Any) -> None:
    network = seeded_network(spec)
    images = torch.randn(3, *network.shapes["input"], dtype=torch.float64)
    module = CaptumModule(network)
    torch.testing.assert_close(module(images), network(images), rtol=1e-12, atol=1e-12)
    assert len(module.steps) < len(spec.layers) if spec is BRANCHY else len(spec.layers)


def test_threads_share_an_analyzer_and_leave_nothing_on_the_network(
    context: Context, method: tuple[Any, dict[str, Any]]
) -> None:
    analyzer, params = method
    network = context.model.network
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    expected = {label: run_method(analyzer, context, label=label, **params) for label in LABELS}
    with ThreadPoolExecutor(16) as threads:
        labels = LABELS * 4
        results = list(
            threads.map(lambda label: run_method(analyzer, context, label=label, **params), labels)
        )
    for label, result in zip(labels, results, strict=True):
        for name, tensor in expected[label].tensors.items():
            np.testing.assert_array_equal(result.tensors[name], tensor)
        assert result.numbers == expected[label].numbers
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    assert not any(weight.requires_grad or weight.grad is not None for weight in network.parameters())


def test_a_call_does_not_disturb_the_global_generators(context: Context) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    run_method(zfscope_captum.GradientShap(), context, samples=3, seed=9)
    run_method(zfscope_captum.KernelShap(), context, parts=4, samples=9, seed=9)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


def test_another_seed_gives_another_result(context: Context) -> None:
    one, other = (
        run_method(zfscope_captum.GradientShap(), context, samples=3, seed=seed).tensors["attribution"]
        for seed in (0, 1)
    )
    assert not np.array_equal(one, other)


def test_a_method_reports_progress_and_can_be_cancelled(
    context: Context, method: tuple[Any, dict[str, Any]]
) -> None:
    analyzer, params = method
    shares: list[float] = []
    run_method(analyzer, replace(context, progress=lambda share, partial: shares.append(share)), **params)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1

    def cancel() -> None:
        if len(checks) == 2:
            raise Cancelled("cancelled")
        checks.append(1)

    checks: list[int] = []
    with pytest.raises(Cancelled):
        run_method(analyzer, replace(context, check_cancelled=cancel), **params)


def test_the_cost_is_about_the_number_of_passes(context: Context, method: tuple[Any, dict[str, Any]]) -> None:
    analyzer, params = method
    images: list[int] = []
    original = CaptumModule.__init__

    def counting(self: CaptumModule, network: Any, on_images: Any = None) -> None:
        original(self, network, images.append)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CaptumModule, "__init__", counting)
        run_method(analyzer, context, **params)
    cost = analyzer.cost(context.model, read_params(analyzer, params))
    assert sum(images) <= cost <= 2.5 * sum(images)


def test_a_figure_has_the_photo_and_the_attribution(
    context: Context, method: tuple[Any, dict[str, Any]]
) -> None:
    analyzer, params = method
    result = run_method(analyzer, replace(context, pictures=True), label="ant", **params)
    (picture,) = result.pictures
    assert picture.name == analyzer.name.removeprefix("captum-")
    assert "red: supports the class" in picture.scale
    assert result.tables["classes"].rows[0][:2] == ("n0", "ant")


def test_they_are_installed_as_analyzers_that_fit_the_contract() -> None:
    names = sorted(getattr(zfscope_captum, name).name for name in QUICK)
    registry = load_analyzers(names)
    for name in names:
        assert registry[name].distribution == "zfscope-captum"
        schema = registry[name].analyzer.params.model_json_schema()
        assert all(field["description"] for field in schema["properties"].values())
        with pytest.raises(InputError, match=f"^2 photos; '{name}' takes 1$"):
            check_photos(registry[name].analyzer, 2)


@pytest.mark.parametrize(
    ("name", "params", "error", "field", "message"),
    [
        ("DeepLift", {"label": "cow"}, NotFound, "label", "^label 'cow' not found"),
        ("DeepLift", {"baseline": "purple"}, InputError, "baseline", "grey"),
        ("IntegratedGradients", {"steps": 0}, InputError, "steps", "greater than 0$"),
        ("IntegratedGradients", {"stepps": 9}, InputError, "stepps", "stepps"),
        ("LayerGradCam", {"layer": "conv9"}, NotFound, "layer", "^layer 'conv9' not found"),
        (
            "LayerGradCam",
            {"layer": "fc6"},
            InputError,
            "layer",
            "^layer 'fc6' has no maps; layers with maps:",
        ),
        ("KernelShap", {"samples": 1}, InputError, "samples", "2"),
        ("KernelShap", {"parts": 9, "samples": 9}, InputError, "samples", "^samples is 9 for 9 parts"),
        ("KernelShap", {"parts": 1}, InputError, "parts", "2"),
    ],
)
def test_invalid_parameters_are_refused_with_their_name(
    context: Context, name: str, params: dict[str, Any], error: type[Exception], field: str, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        run_method(getattr(zfscope_captum, name)(), context, **params)
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_a_layer_beside_the_path_to_the_scores_is_refused() -> None:
    context = context_of(seeded_network(BRANCHY))
    with pytest.raises(InputError, match=r"^layer 'aside' does not lead to the class scores$"):
        run_method(zfscope_captum.GuidedGradCam(), context, layer="aside")
    assert layer_with_maps(context.model, "conv") == "block.0.conv"


def test_a_photo_without_segments_is_refused() -> None:
    context = context_of(seeded_network(TINY), np.full((3, 32, 32), 77, np.float32))
    with pytest.raises(InputError, match="single segment; use the shape 'grid'") as caught:
        run_method(zfscope_captum.KernelShap(), context, shape="segments", parts=2, samples=9)
    assert caught.value.field == "shape"


def test_a_grid_covers_the_view_with_cells_of_equal_size() -> None:
    cells = grid(np.zeros((32, 32, 3), np.uint8), 17)
    assert np.unique(cells, return_counts=True)[1].tolist() == [64] * 16
    assert grid(np.zeros((8, 8, 3), np.uint8), 4096).max() == 63


def test_segments_follow_the_colours_of_the_view() -> None:
    view = np.zeros((40, 40, 3), np.uint8)
    view[:, 23:] = 255
    found = segments(view, 4)
    assert found.min() == 0
    assert len(np.unique(found)) == found.max() + 1 >= 2
    assert not set(found[:, :23].ravel()) & set(found[:, 23:].ravel())
