"""Changed regions, and their split into groups and chunks."""

from collections.abc import Mapping

import pytest
import torch

from zfscope.engine.changes import (
    CHUNK_WORK,
    ChangedRegion,
    changed_regions,
    chunks,
    map_size,
    multiply_adds,
    windows_around,
)
from zfscope.engine.occlusion import BUDGET_BYTES, recomputes_little
from zfscope.engine.signal import Signal
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layers import Activation, AvgPool, Conv, Multiply
from zfscope.networks.squeezenet import squeezenet
from zfscope.networks.windows import Padding

CPU = torch.device("cpu")


def regions_of(network: Network, size: int, step: int) -> Mapping[str, ChangedRegion]:
    """Return the changed regions of square windows at every `step` pixels."""
    starts = torch.arange(0, network.spec.input_size - size + 1, step)
    origins = torch.cartesian_prod(starts, starts)
    return changed_regions(network, ChangedRegion(origins, origins + size), network.spec.layers)


def chunk_work(network: Network, regions: Mapping[str, ChangedRegion], chunk: list[int]) -> int:
    """Return the multiply-adds of a chunk in layers of maps."""
    sizes = {
        name: windows_around(region, chunk, map_size(network.shapes[name])).size
        for name, region in regions.items()
    }
    work = {name: multiply_adds(network, name) * rows * columns for name, (rows, columns) in sizes.items()}
    return len(chunk) * sum(count for name, count in work.items() if len(network.shapes[name]) == 3)


def test_chunks_contain_each_window_once_within_the_limit_of_work(small_zfnet: Network) -> None:
    regions = regions_of(small_zfnet, 32, 8)
    plan = [chunk for group in chunks(small_zfnet, regions, CPU, BUDGET_BYTES, 2) for chunk in group]
    assert sorted(window for chunk in plan for window in chunk) == list(range(625))
    work = [chunk_work(small_zfnet, regions, chunk) for chunk in plan]
    assert max(work) <= CHUNK_WORK["cpu"]
    separate = sum(chunk_work(small_zfnet, regions, [window]) for window in range(625))
    assert sum(work) < 1.1 * separate  # the windows of a chunk have similar sizes


@pytest.mark.parametrize("cores", [1, 2, 3, 8])
def test_windows_are_distributed_evenly_over_cores(small_zfnet: Network, cores: int) -> None:
    regions = regions_of(small_zfnet, 32, 8)
    plan = chunks(small_zfnet, regions, CPU, BUDGET_BYTES, cores)
    counts = [sum(map(len, group)) for group in plan]
    assert len(counts) % cores == 0
    assert max(counts) - min(counts) <= 1
    assert sorted(window for group in plan for chunk in group for window in chunk) == list(range(625))


def test_changed_regions_of_zfnet_equal_those_by_hand(small_zfnet: Network) -> None:
    """Pixels 96..127 change: conv1 reads them from row 45 (45 * 2 + 6 = 96) to row 63 (63 * 2 = 126)."""
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


def test_recomputing_costs_more_than_whole_passes_where_all_layers_depend_on_the_image() -> None:
    gate = (
        AvgPool(name="pool", kernel=32),
        Conv(name="narrow", channels=8, kernel=1),
        Activation(name="gate", function="sigmoid"),
        Multiply(name="scaled", inputs=("conv1", "gate")),
    )
    first = Conv(name="conv1", channels=8, kernel=3, padding=Padding(1, 1, 1, 1))
    later = [Conv(name=f"conv{n}", channels=8, kernel=3, padding=Padding(1, 1, 1, 1)) for n in (2, 3, 4)]
    changes = Signal(torch.zeros(1, 3, 4, 4), torch.tensor([0]), torch.tensor([[8, 8]]))
    for middle, expected in (((), True), (gate, False)):
        spec = NetworkSpec(name="net", input_size=32, layers=(first, *middle, *later))
        assert recomputes_little(build(spec), changes, {"conv4"}) is expected


@pytest.mark.parametrize(("window", "stride"), [(32, 8), (13, 13)])
def test_recomputing_costs_less_for_squeezenet(window: int, stride: int) -> None:
    """Measured on two cores: half of the time of whole passes."""
    network = build(squeezenet())
    starts = torch.arange(0, network.spec.input_size - window + 1, stride)
    origins = torch.cartesian_prod(starts, starts)
    pixels = torch.zeros(1, 3, window, window).expand(len(origins), -1, -1, -1)
    changes = Signal(pixels, torch.zeros(len(origins), dtype=torch.int64), origins)
    assert recomputes_little(network, changes, {network.spec.scores})
