"""Drawings of a deconvnet, step by step, on the network of `example`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import torch
from torch import Tensor

from docs.drawings.example import (
    FIRST_UNIT,
    SECOND_UNIT,
    example_network,
    example_trace,
    signals,
)
from docs.drawings.svg import Arrow, Column, Drawing, Frame, Grid, Item, Position, Space, number
from zfscope.engine import Trace
from zfscope.networks import Network

# Names of the two maps.
MAPS = ("A", "B")
# Colours of the four pooling windows, with insets that keep overlapping outlines apart.
_WINDOWS = (("a", 1.0), ("b", 2.5), ("c", 4.0), ("d", 5.5))
# The output of conv1 whose window is outlined.
_SHOWN: Position = (1, 1)


@cache
def setup() -> tuple[Network, Trace]:
    """Return the network and the trace of its image."""
    network = example_network()
    return network, example_trace(network)


def drawings() -> Mapping[str, Callable[[], str]]:
    """Return the drawings by the names of their files."""
    made: Mapping[str, Callable[[], Drawing]] = {
        "forward-filter": forward_filter,
        "forward-rectify": forward_rectify,
        "forward-pool": forward_pool,
        "backward-seed": backward_seed,
        "backward-unpool": backward_unpool,
        "backward-rectify": backward_rectify,
        "backward-filter": backward_filter,
        "second-filter": second_filter,
        "second-unpool": second_unpool,
        "second-rectify": second_rectify,
        "second-pixels": second_pixels,
    }
    return {name: lambda draw=draw: draw().svg() for name, draw in made.items()}  # type: ignore[misc]


def forward_filter() -> Drawing:
    """Convolution of the image with two filters."""
    network, traced = setup()
    image, maps = traced.maps("input")[0, 0], traced.maps("conv1")[0]
    row, column = _SHOWN
    filters = weights(network, "conv1")[:, 0]
    sums = [whole(feature_map)[row][column] for feature_map in maps]
    return Drawing(
        "Forward: convolution",
        "The image, the two filters of conv1, and the two maps that they compute.",
        (
            Grid("image", "image", whole(image), frames=[Frame((row, column, 3, 3))]),
            Arrow("times"),
            Column([_grid(f"filter-{name}", f"filter {name}", filters[i]) for i, name in enumerate(MAPS)]),
            Arrow("sums"),
            Column(
                [
                    _grid(f"conv1-{name}", f"conv1, map {name}", maps[i], frames=[Frame((row, column, 1, 1))])
                    for i, name in enumerate(MAPS)
                ]
            ),
        ),
        [
            "Outlined: the window of the image, times each filter, number by number, sums to "
            f"{number(sums[0])} in map A and to {number(sums[1])} in map B."
        ],
    )


def forward_rectify() -> Drawing:
    """Rectification of both maps."""
    return _both_maps(
        "Forward: rectification",
        "The maps of conv1 and, with negative numbers replaced by zero, of relu1.",
        ("conv1", setup()[1].maps("conv1")[0]),
        ("relu1", setup()[1].maps("relu1")[0]),
        "max(x, 0)",
    )


def forward_pool() -> Drawing:
    """Max pooling of both maps, and the switches."""
    _, traced = setup()
    below, above, switches = traced.maps("relu1")[0], traced.maps("pool1")[0], traced.switches["pool1"][0]
    columns: list[Item] = []
    for index, name in enumerate(MAPS):
        columns += [Space()] if columns else []
        frames = [
            Frame((2 * (window // 2), 2 * (window % 2), 3, 3), colour, inset)
            for window, (colour, inset) in enumerate(_WINDOWS)
        ]
        ones = [
            Frame((window // 2, window % 2, 1, 1), colour, 1.5) for window, (colour, _) in enumerate(_WINDOWS)
        ]
        columns += [
            _grid(f"relu1-{name}", f"relu1, map {name}", below[index], frames=frames),
            Arrow("max"),
            Column(
                [
                    _grid(f"pool1-{name}", f"pool1, map {name}", above[index], frames=ones),
                    _grid(f"switches-{name}", "switches", switches[index], frames=ones, tinted=False),
                ]
            ),
        ]
    return Drawing(
        "Forward: max pooling",
        "The maps of relu1 with four overlapping windows of 3 x 3, their maxima, and the switches.",
        columns,
        ["A switch is the number of the cell with the maximum, counted row by row: 0 to 4 in the first row."],
    )


def backward_seed() -> Drawing:
    """The maps of pool1, and the same with all units but one set to zero."""
    _, traced = setup()
    return _both_maps(
        "Backward: the seed",
        "The maps of pool1, and the same with every unit but one set to zero.",
        ("pool1", traced.maps("pool1")[0]),
        ("signal at pool1", _first("pool1")),
        "keep one",
    )


def backward_unpool() -> Drawing:
    """Unpooling of the seed."""
    return _both_maps(
        "Backward: unpooling",
        "The signal at pool1, and at relu1, where its number is in the cell that the switch names.",
        ("signal at pool1", _first("pool1")),
        ("signal at relu1", _first("relu1")),
        "unpool",
        marks=_switched("relu1", _first("relu1")),
    )


def backward_rectify() -> Drawing:
    """Rectification of the unpooled seed."""
    return _both_maps(
        "Backward: rectification",
        "The signal at relu1 before and after rectification: it has no negative numbers, and stays the same.",
        ("signal at relu1", _first("relu1")),
        ("signal at conv1", _first("conv1")),
        "max(x, 0)",
    )


def backward_filter() -> Drawing:
    """The transposed filters, from the maps to pixels."""
    network, _ = setup()
    filters = weights(network, "conv1")[:, 0]
    signal, pixels = _first("conv1"), _first("input")[0]
    row, column = divmod(int(signal[0].flatten().argmax()), signal.shape[2])
    return Drawing(
        "Backward: transposed filters",
        "The signal at conv1, the filters, and the pixels: each number adds its filter, times the number.",
        (
            Column(
                [
                    _grid(
                        "conv1-A", "signal at conv1, map A", signal[0], frames=[Frame((row, column, 1, 1))]
                    ),
                    _grid("conv1-B", "signal at conv1, map B", signal[1]),
                ]
            ),
            Arrow("times"),
            Column([_grid(f"filter-{name}", f"filter {name}", filters[i]) for i, name in enumerate(MAPS)]),
            Arrow("added up"),
            Grid("pixels", "projection", whole(pixels), frames=[Frame((row, column, 3, 3))]),
        ),
        ["Outlined: the unit, and the window of pixels that it reads in the forward pass."],
    )


def second_filter() -> Drawing:
    """The unit of conv2, and the signal below its filter."""
    network, traced = setup()
    value = traced.maps("conv2")[0, 0]
    filters, pooled, signal = weights(network, "conv2")[0], traced.maps("pool1")[0], _second("pool1")
    return Drawing(
        "One layer higher: transposed filter of conv2",
        "Forward: pool1 times the filter, summed, is the unit. Backward: the unit times the filter.",
        (
            _pair("pool1", "pool1", pooled),
            Arrow("times"),
            _pair("filter", "filter", filters),
            Arrow("sum"),
            _grid("conv2", "conv2", value),
            Arrow("times filter"),
            _pair("signal", "signal at pool1", signal),
        ),
    )


def second_unpool() -> Drawing:
    """Unpooling of a signal in which windows share a maximum."""
    return _both_maps(
        "One layer higher: unpooling",
        "The signal at pool1 and at relu1: numbers whose switches are the same are added.",
        ("signal at pool1", _second("pool1")),
        ("signal at relu1", _second("relu1")),
        "unpool",
        marks=_shared(),
    )


def second_rectify() -> Drawing:
    """Rectification of a signal with negative numbers."""
    return _both_maps(
        "One layer higher: rectification",
        "The signal at relu1 before and after rectification, which replaces negative numbers by zero.",
        ("signal at relu1", _second("relu1")),
        ("signal at conv1", _second("conv1")),
        "max(x, 0)",
    )


def second_pixels() -> Drawing:
    """The projections with and without rectification, next to the image."""
    _, traced = setup()
    return Drawing(
        "One layer higher: projections with and without rectification",
        "The image, the projection of the unit, and what it would be without the ReLU on the way down.",
        (
            Grid("image", "image", whole(traced.maps("input")[0, 0])),
            Grid("pixels", "projection", whole(_second("input")[0])),
            Grid("unrectified", "without rectification", whole(_second("input", rectified=False)[0])),
        ),
    )


def weights(network: Network, layer: str) -> Tensor:
    """Return the filters of a layer: (maps, input maps, rows, columns)."""
    known = network.weights(layer)
    assert known is not None
    return known[0]


def whole(values: Tensor) -> list[list[int]]:
    """Return a map as whole numbers. Raises ValueError if a number is not whole."""
    rounded = values.round()
    if not torch.equal(rounded, values):
        raise ValueError(f"numbers that are not whole: {values.tolist()}")
    rows: list[list[int]] = rounded.int().tolist()
    return rows


def _first(layer: str) -> Tensor:
    return signals(*setup(), "pool1", FIRST_UNIT)[layer]


def _second(layer: str, *, rectified: bool = True) -> Tensor:
    return signals(*setup(), "conv2", SECOND_UNIT, rectified=rectified)[layer]


def _grid(
    name: str,
    title: str,
    values: Tensor,
    *,
    marks: list[Position] | None = None,
    frames: list[Frame] | None = None,
    tinted: bool = True,
) -> Grid:
    values = values.float()
    return Grid(name, title, whole(values), marks=marks or (), frames=frames or (), tinted=tinted)


def _pair(name: str, title: str, maps: Tensor, marks: Mapping[int, list[Position]] | None = None) -> Column:
    """Return both maps below each other."""
    return Column(
        [
            _grid(f"{name}-{letter}", f"{title}, map {letter}", maps[index], marks=(marks or {}).get(index))
            for index, letter in enumerate(MAPS)
        ]
    )


def _both_maps(
    title: str,
    description: str,
    before: tuple[str, Tensor],
    after: tuple[str, Tensor],
    step: str,
    marks: Mapping[int, list[Position]] | None = None,
) -> Drawing:
    """Return a drawing of a step that treats both maps alike: before and after, with name and numbers."""
    name, above = before
    other, below = after
    items: list[Item] = []
    for index, letter in enumerate(MAPS):
        items += [Space()] if items else []
        items += [
            _grid(f"before-{letter}", f"{name}, map {letter}", above[index]),
            Arrow(step),
            _grid(f"after-{letter}", f"{other}, map {letter}", below[index], marks=(marks or {}).get(index)),
        ]
    return Drawing(title, description, items)


def _switched(layer: str, signal: Tensor) -> Mapping[int, list[Position]]:
    """Return the cells of each map that have a signal."""
    return {index: [(int(y), int(x)) for y, x in values.nonzero()] for index, values in enumerate(signal)}


def _shared() -> Mapping[int, list[Position]]:
    """Return the cells of each map that are the maximum of several windows."""
    return {
        index: list(_repeated(switches)) for index, switches in enumerate(setup()[1].switches["pool1"][0])
    }


def _repeated(switches: Tensor) -> Iterator[Position]:
    columns = setup()[1].maps("relu1").shape[3]
    for cell, count in Counter(switches.flatten().tolist()).items():
        if count > 1:
            yield divmod(cell, columns)
