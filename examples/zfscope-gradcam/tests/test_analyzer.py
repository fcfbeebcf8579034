"""The analyzer's errors, pictures, progress and cancellation, and its fit to the contract of zfscope."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_models import BRANCHY, LABELS, context_of, run_gradcam, seeded
from torch import Tensor

from zfscope.analysis.contract import Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import check_photos, read_params
from zfscope.engine.trace import trace
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.heat import heat_panel
from zfscope.networks import Network
from zfscope.rounding import is_level
from zfscope.store import Label
from zfscope_gradcam import GradCam, grad_cam


def with_labels(context: Context, *names: str) -> Context:
    """Return a context whose model has labels with these names."""
    labels = tuple(Label(id=f"n{index}", name=name) for index, name in enumerate(names))
    manifest = context.model.manifest.model_copy(update={"labels": labels})
    return replace(context, model=replace(context.model, manifest=manifest))


def fail(*_: object) -> None:
    raise AssertionError("unexpected call")


@pytest.mark.parametrize(
    ("params", "error", "field", "message"),
    [
        ({"layer": "conv9"}, NotFound, "layer", r"^layer 'conv9' not found; available: conv1, relu1, pool1"),
        (
            {"layer": "fc6"},
            InputError,
            "layer",
            r"^layer 'fc6' has no maps; layers with maps: conv1, .*, relu5$",
        ),
        ({"layer": "fc7"}, InputError, "layer", r"^layer 'fc7' has no maps"),
        ({"layer": "input"}, NotFound, "layer", r"^layer 'input' not found"),
        (
            {"label": "cow"},
            NotFound,
            "label",
            r"^label 'cow' not found; this model has 'ant' \(n0\), .*'dog' \(n3\)$",
        ),
    ],
)
def test_unknown_layers_and_labels_are_rejected_before_any_pass(
    context: Context,
    params: dict[str, str],
    error: type[Exception],
    field: str,
    message: str,
) -> None:
    with pytest.raises(error, match=message) as refusal:
        run_gradcam(replace(context, tracer=fail), **params)
    assert refusal.value.field == field


def test_a_layer_without_a_path_to_the_scores_is_rejected() -> None:
    with pytest.raises(InputError, match=r"^layer 'aside' does not lead to the class scores$") as refusal:
        run_gradcam(context_of(seeded(BRANCHY)), layer="aside")
    assert refusal.value.field == "layer"


def test_a_name_that_several_labels_share_is_rejected(context: Context) -> None:
    cranes = with_labels(context, "crane", "bee", "crane", "dog")
    with pytest.raises(
        InputError, match=r"^2 labels are named 'crane'; use an id instead: n0, n2$"
    ) as refusal:
        run_gradcam(cranes, label="crane")
    assert refusal.value.field == "label"
    assert run_gradcam(cranes, label="n2").tables["classes"].rows[0][:2] == ("n2", "crane")


def test_the_message_lists_the_first_ten_of_many_labels(context: Context) -> None:
    many = with_labels(context, *(f"bird {index}" for index in range(1_012)))
    with pytest.raises(NotFound, match=r"'bird 9' \(n9\) and 1,002 more$"):
        run_gradcam(many, label="cow")


@pytest.mark.parametrize("params", [{"layer": 5}, {"label": None}, {"speed": 1}])
def test_invalid_parameters_are_rejected_by_name(params: dict[str, Any]) -> None:
    (name,) = params
    with pytest.raises(InputError, match=f"^{name} is") as refusal:
        read_params(GradCam(), params)
    assert refusal.value.field == name


def test_the_picture_shows_photo_and_map_and_explains_its_colours(context: Context) -> None:
    (shown,) = run_gradcam(replace(context, pictures=True), label="dog").pictures
    image = Image.open(io.BytesIO(shown.png))
    image.load()
    assert shown.name == "gradcam"
    assert image.text["zfscope:scale"] == shown.scale
    assert "viridis" in shown.scale
    assert image.width > 2 * 400


def test_pictures_that_were_not_requested_are_not_drawn(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zfscope_gradcam.figure", fail)
    assert run_gradcam(context).pictures == ()


@pytest.mark.parametrize("passes", [0, 1])
def test_a_cancelled_call_stops_at_the_next_step(context: Context, passes: int) -> None:
    reports: list[float] = []

    def check() -> None:
        if len(reports) == passes:
            raise Cancelled("the client cancelled the call or disconnected")

    cancelled = replace(context, check_cancelled=check, progress=lambda share, _: reports.append(share))
    with pytest.raises(Cancelled):
        run_gradcam(cancelled)
    assert len(reports) == passes


def test_progress_increases(context: Context) -> None:
    reports: list[float] = []
    run_gradcam(replace(context, progress=lambda share, _: reports.append(share)))
    assert reports == sorted(reports)
    assert reports[0] > 0
    assert reports[-1] <= 1


@pytest.mark.parametrize("trainable", [False, True])
def test_the_network_is_not_modified(context: Context, trainable: bool) -> None:
    network = context.model.network.requires_grad_(trainable)
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    with torch.no_grad():  # regardless of the caller's gradient mode
        run_gradcam(context, layer="relu1")
    assert all(torch.equal(weights, before[name]) for name, weights in network.state_dict().items())
    assert all(weights.grad is None for weights in network.parameters())
    assert all(weights.requires_grad is trainable for weights in network.parameters())


def test_the_trace_is_not_modified(context: Context) -> None:
    network = context.model.network
    traced = trace(network, torch.from_numpy(context.images[0].pixels).double())
    before = traced.outputs["relu5"].clone()
    grad_cam(network, traced, "relu5", 0)
    assert torch.equal(traced.outputs["relu5"], before)
    assert not any(output.requires_grad for output in traced.outputs.values())


def test_threads_can_share_an_analyzer(context: Context) -> None:
    requests = [{"layer": layer, "label": label} for layer in ("relu1", "relu5") for label in LABELS] * 3
    expected = [run_gradcam(context, **params) for params in requests]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda params: run_gradcam(context, **params), requests))
    for one, other in zip(expected, results, strict=True):
        np.testing.assert_array_equal(one.tensors["cam"], other.tensors["cam"])
        assert one.numbers == other.numbers


def test_it_is_installed_as_an_analyzer_that_fits_the_contract() -> None:
    result = load_analyzers(["gradcam"])["gradcam"]
    assert (result.distribution, type(result.analyzer)) == ("zfscope-gradcam", GradCam)
    schema = result.analyzer.params.model_json_schema()
    assert schema["properties"]["layer"]["default"] == ""
    assert all(field["description"] for field in schema["properties"].values())


def test_it_takes_one_photo_and_costs_two_passes(context: Context) -> None:
    with pytest.raises(InputError, match=r"^2 photos; 'gradcam' takes 1$"):
        check_photos(GradCam(), 2)
    assert GradCam().cost(context.model, GradCam.params()) == 2


def test_rounding_errors_are_not_drawn_as_evidence(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the terms of a map cancel, the remainder is rounding error."""
    captions, levels = [], []

    def record(values: NDArray[np.float32], view: Any, caption: str, *, floor: float, **options: Any) -> Any:
        captions.append(caption.split(" for ")[0])
        levels.append(is_level(values, floor=floor))
        return heat_panel(values, view, caption, floor=floor, **options)

    def cancelling(network: Network, traced: Any, layer: str, index: int) -> tuple[Tensor, Tensor]:
        cam, weights = grad_cam(network, traced, layer, index)
        return 1e-7 * cam, weights

    monkeypatch.setattr("zfscope_gradcam.heat_panel", record)
    with_pictures = replace(context, pictures=True)
    run_gradcam(with_pictures, label="ant", layer="relu5")
    monkeypatch.setattr("zfscope_gradcam.grad_cam", cancelling)
    run_gradcam(with_pictures, label="ant", layer="relu5")
    assert captions == ["evidence", "no evidence"]
    assert levels == [False, True]
