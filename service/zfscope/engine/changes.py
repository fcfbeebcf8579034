"""Changed regions: the part of each layer that depends on changed pixels, derived from shapes alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod

import torch
from torch import Tensor

from zfscope.networks.layer import Layer, Shape
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT

# Maximum multiply-adds per chunk: about 0.1 s on one core, a few hundredths of a second on a GPU.
CHUNK_WORK: Mapping[str, float] = {"cpu": 6e9, "cuda": 5e11}

# Costs of a multiply-add and of a value, in multiply-adds of ONNX Runtime. Recomputing copies the inputs
# around each change and runs each layer by itself; ONNX Runtime fuses layers. Fitted so that the faster of
# both is chosen, which was measured on two cores. Recomputing, relative to whole passes, with windows of 32
# and of 13 pixels: ZFNet 0.2, SqueezeNet 0.5 and 0.4, ResNet-18 0.6 and 0.5, ResNet-50 1.2 and 1.1,
# MobileNetV2 1.6, DenseNet-121 3, EfficientNet-B0 at least 3.
RECOMPUTED_COSTS = (2.05, 600.0)
WHOLE_COSTS = (1.0, 75.0)

# Groups for fully connected layers may have this many times the work of a chunk: the weights of these layers
# are large and should be read once for many windows.
UNITS_WORK = 2


@dataclass(frozen=True)
class ChangedRegion:
    """The region of a layer's maps that each window changes.

    starts, ends: (windows, 2), first row and column, and one past the last. Never empty. A fully connected
    layer counts as a map of 1 x 1.
    """

    starts: Tensor
    ends: Tensor

    @property
    def sizes(self) -> Tensor:
        """Rows and columns of each region: (windows, 2)."""
        return self.ends - self.starts


@dataclass(frozen=True)
class WindowBatch:
    """Windows of equal size in a layer's maps. origins: (windows, 2); size: rows and columns."""

    origins: Tensor
    size: tuple[int, int]


def changed_regions(
    network: Network, pixels: ChangedRegion, layers: Sequence[Layer]
) -> Mapping[str, ChangedRegion]:
    """Return the changed region of each layer and of `input`: the positions that depend on changed pixels.

    layers: layers in order of evaluation, including all layers that they read.
    """
    regions, sources = {INPUT: pixels}, network.spec.sources
    for layer in layers:
        shape = network.shapes[layer.name]
        below = _union(
            [
                _broadcast_region(regions[source], network.shapes[source], layer, shape)
                for source in sources[layer.name]
            ]
        )
        regions[layer.name] = _region_above(layer, below, shape)
    return regions


def _union(regions: Sequence[ChangedRegion]) -> ChangedRegion:
    """Return the bounding boxes of several regions."""
    starts = torch.stack([region.starts for region in regions]).amin(0)
    return ChangedRegion(starts, torch.stack([region.ends for region in regions]).amax(0))


def _broadcast_region(region: ChangedRegion, source: Shape, layer: Layer, shape: Shape) -> ChangedRegion:
    """Return the region of a join that an input changes: whole axes where the input is broadcast."""
    if not layer.joins or len(shape) == 1:
        return region
    is_broadcast = torch.tensor(map_size(source)) != torch.tensor(map_size(shape))
    return ChangedRegion(
        torch.where(is_broadcast, 0, region.starts),
        torch.where(is_broadcast, torch.tensor(map_size(shape)), region.ends),
    )


def _region_above(layer: Layer, below: ChangedRegion, shape: Shape) -> ChangedRegion:
    """Return a layer's changed region, given that of its inputs.

    If no position depends on the change, return the one nearest to it: regions must not be empty.
    """
    if len(shape) == 1:
        return ChangedRegion(torch.zeros_like(below.starts), torch.ones_like(below.ends))
    window = layer.window
    if window:
        before = torch.tensor([window.padding.top, window.padding.left])
        reach, stride, limit = map(torch.tensor, (window.reach, window.stride, shape[1:]))
        # Position p reads the rows from p * stride - before to p * stride - before + reach - 1. Reach 3,
        # stride 2, padding 1 (-); rows 3 and 4 have changed:
        #
        #    row   -  0  1  2 [3  4] 5  6      first p that reads row 3 or later:
        #    p=0   *  *  *                         p * stride - before + reach - 1 >= start
        #    p=1         *  *  *                   p >= (start + before - reach + 1) / stride, rounded up
        #    p=2               *  *  *         last p that reads row 4 or earlier:
        #    p=3                     *  *  *       p * stride - before <= end - 1
        #
        # In integers, (a + 1) / stride rounded up is a // stride + 1.
        starts = (below.starts + before - reach) // stride + 1
        starts = torch.minimum(starts.clamp(min=0), limit - 1)
        ends = torch.minimum((below.ends - 1 + before) // stride + 1, limit)
        return ChangedRegion(starts, torch.maximum(ends, starts + 1))
    return below


def map_size(shape: Shape) -> tuple[int, int]:
    """Return the rows and columns of a layer's maps: 1 x 1 for a fully connected layer."""
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def windows_around(region: ChangedRegion, windows: list[int], size: tuple[int, int]) -> WindowBatch:
    """Return windows of equal size around changed regions, shifted inwards at the borders.

    windows: indices of the regions. size: rows and columns of the map.
    """
    rows, columns = region.sizes[windows].amax(0).tolist()
    last = torch.tensor([size[0] - rows, size[1] - columns])
    return WindowBatch(torch.minimum(region.starts[windows], last), (rows, columns))


def windows_below(network: Network, layer: Layer, source: str, above: WindowBatch) -> WindowBatch:
    """Return the windows that a layer reads in a padded input to compute the windows `above`."""
    window = layer.window
    if window:
        return WindowBatch(above.origins * torch.tensor(window.stride), window.span(above.size))
    size = map_size(network.shapes[source])
    if len(network.shapes[layer.name]) == 1:
        return WindowBatch(above.origins, size)
    is_broadcast = torch.tensor(size) != torch.tensor(map_size(network.shapes[layer.name]))
    rows, columns = torch.where(is_broadcast, 1, torch.tensor(above.size)).tolist()
    return WindowBatch(torch.where(is_broadcast, 0, above.origins), (rows, columns))


def relative_cost(network: Network, regions: Mapping[str, ChangedRegion]) -> float:
    """Return the estimated time of recomputing regions, relative to that of as many whole forward passes."""
    changed = whole = 0.0
    for name, region in regions.items():
        shape = network.shapes[name]
        amounts = multiply_adds(network, name), shape[0]
        positions = prod(map_size(shape)) * len(region.starts)
        changed += _cost(RECOMPUTED_COSTS, *amounts) * float(region.sizes.prod(1).sum())
        whole += _cost(WHOLE_COSTS, *amounts) * positions
    return changed / whole


def _cost(costs: tuple[float, float], products: int, values: int) -> float:
    return costs[0] * products + costs[1] * values


def chunks(
    network: Network,
    regions: Mapping[str, ChangedRegion],
    device: torch.device,
    budget_bytes: float,
    cores: int,
) -> Sequence[Sequence[list[int]]]:
    """Split windows into groups for fully connected layers, and each group into chunks for layers of maps.

    The number of groups is a multiple of the number of cores. Chunks stay within CHUNK_WORK and the memory
    budget, groups within UNITS_WORK times CHUNK_WORK, unless a single window exceeds them. Chunks are smaller
    than groups because filters are small, and because the sizes of fewer windows differ less.
    """
    windows = torch.arange(len(regions[INPUT].starts))
    sizes = torch.stack([region.sizes for region in regions.values()])
    map_shares, unit_shares = _shares(network, list(regions), device, budget_bytes)
    rounds = ceil(_load(windows, sizes, unit_shares) / cores)
    return [
        [chunk.tolist() for chunk in _split(group, sizes, map_shares)]
        for group in _split(windows, sizes, unit_shares, rounds * cores)
    ]


def _shares(
    network: Network, layers: Sequence[str], device: torch.device, budget_bytes: float
) -> tuple[Tensor, Tensor]:
    """Return the fraction of a chunk's work and of its memory that one position of each layer takes.

    Two tensors of shape (2, layers): for chunks, zero for fully connected layers; and for groups, zero for
    layers of maps.
    """
    bytes_each = next(network.parameters()).element_size()
    work = [multiply_adds(network, name) / CHUNK_WORK[device.type] for name in layers]
    memory = [_values(network, name) * bytes_each / budget_bytes for name in layers]
    shares = torch.tensor([work, memory], dtype=torch.float64)
    units = torch.tensor([len(network.shapes[name]) == 1 for name in layers])
    return shares * ~units, shares * units * torch.tensor([[1 / UNITS_WORK], [1]])


def _split(windows: Tensor, sizes: Tensor, shares: Tensor, min_parts: int = 1) -> Sequence[Tensor]:
    """Split windows into parts that fit a chunk: at least `min_parts`, unless there are fewer windows.

    All windows of a part are computed in the size of the largest one. Before each split they are therefore
    sorted by rows or by columns, whichever saves more work. sizes: (layers, windows, 2). Three windows in two
    parts:

        changed        in one part: 3 x (3 x 3)     split, sorted by columns: 2 x (3 x 1) + 1 x (1 x 3)
        a  b  ccc      aaa  bbb  ccc                a  b | ccc
        a  b           aaa  bbb  ccc                a  b |
        a              aaa  bbb  ccc                a  b |
    """
    parts = min(max(ceil(_load(windows, sizes, shares)), min_parts, 1), len(windows))
    if parts <= 1:
        return [windows]
    middle = len(windows) * (parts // 2) // parts
    orders = [windows[extents[windows].argsort(stable=True)] for extents in sizes.sum(0).T]
    first, second = min(
        ((order[:middle], order[middle:]) for order in orders),
        key=lambda halves: sum(_load(half, sizes, shares) for half in halves),
    )
    return [
        *_split(first, sizes, shares, parts // 2),
        *_split(second, sizes, shares, parts - parts // 2),
    ]


def _load(windows: Tensor, sizes: Tensor, shares: Tensor) -> float:
    """Return the number of chunks that the windows fill if all have the size of the largest."""
    positions = sizes[:, windows].amax(1).prod(1)
    return len(windows) * float((shares @ positions.double()).max())


def multiply_adds(network: Network, layer: str) -> int:
    """Return the multiply-adds per position of a layer's maps; zero for layers without weights."""
    weights = network.weights(layer)
    return 0 if weights is None else weights[0].numel()


def _values(network: Network, name: str) -> int:
    """Return an upper bound of the number of values per position of a layer: output and unfolded input."""
    maps, layer = network.shapes[name][0], network.spec.by_name.get(name)
    if layer is None or layer.window is None:
        return maps
    below = network.shapes[network.spec.sources[name][0]][0]
    return maps + below * prod(map(max, layer.window.reach, layer.window.stride))
