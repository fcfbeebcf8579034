"""Occlusion: what is computed again is what a whole forward pass of the changed image gives.

The oracle is brute force: the pixels are replaced in the image, and all of the network is traced again.
"""

import re
from collections.abc import Collection, Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zfscope.engine import Trace, changes, trace
from zfscope.engine.changes import (
    ChangedRegion,
    changed_regions,
    chunks,
    map_size,
    multiply_adds,
    windows_around,
)
from zfscope.engine.occlusion import BUDGET_BYTES, recompute
from zfscope.engine.signal import Signal
from zfscope.errors import InputError, NotFound
from zfscope.networks import Network, NetworkSpec, build, zfnet
from zfscope.networks.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Padding,
    ReLU,
)
from zfscope.networks.spec import shapes

CPU = torch.device("cpu")


@st.composite
def plain_layers(draw: st.DrawFn, name: str) -> Sequence[Layer]:
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
    """Give branches with windows of their own, whose maps have one shape, and the layer that joins them."""
    stride, around = draw(st.integers(1, 2)), Padding(1, 1, 1, 1)
    parts: tuple[Layer, ...] = (
        Conv(name=f"{name}a", inputs=(before,), channels=4, kernel=3, stride=stride, padding=around),
        Conv(name=f"{name}b", inputs=(before,), channels=4, kernel=1, stride=stride),
        MaxPool(name=f"{name}c", kernel=3, padding=Padding(2, 0, 0, 2)),
    )
    read = draw(st.lists(st.sampled_from([part.name for part in parts]), min_size=2, max_size=3))
    join = draw(st.sampled_from([Add, Concat]))
    return [*parts, join(name=name, inputs=tuple(read))]


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
"""What comes after the maps: nothing, one full connection, or many that part and meet."""


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
    for place in range(draw(st.integers(0, 5))):
        name = f"layer{place}"
        more = draw(st.one_of(plain_layers(name), branches(name, layers[-1].name)))
        layers = [*layers, *more] if fits(size, [*layers, *more]) else layers
    spec = NetworkSpec(name="random", input_size=size, layers=(*layers, *draw(st.sampled_from(HEADS))))
    return build(spec, generator=torch.Generator().manual_seed(0)).to(dtype)


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@st.composite
def windows(draw: st.DrawFn, images: Tensor) -> Signal:
    """Give windows of one size anywhere in some images, from a pixel to the whole."""
    size = images.shape[2]
    height, width = draw(st.integers(1, size)), draw(st.integers(1, size))
    place = st.tuples(
        st.integers(0, len(images) - 1), st.integers(0, size - height), st.integers(0, size - width)
    )
    places = draw(st.lists(place, min_size=1, max_size=5))
    return changed(images, (height, width), places)


def changed(images: Tensor, size: tuple[int, int], places: Sequence[tuple[int, int, int]]) -> Signal:
    """Give new pixels for windows at (image, row, column)."""
    where = torch.tensor(places)
    values = numbers(len(places), images.shape[1], *size, seed=1, dtype=images.dtype)
    return Signal(values, where[:, 0], where[:, 1:])


def pasted(maps: Tensor, new: Signal) -> Tensor:
    """Put windows into their images' clean maps: (N, C, H, W)."""
    whole = maps[new.images].clone()
    for row, (top, left) in enumerate(new.origins.tolist()):
        height, width = new.size
        assert top >= 0
        assert left >= 0
        whole[row, :, top : top + height, left : left + width] = new.values[row]
    return whole


def names(network: Network) -> list[str]:
    return [layer.name for layer in network.spec.layers]


def outputs(
    network: Network, seen: Trace, new: Signal, layers: Collection[str], budget_bytes: int = BUDGET_BYTES
) -> Mapping[str, Tensor]:
    """Recompute layers whole, in the order of the windows; every window must come once for each layer."""
    found: dict[str, dict[int, Tensor]] = {layer: {} for layer in layers}
    for part in recompute(network, seen, new, layers, budget_bytes=budget_bytes):
        for layer, signal in part.outputs.items():
            assert torch.equal(signal.images, new.images[part.windows])
            whole = pasted(seen.outputs[layer], signal) if signal.values.dim() == 4 else signal.values
            assert not found[layer].keys() & set(part.windows)
            found[layer].update(zip(part.windows, whole, strict=True))
    return {
        layer: torch.stack([rows[row] for row in range(len(new.values))]) for layer, rows in found.items()
    }


def check_against_brute_force(network: Network, images: Tensor, new: Signal, tolerance: float) -> None:
    seen = trace(network, images)
    expected = trace(network, pasted(images, new)).outputs
    for layer, values in outputs(network, seen, new, names(network)).items():
        room = tolerance * float(expected[layer].abs().max())
        torch.testing.assert_close(values, expected[layer], rtol=0, atol=room, msg=layer)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@given(data=st.data())
def test_every_layer_is_what_a_whole_pass_of_the_changed_image_gives(
    data: st.DataObject, dtype: torch.dtype, tolerance: float
) -> None:
    network = data.draw(networks(dtype))
    images = numbers(data.draw(st.integers(1, 2)), *network.shapes["input"], dtype=dtype)
    check_against_brute_force(network, images, data.draw(windows(images)), tolerance)


@pytest.mark.parametrize("name", ["tiny", "branchy"])
@given(data=st.data())
def test_so_it_is_with_every_kind_of_layer_at_once(
    name: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    images = numbers(2, *network.shapes["input"])
    check_against_brute_force(network, images, data.draw(windows(images)), 1e-10)


@pytest.fixture(scope="module")
def small_zfnet() -> Network:
    """ZFNet with all of its maps, and few units."""
    return build(zfnet(classes=4, hidden=16), generator=torch.Generator().manual_seed(0)).eval()


def test_zfnet_in_its_full_size_gives_what_whole_passes_give(small_zfnet: Network) -> None:
    images = numbers(1, 3, 224, 224, dtype=torch.float32)
    places = [(0, 0, 0), (0, 192, 192), (0, 3, 101), (0, 96, 96), (0, 104, 88), (0, 191, 57)]
    check_against_brute_force(small_zfnet, images, changed(images, (32, 32), places), 1e-4)


@pytest.mark.parametrize("name", ["tiny", "branchy"])
@pytest.mark.parametrize("limit", ["work", "bytes"])
def test_parts_give_what_all_windows_at_once_give(
    name: str, limit: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Network = request.getfixturevalue(f"{name}_network")
    seen: Trace = request.getfixturevalue(f"{name}_trace")
    places = [(row % 2, row, 2 * row) for row in range(10)]
    new = changed(seen.outputs["input"], (5, 4), places)
    together = outputs(network, seen, new, names(network))
    if limit == "work":
        monkeypatch.setattr(changes, "CHUNK_WORK", {"cpu": 1})
    budget_bytes = 1 if limit == "bytes" else BUDGET_BYTES
    parts = list(recompute(network, seen, new, {"flatten"}, budget_bytes=budget_bytes))
    assert [len(part.windows) for part in parts if not part.outputs] == [1] * 10
    apart = outputs(network, seen, new, names(network), budget_bytes)
    for layer, values in apart.items():
        torch.testing.assert_close(values, together[layer], rtol=1e-10, atol=1e-12, msg=layer)


def regions_of(network: Network, size: int, step: int) -> Mapping[str, ChangedRegion]:
    """Give the changed regions of square windows at every `step` pixels."""
    places = torch.arange(0, network.spec.input_size - size + 1, step)
    origins = torch.cartesian_prod(places, places)
    return changed_regions(network, ChangedRegion(origins, origins + size), network.spec.layers)


def framed_work(network: Network, regions: Mapping[str, ChangedRegion], chunk: list[int]) -> int:
    """Count the multiply-adds of a chunk in layers of maps."""
    sizes = {
        name: windows_around(region, chunk, map_size(network.shapes[name])).size
        for name, region in regions.items()
    }
    work = {name: multiply_adds(network, name) * rows * columns for name, (rows, columns) in sizes.items()}
    return len(chunk) * sum(count for name, count in work.items() if len(network.shapes[name]) == 3)


def test_a_chunk_has_the_work_that_is_allowed_and_each_window_is_in_one(small_zfnet: Network) -> None:
    regions = regions_of(small_zfnet, 32, 8)
    plan = [chunk for together in chunks(small_zfnet, regions, CPU, BUDGET_BYTES, 2) for chunk in together]
    assert sorted(window for chunk in plan for window in chunk) == list(range(625))
    work = [framed_work(small_zfnet, regions, chunk) for chunk in plan]
    assert max(work) <= changes.CHUNK_WORK["cpu"]
    one_by_one = sum(framed_work(small_zfnet, regions, [window]) for window in range(625))
    assert sum(work) < 1.1 * one_by_one  # windows of a chunk are alike


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_each_core_gets_as_many_windows_as_the_others(small_zfnet: Network, cores: int) -> None:
    regions = regions_of(small_zfnet, 32, 8)
    plan = chunks(small_zfnet, regions, CPU, BUDGET_BYTES, cores)
    counts = [sum(map(len, together)) for together in plan]
    assert len(counts) % cores == 0
    assert max(counts) - min(counts) <= 1
    assert sorted(window for together in plan for chunk in together for window in chunk) == list(range(625))


def test_what_a_window_of_zfnet_changes_by_hand(small_zfnet: Network) -> None:
    """Pixels 96..127 change: conv1 sees them from 45 on, 45 * 2 + 6 = 96, to 63, 63 * 2 = 126."""
    pixels = ChangedRegion(torch.tensor([[96, 0]]), torch.tensor([[128, 32]]))
    regions = changed_regions(small_zfnet, pixels, small_zfnet.spec.layers)
    rows = {name: (int(region.starts[0, 0]), int(region.ends[0, 0])) for name, region in regions.items()}
    columns = {name: (int(region.starts[0, 1]), int(region.ends[0, 1])) for name, region in regions.items()}
    assert rows["conv1"] == rows["relu1"] == (45, 64)
    assert rows["pool1"] == rows["norm1"] == (22, 32)
    assert rows["conv2"] == (9, 16)
    assert rows["pool2"] == (4, 8)
    assert rows["conv3"] == (3, 9)
    assert rows["conv4"] == (2, 10)
    assert rows["conv5"] == (1, 11)
    assert rows["pool5"] == (0, 6)
    assert rows["fc8"] == (0, 1)
    assert columns["conv1"] == (0, 16)
    assert columns["conv5"] == (0, 5)


@given(data=st.data())
def test_pixels_that_stay_leave_the_outputs_as_they_are(data: st.DataObject) -> None:
    network = data.draw(networks(torch.float64))
    images = numbers(2, *network.shapes["input"])
    new = data.draw(windows(images))
    rows, columns = new.size
    same = [
        images[image, :, top : top + rows, left : left + columns]
        for image, (top, left) in zip(new.images.tolist(), new.origins.tolist(), strict=True)
    ]
    seen = trace(network, images)
    for layer, values in outputs(network, seen, new.with_values(torch.stack(same)), names(network)).items():
        clean = seen.outputs[layer][new.images]
        torch.testing.assert_close(values, clean, rtol=1e-10, atol=1e-12, msg=layer)


def test_a_window_as_large_as_the_image_changes_whole_maps(tiny_network: Network, tiny_trace: Trace) -> None:
    new = changed(tiny_trace.outputs["input"], (33, 33), [(1, 0, 0)])
    parts = list(recompute(tiny_network, tiny_trace, new, {"conv3"}))
    assert [part.outputs["conv3"].values.shape for part in parts] == [(1, *tiny_network.shapes["conv3"])]


def test_the_trace_need_not_go_further_than_the_layers(
    branchy_network: Network, branchy_images: Tensor, branchy_trace: Trace
) -> None:
    new = changed(branchy_images, (3, 3), [(0, 5, 5), (1, 0, 28)])
    short = trace(branchy_network, branchy_images, until="mean")
    values = outputs(branchy_network, short, new, {"mean"})["mean"]
    assert torch.equal(values, outputs(branchy_network, branchy_trace, new, {"mean"})["mean"])


def test_neither_the_trace_nor_the_changes_are_written_to(tiny_network: Network, tiny_trace: Trace) -> None:
    new = changed(tiny_trace.outputs["input"], (7, 7), [(0, 1, 2), (1, 26, 26)])
    before = {name: output.clone() for name, output in tiny_trace.outputs.items()}
    pixels = new.values.clone()
    outputs(tiny_network, tiny_trace, new, names(tiny_network))
    assert all(torch.equal(output, before[name]) for name, output in tiny_trace.outputs.items())
    assert torch.equal(new.values, pixels)


def test_no_graph_is_recorded(tiny_network: Network, tiny_trace: Trace) -> None:
    tiny_network.requires_grad_(True)
    new = changed(tiny_trace.outputs["input"], (7, 7), [(0, 1, 2)])
    new.values.requires_grad_()
    for part in recompute(tiny_network, tiny_trace, new, {"conv2", "fc8"}):
        assert not any(signal.values.requires_grad for signal in part.outputs.values())


def test_an_unknown_layer_is_refused_with_the_names_there_are(
    tiny_network: Network, tiny_trace: Trace
) -> None:
    new = changed(tiny_trace.outputs["input"], (2, 2), [(0, 0, 0)])
    with pytest.raises(NotFound, match=r"layer 'conv9' not found; available: conv1, relu1, .*, drop6, fc8"):
        recompute(tiny_network, tiny_trace, new, {"fc8", "conv9"})


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("new", "message"),
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
def test_windows_that_do_not_fit_the_images_are_refused(
    new: Signal, message: str, tiny_network: Network, tiny_trace: Trace
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        recompute(tiny_network, tiny_trace, new, {"fc8"})
    assert caught.value.field == "windows"
