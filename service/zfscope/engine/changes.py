"""Changed areas: how far changed windows of pixels reach in every layer, by arithmetic alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from zfscope.networks.layers import Layer, Shape
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT

CHUNK_WORK: Mapping[str, float] = {"cpu": 6e9, "cuda": 5e11}
"""Multiply-adds of a chunk: a tenth of a second on one core, some hundredths on a GPU."""

UNITS_WORK = 2
"""Layers of units do so many times as much at once: large weights are worth reading for many windows."""


@dataclass(frozen=True)
class Area:
    """The part of a layer's maps that each window changes.

    starts, ends: (windows, 2), the first row and column, and those after the last. Never empty. A
    fully connected layer is a map of one place.
    """

    starts: Tensor
    ends: Tensor

    @property
    def sizes(self) -> Tensor:
        """Rows and columns of each window: (windows, 2)."""
        return self.ends - self.starts


@dataclass(frozen=True)
class Frame:
    """Windows of one size: origins (windows, 2), and how many rows and columns each has."""

    origins: Tensor
    size: tuple[int, int]


def changed_areas(network: Network, pixels: Area, layers: Sequence[Layer]) -> Mapping[str, Area]:
    """Give by layer, `input` too, what changes with the pixels: all that sees any of them.

    layers: in the order of evaluation, with all that they read.
    """
    areas, sources = {INPUT: pixels}, network.spec.sources
    for layer in layers:
        below = _around([areas[source] for source in sources[layer.name]])
        areas[layer.name] = _above(layer, below, network.shapes[layer.name])
    return areas


def _around(areas: Sequence[Area]) -> Area:
    starts = torch.stack([area.starts for area in areas]).amin(0)
    return Area(starts, torch.stack([area.ends for area in areas]).amax(0))


def _above(layer: Layer, below: Area, shape: Shape) -> Area:
    """Return what a layer makes of a changed area; of one that it does not see, its nearest place."""
    if len(shape) == 1:
        return Area(torch.zeros_like(below.starts), torch.ones_like(below.ends))
    window = layer.window
    if window:
        before = torch.tensor([window.padding.top, window.padding.left])
        limit = torch.tensor(shape[1:])
        starts = (below.starts + before - window.kernel) // window.stride + 1
        starts = torch.minimum(starts.clamp(min=0), limit - 1)
        ends = torch.minimum((below.ends - 1 + before) // window.stride + 1, limit)
        return Area(starts, torch.maximum(ends, starts + 1))
    return below


def map_size(shape: Shape) -> tuple[int, int]:
    """Give rows and columns of a layer's maps: one place where it is fully connected."""
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def frame_around(area: Area, windows: list[int], size: tuple[int, int]) -> Frame:
    """Frame the areas of some windows in one size: the largest. Frames at the border move inwards.

    size: rows and columns of the map.
    """
    rows, columns = area.sizes[windows].amax(0).tolist()
    last = torch.tensor([size[0] - rows, size[1] - columns])
    return Frame(torch.minimum(area.starts[windows], last), (rows, columns))


def frame_below(network: Network, layer: Layer, frame: Frame) -> Frame:
    """Frame what a layer sees of its sources, with places counted from the corner of its padding."""
    window = layer.window
    if window:
        rows, columns = map(window.span, frame.size)
        return Frame(frame.origins * window.stride, (rows, columns))
    if len(network.shapes[layer.name]) == 1:
        return Frame(frame.origins, map_size(network.shapes[network.spec.sources[layer.name][0]]))
    return frame


def chunks(
    network: Network, areas: Mapping[str, Area], device: torch.device, budget_bytes: float, cores: int
) -> Sequence[Sequence[list[int]]]:
    """Split windows into those that go through layers of units together, and these for layers of maps.

    Of the former each core gets as many. Both stay within CHUNK_WORK (UNITS_WORK times that) and the budget,
    unless a single window does not. Filters are small, and few windows are more alike.
    """
    windows = torch.arange(len(areas[INPUT].starts))
    sizes = torch.stack([area.sizes for area in areas.values()])
    of_maps, of_units = _shares(network, list(areas), device, budget_bytes)
    turns = ceil(_load(windows, sizes, of_units) / cores)
    return [
        [some.tolist() for some in _split(together, sizes, of_maps)]
        for together in _split(windows, sizes, of_units, turns * cores)
    ]


def _shares(
    network: Network, layers: Sequence[str], device: torch.device, budget_bytes: float
) -> tuple[Tensor, Tensor]:
    """Give the share of a chunk that a place of each layer takes, of its work and its bytes: (2, layers).

    Of a chunk for layers of maps, and of one for layers of units: zero for the others.
    """
    bytes_each = next(network.parameters()).element_size()
    work = [multiply_adds(network, name) / CHUNK_WORK[device.type] for name in layers]
    values = [_values(network, name) * bytes_each / budget_bytes for name in layers]
    shares = torch.tensor([work, values], dtype=torch.float64)
    units = torch.tensor([len(network.shapes[name]) == 1 for name in layers])
    return shares * ~units, shares * units * torch.tensor([[1 / UNITS_WORK], [1]])


def _split(windows: Tensor, sizes: Tensor, shares: Tensor, least: int = 1) -> Sequence[Tensor]:
    """Split windows until each part fits a chunk, into so many parts at least if there are as many windows.

    As all of a part are framed in the size of the largest, they are sorted by their rows or their columns
    before each cut, whichever saves more. sizes: (layers, windows, 2). Three windows, cut in two parts:

        changed        in one part: 3 x (3 x 3)     sorted by columns, and cut: 2 x (3 x 1) + 1 x (1 x 3)
        a  b  ccc      aaa  bbb  ccc                a  b | ccc
        a  b           aaa  bbb  ccc                a  b |
        a              aaa  bbb  ccc                a  b |
    """
    parts = min(max(ceil(_load(windows, sizes, shares)), least, 1), len(windows))
    if parts <= 1:
        return [windows]
    cut = len(windows) * (parts // 2) // parts
    orders = [windows[extents[windows].argsort(stable=True)] for extents in sizes.sum(0).T]
    first, second = min(
        ((order[:cut], order[cut:]) for order in orders),
        key=lambda halves: sum(_load(half, sizes, shares) for half in halves),
    )
    return [
        *_split(first, sizes, shares, parts // 2),
        *_split(second, sizes, shares, parts - parts // 2),
    ]


def _load(windows: Tensor, sizes: Tensor, shares: Tensor) -> float:
    """Give how many chunks windows that are framed alike fill."""
    places = sizes[:, windows].amax(1).prod(1)
    return len(windows) * float((shares @ places.double()).max())


def multiply_adds(network: Network, layer: str) -> int:
    """Count the multiply-adds at one place of a layer's maps: those of filters and full connections."""
    weights = network.weights(layer)
    return 0 if weights is None else weights[0].numel()


def _values(network: Network, name: str) -> int:
    """Bound the values that a layer needs at one place: its own, and what it reads there, unfolded."""
    maps, layer = network.shapes[name][0], network.spec.by_name.get(name)
    if layer is None or layer.window is None:
        return maps
    below = network.shapes[network.spec.sources[name][0]][0]
    return maps + below * max(layer.window.kernel, layer.window.stride) ** 2
