"""Drawings of incremental occlusion: what a covered window changes in each layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from docs.drawings.deconvnet import MAPS, setup, whole
from docs.drawings.svg import Arrow, Column, Drawing, Frame, Grid, Item, document, rectangle, text
from zfscope.engine.changes import ChangedRegion, changed_regions, map_size, multiply_adds
from zfscope.engine.occlusion import recompute
from zfscope.engine.signal import Signal, write_into
from zfscope.networks import Network, zfnet
from zfscope.networks.spec import INPUT

# The covered cells of the example's image: first row and column, numbers of rows and columns.
COVERED = (3, 5, 1, 2)
# The covered window of ZFNet's input: first row and column, and side, in pixels.
ORIGIN, SIDE = 96, 32
# The layers that are drawn.
LAYERS = ("input", "conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5", "fc6")

_MAP, _STEP, _ROW, _PER_ROW, _MARGIN = 104, 144, 168, 5, 24


def drawings() -> Mapping[str, Callable[[], str]]:
    """Return the drawings by the names of their files."""
    return {"occlusion-example": lambda: example().svg(), "occlusion-regions": regions}


def example() -> Drawing:
    """The example's image with two cells covered, and the layers recomputed."""
    changed = recomputed()
    items: list[Item] = [
        Grid("covered", "image, covered", whole(changed["input"][0]), frames=[Frame(COVERED)])
    ]
    for layer in ("conv1", "relu1", "pool1"):
        items += [
            Arrow("recompute"),
            Column(
                [
                    Grid(
                        f"{layer}-{name}",
                        f"{layer}, map {name}",
                        whole(changed[layer][index]),
                        frames=[Frame(_cells(example_regions()[layer]))],
                    )
                    for index, name in enumerate(MAPS)
                ]
            ),
        ]
    return Drawing(
        "Incremental occlusion of the example",
        "The image with two cells set to zero; outlined in each layer: the numbers that are computed again.",
        items,
        ["Outlined: what is computed again. All other numbers are those of the trace."],
    )


def example_regions() -> Mapping[str, ChangedRegion]:
    """Return the region of each layer that the covered cells of the example change."""
    network, _ = setup()
    row, column, rows, columns = COVERED
    pixels = ChangedRegion(torch.tensor([[row, column]]), torch.tensor([[row + rows, column + columns]]))
    return changed_regions(network, pixels, network.spec.layers)


def recomputed() -> Mapping[str, Tensor]:
    """Return the maps of each layer of the example with the covered cells, by incremental occlusion."""
    network, traced = setup()
    row, column, rows, columns = COVERED
    change = Signal(torch.zeros(1, 1, rows, columns), torch.tensor([0]), torch.tensor([[row, column]]))
    layers = [layer.name for layer in network.spec.layers]
    outputs = {INPUT: change}
    for part in recompute(network, traced, change, layers):
        outputs |= part.outputs
    changed = {name: traced.maps(name).clone() for name in outputs}
    for name, maps in changed.items():
        write_into(outputs[name], maps)
    return {name: maps[0] for name, maps in changed.items()}


def regions() -> str:
    """The share of each layer of ZFNet that a covered window changes."""
    shares = layer_shares()
    shown = [share for share in shares if share.name in LAYERS]
    body: list[str] = []
    for index, share in enumerate(shown):
        x = _MARGIN + _STEP * (index % _PER_ROW)
        y = _MARGIN + _ROW * (index // _PER_ROW)
        body += _map(share, x, y)
    work, whole_pass = multiply_adds_of(shares)
    height = _MARGIN + _ROW * 2
    note = (
        f"In all: {work / 1e6:.0f} million multiply-adds in place of {whole_pass / 1e6:,.0f} million: "
        f"{100 * work / whole_pass:.0f} % of a forward pass."
    )
    body.append(text(_MARGIN, height + 8, note, "ink small start"))
    return document(
        "Incremental occlusion of ZFNet",
        f"The maps of ZFNet's layers; shaded: what a window of {SIDE} x {SIDE} pixels changes. "
        + "; ".join(share.label for share in shown),
        2 * _MARGIN + _STEP * _PER_ROW - (_STEP - _MAP),
        height + 32,
        body,
    )


@dataclass(frozen=True)
class LayerShare:
    """The changed region of a layer. size: rows and columns of its maps. work: multiply-adds per position."""

    name: str
    size: tuple[int, int]
    cells: tuple[int, int, int, int]
    work: int

    @property
    def share(self) -> float:
        """Share of the positions that change."""
        return prod(self.cells[2:]) / prod(self.size)

    @property
    def label(self) -> str:
        """The layer, and how much of it changes."""
        if self.size == (1, 1):
            return f"{self.name}: all units"
        rows, columns = self.cells[2:]
        return f"{self.name}: {rows} x {columns} of {self.size[0]} x {self.size[1]}"


def layer_shares() -> list[LayerShare]:
    """Return the changed regions of ZFNet's layers, from the image to the class scores."""
    network = Network(zfnet())
    pixels = ChangedRegion(torch.tensor([[ORIGIN, ORIGIN]]), torch.tensor([[ORIGIN + SIDE, ORIGIN + SIDE]]))
    changed = changed_regions(network, pixels, network.spec.layers)
    return [
        LayerShare(name, map_size(network.shapes[name]), _cells(region), multiply_adds(network, name))
        for name, region in changed.items()
    ]


def multiply_adds_of(shares: list[LayerShare]) -> tuple[int, int]:
    """Return the multiply-adds of the changed positions, and those of a forward pass."""
    changed = sum(share.work * prod(share.cells[2:]) for share in shares)
    return changed, sum(share.work * prod(share.size) for share in shares)


def _map(share: LayerShare, x: float, y: float) -> list[str]:
    """Return a layer's map as a square with the changed region shaded, above its label."""
    scale = _MAP / share.size[0]
    row, column, rows, columns = share.cells
    name, _, extent = share.label.partition(": ")
    return [
        rectangle(x, y, _MAP, _MAP, {"class": "line"}),
        rectangle(
            x + scale * column,
            y + scale * row,
            scale * columns,
            scale * rows,
            {"class": "changed", "id": name},
        ),
        text(x + _MAP / 2, y + _MAP + 14, f"{name}: {100 * share.share:.0f} %", "ink small bold"),
        text(x + _MAP / 2, y + _MAP + 32, extent, "soft small"),
    ]


def _cells(region: ChangedRegion) -> tuple[int, int, int, int]:
    """Return the first row and column, and the numbers of rows and columns."""
    (row, column), (rows, columns) = region.starts[0].tolist(), region.sizes[0].tolist()
    return row, column, rows, columns
