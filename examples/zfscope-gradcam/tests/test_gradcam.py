"""Grad-CAM compared with plain torch, with sums on paper, and with zfscope's contract."""

import io
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from zfscope.analysis.contract import Analysis, Context
from zfscope.analysis.registry import load_analyzers
from zfscope.analysis.run import check_photos, read_params, run
from zfscope.engine.trace import trace
from zfscope.errors import Cancelled, InputError, NotFound
from zfscope.images.heat import heat_panel
from zfscope.images.preprocess import Preprocessing, prepare_tensor
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Add, Conv, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.rounding import is_level
from zfscope.runtimes import create_runtime
from zfscope.store import Label, Manifest, Model, Provenance, Weights
from zfscope_gradcam import GradCam, grad_cam

LABELS = ("ant", "bee", "cat", "dog")
TINY = NetworkSpec(
    name="tiny",
    input_size=32,
    layers=(
        Conv(name="conv1", channels=6, kernel=5, stride=2),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1", alpha=0.5),
        Conv(name="conv5", channels=12, kernel=3, padding=(1, 1, 1, 1)),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="fc6", units=9),
        ReLU(name="relu6"),
        Dropout(name="drop6"),
        Linear(name="fc7", units=4),
    ),
)
BRANCHY = NetworkSpec(
    name="branchy",
    input_size=6,
    layers=(
        Conv(name="conv1", channels=4, kernel=3),
        ReLU(name="relu1"),
        Conv(name="straight", channels=4, kernel=1),
        Conv(name="skip", inputs=("input",), channels=4, kernel=3),
        Conv(name="aside", inputs=("relu1",), channels=2, kernel=1),  # nothing reads it
        Add(name="sum", inputs=("relu1", "straight", "skip")),
        Flatten(name="flatten"),
        Linear(name="scores", units=3),
    ),
)
ON_PAPER = NetworkSpec(
    name="on-paper",
    input_size=2,
    layers=(
        Conv(name="conv5", channels=3, kernel=1),
        ReLU(name="relu5"),
        Flatten(name="flatten"),
        Linear(name="scores", units=2),
    ),
)


def seeded(spec: NetworkSpec) -> Network:
    """Build a network without gradients, as a store loads it, with biases that are not zero; in float64."""
    generator = torch.Generator().manual_seed(5)
    network = build(spec, generator=generator)
    for filters in network.filters.values():
        filters.bias.data.normal_(0, 0.1, generator=generator)
    return network.double().eval().requires_grad_(False)


def context_of(network: Network, pixels: NDArray[np.float32] | None = None) -> Context:
    """Return the context of a request for tensors. pixels: (3, H, W), noise by default."""
    size = network.spec.input_size
    steps = Preprocessing(short_side=size, centre=size, crop=size, mean=(0, 0, 0))
    manifest = Manifest(
        name=network.spec.name,
        version=1,
        summary="Made up",
        network=network.spec,
        preprocessing=steps,
        labels=tuple(
            Label(id=f"n{index}", name=name)
            for index, name in enumerate(LABELS[: network.spec.layers[-1].units])
        ),
        provenance=Provenance(source="made up in a test"),
    )
    if pixels is None:
        pixels = np.random.default_rng(1).normal(0, 1, (3, size, size)).astype(np.float32)
    model = Model(manifest, Weights.from_network(network))
    return Context(
        model,
        create_runtime("torch", model),
        (prepare_tensor(pixels, steps),),
        pictures=False,
        tensors=True,
    )


def run_gradcam(context: Context, **params: Any) -> Analysis:
    """Run the analyzer as zfscope does, which checks that the result fits the contract."""
    return run(GradCam(), context, read_params(GradCam(), params))


@pytest.fixture
def context() -> Context:
    return context_of(seeded(TINY))


def plain(network: Network) -> nn.Sequential:
    """Build TINY from torch's modules, with the same weights."""
    modules = {
        "conv1": nn.Conv2d(3, 6, 5, stride=2),
        "relu1": nn.ReLU(),
        "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        "norm1": nn.LocalResponseNorm(5, alpha=0.5, k=2),
        "conv5": nn.Conv2d(6, 12, 3, padding=1),
        "relu5": nn.ReLU(),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(12 * 7 * 7, 9),
        "relu6": nn.ReLU(),
        "fc7": nn.Linear(9, 4),
    }
    copy = nn.Sequential(OrderedDict(modules)).double()
    copy.load_state_dict(network.layers.state_dict())
    return copy


def by_autograd(score: Tensor, maps: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return Grad-CAM's map and weights of a score, literally as in the paper."""
    (gradients,) = torch.autograd.grad(score, maps)
    weights = [float(gradient.sum()) / gradient.numel() for gradient in gradients[0]]
    total = sum(weight * single for weight, single in zip(weights, maps.detach()[0].numpy(), strict=True))
    return np.maximum(total, 0), np.array(weights)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool1", "norm1", "conv5", "relu5"])
@pytest.mark.parametrize("label", LABELS)
def test_the_map_is_that_of_autograd_through_the_whole_network(
    context: Context, layer: str, label: str
) -> None:
    result = run_gradcam(context, layer=layer, label=label)
    outputs = {}
    x = torch.from_numpy(context.images[0].pixels).double()
    for name, module in plain(context.model.network).named_children():
        x = outputs[name] = module(x)
    score = x[0, LABELS.index(label)]
    cam, weights = by_autograd(score, outputs[layer])

    np.testing.assert_allclose(result.tensors["weights"], weights, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(result.tensors["cam"], cam, rtol=1e-5, atol=1e-7)
    assert result.numbers["score"] == pytest.approx(score.item(), rel=1e-5)


def test_at_the_default_layer_most_classes_have_evidence(context: Context) -> None:
    peaks = [run_gradcam(context, label=label).numbers["peak"] for label in LABELS]
    assert sum(peak > 0 for peak in peaks) >= 3


def on_paper() -> Context:
    """Three maps that are the image's own channels, and two classes.

    The weights of the first class have means of 1, -1 and 0.5 over the maps; those of the second are -1.
    """
    network = seeded(ON_PAPER)
    filters = network.filters
    filters["conv5"].weight.data = torch.eye(3).double()[:, :, None, None]
    filters["conv5"].bias.data.zero_()
    filters["scores"].weight.data = torch.tensor(
        [[4.0, 0, 0, 0, -1, -1, -1, -1, 2, 0, 0, 0], [-1.0] * 12]
    ).double()
    filters["scores"].bias.data.zero_()
    image = np.array([[[1, 0], [0, 2]], [[0, 3], [0, 0]], [[1, 1], [1, 1]]], np.float32)
    return context_of(network, image)


def test_the_map_equals_the_one_computed_on_paper() -> None:
    result = run_gradcam(on_paper(), label="ant")
    # [[1, 0], [0, 2]] - [[0, 3], [0, 0]] + 0.5 [[1, 1], [1, 1]], and nothing below 0
    np.testing.assert_array_equal(result.tensors["cam"], [[1.5, 0], [0.5, 2.5]])
    np.testing.assert_array_equal(result.tensors["weights"], [1, -1, 0.5])
    assert result.numbers == {"score": 4 - 3 + 2, "peak": 2.5}


def test_evidence_against_a_class_is_not_shown() -> None:
    result = run_gradcam(on_paper(), label="bee")
    np.testing.assert_array_equal(result.tensors["weights"], [-1, -1, -1])
    assert not result.tensors["cam"].any()
    assert result.numbers == {"score": -10, "peak": 0}
    assert run_gradcam(replace(on_paper(), pictures=True), label="bee").pictures


def test_a_layer_with_two_readers_contributes_through_both() -> None:
    network = seeded(BRANCHY)
    context = context_of(network)
    weights = {name: (filters.weight, filters.bias) for name, filters in network.filters.items()}
    images = torch.from_numpy(context.images[0].pixels).double()
    maps = nn.functional.conv2d(images, *weights["conv1"]).relu().requires_grad_()
    total = maps + nn.functional.conv2d(maps, *weights["straight"])
    total = total + nn.functional.conv2d(images, *weights["skip"])
    scores = total.flatten(1) @ weights["scores"][0].T + weights["scores"][1]
    cam, alphas = by_autograd(scores[0, 2], maps)

    result = run_gradcam(context, layer="relu1", label="cat")
    np.testing.assert_allclose(result.tensors["cam"], cam, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(result.tensors["weights"], alphas, rtol=1e-5)


def test_the_heat_interpolates_between_the_centres_of_units(context: Context) -> None:
    result = run_gradcam(context).tensors
    rows, columns = result["cam"].shape
    at = [(np.arange(32) + 0.5) * count / 32 - 0.5 for count in (rows, columns)]
    wide = np.stack([np.interp(at[1], np.arange(columns), row) for row in result["cam"]])
    heat = np.stack([np.interp(at[0], np.arange(rows), column) for column in wide.T], axis=1)
    assert result["heat"].shape == (32, 32)
    np.testing.assert_allclose(result["heat"], heat, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("label", ["n2", "cat"])
def test_the_class_is_named_by_its_id_or_by_its_name(context: Context, label: str) -> None:
    (row,) = run_gradcam(context, label=label).tables["classes"].records()
    assert (row["label_id"], row["label"]) == ("n2", "cat")


def test_without_a_label_the_most_likely_class_is_explained(context: Context) -> None:
    rows = [
        run_gradcam(context, label=label).tables["classes"].records()[0] for label in ("n0", "n1", "n2", "n3")
    ]
    assert sum(row["probability"] for row in rows) == pytest.approx(1)
    likeliest = max(rows, key=lambda row: row["probability"])
    assert run_gradcam(context).tables["classes"].records() == [likeliest]


def test_tensors_have_the_shapes_of_layer_and_crop(context: Context) -> None:
    shapes = {
        name: (tensor.shape, tensor.dtype.name) for name, tensor in run_gradcam(context).tensors.items()
    }
    assert shapes == {
        "cam": ((7, 7), "float32"),
        "weights": ((12,), "float32"),
        "heat": ((32, 32), "float32"),
    }


def changed(context: Context, *names: str) -> Context:
    """Return a context whose labels have these names."""
    labels = tuple(Label(id=f"n{index}", name=name) for index, name in enumerate(names))
    manifest = context.model.manifest.model_copy(update={"labels": labels})
    return replace(context, model=replace(context.model, manifest=manifest))


def refuse_to_run(*_: object) -> None:
    raise AssertionError("there was a pass")


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
    monkeypatch: pytest.MonkeyPatch,
    params: dict[str, str],
    error: type[Exception],
    field: str,
    message: str,
) -> None:
    monkeypatch.setattr("zfscope_gradcam.trace", refuse_to_run)
    with pytest.raises(error, match=message) as refusal:
        run_gradcam(context, **params)
    assert refusal.value.field == field


def test_a_layer_without_a_path_to_the_scores_is_rejected() -> None:
    with pytest.raises(InputError, match=r"^layer 'aside' does not lead to the class scores$") as refusal:
        run_gradcam(context_of(seeded(BRANCHY)), layer="aside")
    assert refusal.value.field == "layer"


def test_a_name_that_several_labels_share_is_rejected(context: Context) -> None:
    cranes = changed(context, "crane", "bee", "crane", "dog")
    with pytest.raises(
        InputError, match=r"^2 labels are named 'crane'; use an id instead: n0, n2$"
    ) as refusal:
        run_gradcam(cranes, label="crane")
    assert refusal.value.field == "label"
    assert run_gradcam(cranes, label="n2").tables["classes"].rows[0][:2] == ("n2", "crane")


def test_the_message_lists_the_first_ten_of_many_labels(context: Context) -> None:
    many = changed(context, *(f"bird {index}" for index in range(1_012)))
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
    monkeypatch.setattr("zfscope_gradcam.figure", refuse_to_run)
    assert run_gradcam(context).pictures == ()


@pytest.mark.parametrize("passes", [0, 1])
def test_it_stops_when_the_call_is_cancelled(context: Context, passes: int) -> None:
    reports: list[float] = []

    def check() -> None:
        if len(reports) == passes:
            raise Cancelled("the client cancelled the call or disconnected")

    gone = replace(context, check_cancelled=check, progress=lambda share, _: reports.append(share))
    with pytest.raises(Cancelled):
        run_gradcam(gone)
    assert len(reports) == passes


def test_progress_rises(context: Context) -> None:
    reports: list[float] = []
    run_gradcam(replace(context, progress=lambda share, _: reports.append(share)))
    assert reports == sorted(reports)
    assert reports[0] > 0
    assert reports[-1] <= 1


@pytest.mark.parametrize("trainable", [False, True])
def test_the_network_is_not_modified(context: Context, trainable: bool) -> None:
    network = context.model.network.requires_grad_(trainable)
    before = {name: weights.clone() for name, weights in network.state_dict().items()}
    with torch.no_grad():  # whatever its caller has switched off
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


def test_many_threads_share_an_analyzer(context: Context) -> None:
    asked = [{"layer": layer, "label": label} for layer in ("relu1", "relu5") for label in LABELS] * 3
    alone = [run_gradcam(context, **params) for params in asked]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda params: run_gradcam(context, **params), asked))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.tensors["cam"], other.tensors["cam"])
        assert one.numbers == other.numbers


def test_it_is_installed_as_an_analyzer_that_fits_the_contract() -> None:
    result = load_analyzers(["gradcam"])["gradcam"]
    assert (result.distribution, type(result.analyzer)) == ("zfscope-gradcam", GradCam)
    schema = result.analyzer.params.model_json_schema()
    assert schema["properties"]["layer"]["default"] == "relu5"
    assert all(field["description"] for field in schema["properties"].values())


def test_it_takes_one_photo_and_costs_two_passes(context: Context) -> None:
    with pytest.raises(InputError, match=r"^2 photos; 'gradcam' takes 1$"):
        check_photos(GradCam(), 2)
    assert GradCam().cost(context.model, GradCam.params()) == 2


def test_evidence_that_is_rounding_is_not_drawn_as_evidence(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the terms of a map of evidence cancel, what is left is rounding of them."""
    captions, level = [], []

    def record(values: NDArray[np.float32], view: Any, caption: str, *, floor: float, **options: Any) -> Any:
        captions.append(caption.split(" for ")[0])
        level.append(is_level(values, floor=floor))
        return heat_panel(values, view, caption, floor=floor, **options)

    def cancelled(network: Network, traced: Any, layer: str, index: int) -> tuple[Tensor, Tensor]:
        cam, weights = grad_cam(network, traced, layer, index)
        return 1e-7 * cam, weights

    monkeypatch.setattr("zfscope_gradcam.heat_panel", record)
    drawn = replace(context, pictures=True)
    run_gradcam(drawn, label="ant", layer="relu5")
    monkeypatch.setattr("zfscope_gradcam.grad_cam", cancelled)
    run_gradcam(drawn, label="ant", layer="relu5")
    assert captions == ["evidence", "no evidence"]
    assert level == [False, True]
