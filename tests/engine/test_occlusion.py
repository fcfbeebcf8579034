"""Incremental occlusion: recomputed outputs equal those of a forward pass on the changed image.

Expected values come from brute force: the changed image is traced again.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zfscope.engine import Trace, trace
from zfscope.engine import changes as changes_module
from zfscope.engine import occlusion as occlusion_module
from zfscope.engine.occlusion import BUDGET_BYTES, recompute
from zfscope.engine.signal import Signal
from zfscope.errors import InputError, NotFound
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    ReLU,
)
from zfscope.networks.spec import shapes
from zfscope.networks.windows import Padding


@st.composite
def single_layers(draw: st.DrawFn, name: str) -> Sequence[Layer]:
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = Padding(*(draw(st.integers(0, kernel - 1)) for _ in range(4)))
    rounding = draw(st.sampled_from(["floor", "ceil"]))
    layers: Sequence[Layer] = [
        Conv(name=name, channels=3, kernel=kernel, stride=stride, padding=padding),
        MaxPool(name=name, kernel=kernel, stride=stride, padding=padding, rounding=rounding),
        AvgPool(name=name, kernel=kernel, stride=stride, padding=padding),
        ReLU(name=name),
        LocalResponseNorm(name=name, size=3, alpha=0.5),
        LocalResponseNorm(name=name, region="within_map", size=draw(st.sampled_from([1, 3, 5])), alpha=0.5),
        Dropout(name=name),
    ]
    return [draw(st.sampled_from(layers))]


@st.composite
def branches(draw: st.DrawFn, name: str, before: str) -> Sequence[Layer]:
    """Draw branches with different windows and equal shapes, and the layer that joins them."""
    stride, padding = draw(st.integers(1, 2)), Padding(1, 1, 1, 1)
    parts: tuple[Layer, ...] = (
        Conv(name=f"{name}a", inputs=(before,), channels=4, kernel=3, stride=stride, padding=padding),
        Conv(name=f"{name}b", inputs=(before,), channels=4, kernel=1, stride=stride),
        MaxPool(name=f"{name}c", kernel=3, padding=Padding(2, 0, 0, 2)),
    )
    read = draw(st.lists(st.sampled_from([part.name for part in parts]), min_size=2, max_size=3))
    join = draw(st.sampled_from([Add, Concat]))
    return [*parts, join(name=name, inputs=tuple(read))]


# What follows the maps: nothing, one fully connected layer, or several with branches and joins.
HEADS: Sequence[Sequence[Layer]] = (
    (),
    (Flatten(name="flatten"), Linear(name="full", units=3)),
    (
        Flatten(name="flatten"),
        LocalResponseNorm(name="normalised", size=3),
        Linear(name="one", units=4),
        ReLU(name="active"),
        Dropout(name="drop"),
        Linear(name="other", inputs=("normalised",), units=4),
        Add(name="sum", inputs=("one", "drop", "other")),
        Concat(name="all", inputs=("sum", "flatten")),
        Flatten(name="again"),
        Linear(name="scores", units=2),
    ),
)


def fits(size: int, layers: Sequence[Layer]) -> bool:
    try:
        shapes(NetworkSpec(name="random", input_size=size, layers=tuple(layers)))
    except ValueError:
        return False
    return True


@st.composite
def networks(draw: st.DrawFn, dtype: torch.dtype) -> Network:
    size = draw(st.integers(4, 17))
    layers: list[Layer] = [Conv(name="first", channels=4, kernel=draw(st.integers(1, 3)))]
    for index in range(draw(st.integers(0, 5))):
        name = f"layer{index}"
        more = draw(st.one_of(single_layers(name), branches(name, layers[-1].name)))
        layers = [*layers, *more] if fits(size, [*layers, *more]) else layers
    spec = NetworkSpec(name="random", input_size=size, layers=(*layers, *draw(st.sampled_from(HEADS))))
    return build(spec, generator=torch.Generator().manual_seed(0)).to(dtype)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def windows(draw: st.DrawFn, images: Tensor) -> Signal:
    """Draw windows of one size anywhere in some images, from a pixel to the whole image."""
    size = images.shape[2]
    height, width = draw(st.integers(1, size)), draw(st.integers(1, size))
    position = st.tuples(
        st.integers(0, len(images) - 1), st.integers(0, size - height), st.integers(0, size - width)
    )
    positions = draw(st.lists(position, min_size=1, max_size=5))
    return random_changes(images, (height, width), positions)


def random_changes(
    images: Tensor, size: tuple[int, int], positions: Sequence[tuple[int, int, int]]
) -> Signal:
    """Return random pixels for windows at (image, row, column)."""
    table = torch.tensor(positions)
    values = numbers(len(positions), images.shape[1], *size, seed=1, dtype=images.dtype)
    return Signal(values, table[:, 0], table[:, 1:])


def paste(maps: Tensor, changes: Signal) -> Tensor:
    """Paste windows into the clean maps of their images: (N, C, H, W)."""
    whole = maps[changes.images].clone()
    for row, (top, left) in enumerate(changes.origins.tolist()):
        height, width = changes.size
        assert top >= 0
        assert left >= 0
        whole[row, :, top : top + height, left : left + width] = changes.values[row]
    return whole


def layer_names(network: Network) -> list[str]:
    return [layer.name for layer in network.spec.layers]


def recompute_whole(
    network: Network,
    traced: Trace,
    changes: Signal,
    layers: Collection[str],
    budget_bytes: int = BUDGET_BYTES,
) -> Mapping[str, Tensor]:
    """Return whole maps of recomputed layers, after checking that each change occurs once per layer."""
    results: dict[str, dict[int, Tensor]] = {layer: {} for layer in layers}
    for part in recompute(network, traced, changes, layers, budget_bytes=budget_bytes):
        for layer, signal in part.outputs.items():
            assert torch.equal(signal.images, changes.images[part.windows])
            whole = paste(traced.outputs[layer], signal) if signal.values.dim() == 4 else signal.values
            assert not results[layer].keys() & set(part.windows)
            results[layer].update(zip(part.windows, whole, strict=True))
    return {
        layer: torch.stack([rows[row] for row in range(len(changes.values))])
        for layer, rows in results.items()
    }


def check_against_brute_force(network: Network, images: Tensor, changes: Signal, tolerance: float) -> None:
    traced = trace(network, images)
    expected = trace(network, paste(images, changes)).outputs
    for layer, values in recompute_whole(network, traced, changes, layer_names(network)).items():
        tolerated = tolerance * float(expected[layer].abs().max())
        torch.testing.assert_close(values, expected[layer], rtol=0, atol=tolerated, msg=layer)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@given(data=st.data())
def test_every_layer_of_random_networks_equals_brute_force(
    data: st.DataObject, dtype: torch.dtype, tolerance: float
) -> None:
    network = data.draw(networks(dtype))
    images = numbers(data.draw(st.integers(1, 2)), *network.shapes["input"], dtype=dtype)
    check_against_brute_force(network, images, data.draw(windows(images)), tolerance)


@pytest.mark.parametrize("name", ["tiny", "branchy"])
@given(data=st.data())
def test_every_layer_of_networks_with_all_kinds_equals_brute_force(
    name: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    images = numbers(2, *network.shapes["input"])
    check_against_brute_force(network, images, data.draw(windows(images)), 1e-10)


@pytest.mark.parametrize("many_rows", [occlusion_module.MANY_ROWS, 1])
def test_every_layer_of_zfnet_at_full_size_equals_brute_force(
    small_zfnet: Network, many_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """many_rows: number of changes from which fully connected layers have their weights rearranged."""
    monkeypatch.setattr(occlusion_module, "MANY_ROWS", many_rows)
    images = numbers(1, 3, 224, 224, dtype=torch.float32)
    positions = [(0, 0, 0), (0, 192, 192), (0, 3, 101), (0, 96, 96), (0, 104, 88), (0, 191, 57)]
    check_against_brute_force(small_zfnet, images, random_changes(images, (32, 32), positions), 1e-4)


@pytest.mark.parametrize("name", ["tiny", "branchy"])
@pytest.mark.parametrize("limit", ["work", "bytes"])
def test_results_do_not_depend_on_the_size_of_parts(
    name: str, limit: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    traced: Trace = request.getfixturevalue(f"{name}_trace")
    positions = [(row % 2, row, 2 * row) for row in range(10)]
    changes = random_changes(traced.outputs["input"], (5, 4), positions)
    expected = recompute_whole(network, traced, changes, layer_names(network))
    if limit == "work":
        monkeypatch.setattr(changes_module, "CHUNK_WORK", {"cpu": 1})
    budget_bytes = 1 if limit == "bytes" else BUDGET_BYTES
    parts = list(recompute(network, traced, changes, {"flatten"}, budget_bytes=budget_bytes))
    assert [len(part.windows) for part in parts if not part.outputs] == [1] * 10
    split = recompute_whole(network, traced, changes, layer_names(network), budget_bytes)
    for layer, values in split.items():
        torch.testing.assert_close(values, expected[layer], rtol=1e-10, atol=1e-12, msg=layer)


@given(data=st.data())
def test_unchanged_pixels_leave_the_outputs_unchanged(data: st.DataObject) -> None:
    network = data.draw(networks(torch.float64))
    images = numbers(2, *network.shapes["input"])
    changes = data.draw(windows(images))
    rows, columns = changes.size
    original = [
        images[image, :, top : top + rows, left : left + columns]
        for image, (top, left) in zip(changes.images.tolist(), changes.origins.tolist(), strict=True)
    ]
    traced = trace(network, images)
    for layer, values in recompute_whole(
        network, traced, changes.with_values(torch.stack(original)), layer_names(network)
    ).items():
        clean = traced.outputs[layer][changes.images]
        torch.testing.assert_close(values, clean, rtol=1e-10, atol=1e-12, msg=layer)


def test_a_window_of_the_size_of_the_image_changes_whole_maps(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    changes = random_changes(tiny_trace.outputs["input"], (33, 33), [(1, 0, 0)])
    parts = list(recompute(tiny_network, tiny_trace, changes, {"conv3"}))
    assert [part.outputs["conv3"].values.shape for part in parts] == [(1, *tiny_network.shapes["conv3"])]


def test_the_trace_may_end_at_the_last_requested_layer(
    branchy_network: Network, branchy_images: Tensor, branchy_trace: Trace
) -> None:
    changes = random_changes(branchy_images, (3, 3), [(0, 5, 5), (1, 0, 28)])
    short = trace(branchy_network, branchy_images, until="mean")
    values = recompute_whole(branchy_network, short, changes, {"mean"})["mean"]
    assert torch.equal(values, recompute_whole(branchy_network, branchy_trace, changes, {"mean"})["mean"])


def test_the_trace_and_the_changes_are_not_modified(tiny_network: Network, tiny_trace: Trace) -> None:
    changes = random_changes(tiny_trace.outputs["input"], (7, 7), [(0, 1, 2), (1, 26, 26)])
    before = {name: output.clone() for name, output in tiny_trace.outputs.items()}
    pixels = changes.values.clone()
    recompute_whole(tiny_network, tiny_trace, changes, layer_names(tiny_network))
    assert all(torch.equal(output, before[name]) for name, output in tiny_trace.outputs.items())
    assert torch.equal(changes.values, pixels)


def test_no_gradients_are_recorded(tiny_network: Network, tiny_trace: Trace) -> None:
    tiny_network.requires_grad_(True)
    changes = random_changes(tiny_trace.outputs["input"], (7, 7), [(0, 1, 2)])
    changes.values.requires_grad_()
    for part in recompute(tiny_network, tiny_trace, changes, {"conv2", "fc8"}):
        assert not any(signal.values.requires_grad for signal in part.outputs.values())


def test_an_unknown_layer_is_rejected_with_the_available_ones(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    changes = random_changes(tiny_trace.outputs["input"], (2, 2), [(0, 0, 0)])
    message = r"layer 'conv9' not found; available: conv1, relu1, .*, fc8 \.\.\. and 5 more"
    with pytest.raises(NotFound, match=message):
        recompute(tiny_network, tiny_trace, changes, {"fc8", "conv9"})


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Signal(numbers(1, 2), zeros(1), zeros(1, 2)), "changes of shape (1, 2); expected"),
        (Signal(numbers(1, 4, 2, 2), zeros(1), zeros(1, 2)), "one or more windows of 3 maps"),
        (Signal(numbers(0, 3, 2, 2), zeros(0), zeros(0, 2)), "one or more windows of 3 maps"),
        (Signal(numbers(1, 3, 0, 2), zeros(1), zeros(1, 2)), "one or more windows of 3 maps"),
        (Signal(numbers(2, 3, 2, 2), zeros(1), zeros(2, 2)), "2 changes with images of shape (1,)"),
        (Signal(numbers(2, 3, 2, 2), zeros(2), zeros(2, 3)), "expected (2,) and (2, 2)"),
        (Signal(numbers(1, 3, 2, 2), zeros(1) + 2, zeros(1, 2)), "outside the trace; the trace has 2"),
        (Signal(numbers(1, 3, 2, 2), zeros(1) - 1, zeros(1, 2)), "outside the trace; the trace has 2"),
        (
            Signal(numbers(1, 3, 2, 2), zeros(1), zeros(1, 2) - 1),
            "a window of (2, 2) at [-1, -1] extends beyond",
        ),
        (Signal(numbers(1, 3, 2, 9), zeros(1), zeros(1, 2) + 25), "extends beyond the image of (33, 33)"),
        (Signal(numbers(1, 3, 34, 2), zeros(1), zeros(1, 2)), "a window of (34, 2) at [0, 0] extends beyond"),
    ],
)
def test_windows_that_do_not_fit_the_images_are_rejected(
    changes: Signal, message: str, tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        recompute(tiny_network, tiny_trace, changes, {"fc8"})
    assert caught.value.field == "windows"
