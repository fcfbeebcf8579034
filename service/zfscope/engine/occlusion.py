"""Occlusion: what a changed window of pixels changes in a network, and nothing else computed again.

Exact: whatever sees a changed pixel is computed from the trace around it, as the forward pass would.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.changes import Area, Frame, changed_areas, chunks, frame_around, frame_below, map_size
from zfscope.engine.cpu.threads import in_turns
from zfscope.engine.signal import Signal, by_place
from zfscope.engine.trace import Trace
from zfscope.errors import InputError
from zfscope.networks.forward import FORWARD, padded
from zfscope.networks.layers import Layer, Padding
from zfscope.networks.network import Network
from zfscope.networks.spec import INPUT

BUDGET_BYTES = 2**28
"""What the values of one chunk may take, where the caller does not say."""


@dataclass(frozen=True)
class Recomputed:
    """What some of the changed windows make of some layers.

    windows: their places in the batch of changes. outputs: by layer, in the order of `windows`: new values
    of a window that holds all that changes, (n, maps, rows, columns), or of all units, (n, units).
    """

    windows: list[int]
    outputs: Mapping[str, Signal]

    def of(self, layers: Collection[str]) -> "Recomputed":
        """Give those of the layers that are here."""
        outputs = {name: signal for name, signal in self.outputs.items() if name in layers}
        return Recomputed(self.windows, outputs)


@dataclass(frozen=True)
class _Visit:
    """A layer on the way up, and what it reads in the trace.

    bare: the layer without padding. clean: its sources' maps in the trace, with the padding around them;
    before: rows and columns of it above and left.
    """

    layer: Layer
    bare: Layer
    sources: Sequence[str]
    clean: Sequence[Tensor]
    before: tuple[int, int]


def recompute(
    network: Network,
    trace: Trace,
    changes: Signal,
    layers: Collection[str],
    *,
    budget_bytes: int = BUDGET_BYTES,
) -> Iterator[Recomputed]:
    """Compute layers again for each of a batch of changes to the traced images, a part at a time.

    trace: up to the last of the layers. changes: new pixels, (N, 3, rows, columns), normalised, each in
    place of a window inside its image, and each by itself.

    Every window comes once with its layers of maps, in an order of its own, and later, with more windows
    at a time, once with its layers of units; a part has nothing in it where only others were asked for.
    A part takes a fraction of a second, and about `budget_bytes`, unless a single window needs more.
    Raises NotFound for an unknown layer, InputError for windows that do not fit the images.
    """
    for layer in layers:
        network.spec.layer(layer)
    _check_changes(trace, changes)
    return _in_parts(network, trace, changes, layers, budget_bytes)


@torch.no_grad()
def _in_parts(
    network: Network, trace: Trace, changes: Signal, layers: Collection[str], budget_bytes: int
) -> Iterator[Recomputed]:
    needed = network.spec.needed_for(layers)
    pixels = Area(changes.origins, changes.origins + torch.tensor(changes.size))
    areas = changed_areas(network, pixels, needed)
    ascent = _Ascent(network, areas, changes, layers, [_visit(network, trace, layer) for layer in needed])
    on_cpu = changes.values.device.type == "cpu"
    cores = torch.get_num_threads() if on_cpu else 1
    together = chunks(network, areas, changes.values.device, budget_bytes / cores, cores)
    parts = map(ascent.parts, together)
    yield from in_turns(parts) if on_cpu else chain.from_iterable(parts)


@dataclass(frozen=True, eq=False)
class _Ascent:
    """What all parts of a batch of changes go up through."""

    network: Network
    areas: Mapping[str, Area]
    changes: Signal
    layers: Collection[str]
    visits: Sequence[_Visit]

    @torch.no_grad()  # torch keeps this for each thread
    def parts(self, chunks: Sequence[list[int]]) -> Iterator[Recomputed]:
        """Take chunks of windows through the layers of maps, and then all of them through those of units."""
        units = {visit.layer.name for visit in self.visits if len(self.network.shapes[visit.layer.name]) == 1}
        of_maps = [visit for visit in self.visits if visit.clean[0].dim() == 4]
        flat = []
        for windows in chunks:
            start = Recomputed(windows, {INPUT: self.changes.chosen(windows)})
            part = _carried_up(self.network, of_maps, self.areas, start)
            yield part.of(set(self.layers) - units)
            flat.append(part.of(units))
        if not units:
            return
        together = _joined(flat)
        for visit in self.visits:
            if visit.clean[0].dim() == 2:
                together = _carried_up(self.network, [visit], self.areas, together)
                yield together.of(())
        yield together.of(self.layers)


def _carried_up(
    network: Network, visits: Sequence[_Visit], areas: Mapping[str, Area], part: Recomputed
) -> Recomputed:
    """Compute the layers of some visits from what is there."""
    known = dict(part.outputs)
    for visit in visits:
        name = visit.layer.name
        frame = frame_around(areas[name], part.windows, map_size(network.shapes[name]))
        known[name] = _step(network, visit, known, frame)
    return Recomputed(part.windows, known)


def _joined(parts: Sequence[Recomputed]) -> Recomputed:
    """Put parts of the same layers of units together."""
    windows = [window for part in parts for window in part.windows]
    return Recomputed(
        windows, {name: _stacked([part.outputs[name] for part in parts]) for name in parts[0].outputs}
    )


def _stacked(signals: Sequence[Signal]) -> Signal:
    tensors = ((signal.values, signal.images, signal.origins) for signal in signals)
    return Signal(*(torch.cat(column) for column in zip(*tensors, strict=True)))


def _visit(network: Network, trace: Trace, layer: Layer) -> _Visit:
    sources = network.spec.sources[layer.name]
    clean = [trace.outputs[source] for source in sources]
    window = layer.window
    if window is None:
        return _Visit(layer, layer, sources, clean, (0, 0))
    # At the far edges padding, and the overhang of a pool's last window, are less than a window's side.
    left, top = window.padding[:2]
    border = Padding(left, top, window.kernel - 1, window.kernel - 1)
    room = [padded(maps, border, window.outside) for maps in clean]
    return _Visit(layer, layer.unpadded, sources, room, (top, left))


def _step(network: Network, visit: _Visit, known: Mapping[str, Signal], frame: Frame) -> Signal:
    """Compute the framed part of a layer, from what it sees of its sources."""
    layer = visit.layer
    seen = frame_below(network, layer, frame)
    inputs = [
        _patches(maps, seen, known[source], visit.before)
        for source, maps in zip(visit.sources, visit.clean, strict=True)
    ]
    values = FORWARD[layer.kind](visit.bare, inputs, network.weights(layer.name))
    if layer.window and values.shape[2:] != frame.size:
        # A layer that pads by itself returns as much as it saw; only whole windows are right.
        (top, left), (rows, columns) = visit.before, frame.size
        values = values[:, :, top : top + rows, left : left + columns]
    return Signal(values, known[visit.sources[0]].images, frame.origins)


def _patches(maps: Tensor, seen: Frame, changed: Signal, before: tuple[int, int]) -> Tensor:
    """Cut what is seen of each change's image, and paste the change in: (n, C, rows, columns).

    All maps of a place are one row of memory, so both are a copy of rows by their numbers:

        clean maps        what a window sees     its change, which may overhang
        . . . . . .         . . . .                     x x x            . . x x | x
        . . . . . .    cut  . . . .            paste    x x x    makes   . . x x | x    the spare row takes
        . . . . . .         . . . .                                      . . . . |      what lies outside
    """
    moved = changed.origins + torch.tensor(before) - seen.origins
    if maps.dim() == 2 or (changed.size == seen.size and not moved.any()):
        return changed.values
    images, (height, width) = changed.images[:, None, None], seen.size
    y, x = _places(seen.origins, seen.size)
    cut = ((images * maps.shape[2] + y) * maps.shape[3] + x).flatten()
    # A row more than the patches have: it takes what of a change lies outside of its patch.
    rows = by_place(maps).flatten(0, 1).index_select(0, F.pad(cut, (0, 1)).to(maps.device))
    y, x = _places(moved, changed.size)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    patch = torch.arange(len(images))[:, None, None]
    pasted = torch.where(inside, (patch * height + y) * width + x, len(cut)).flatten()
    rows.index_copy_(0, pasted.to(maps.device), by_place(changed.values).flatten(0, 1))
    return rows[:-1].view(len(images), height, width, -1).permute(0, 3, 1, 2)


def _places(origins: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Give the rows (n, rows, 1) and columns (n, 1, columns) of windows."""
    rows, columns = (torch.arange(count) for count in size)
    return origins[:, 0, None, None] + rows[:, None], origins[:, 1, None, None] + columns


def _check_changes(trace: Trace, changes: Signal) -> None:
    images = trace.outputs[INPUT]
    count, shape = len(changes.values), tuple(changes.values.shape)
    if changes.values.dim() != 4 or shape[1] != images.shape[1] or 0 in shape:
        raise InputError(
            f"changes of shape {shape}; they must be one or more windows of {images.shape[1]} maps",
            field="windows",
        )
    if changes.images.shape != (count,) or changes.origins.shape != (count, 2):
        raise InputError(
            f"{count} changes with images of shape {tuple(changes.images.shape)} and origins of shape "
            f"{tuple(changes.origins.shape)}; they must be ({count},) and ({count}, 2)",
            field="windows",
        )
    if changes.images.min() < 0 or changes.images.max() >= trace.images:
        raise InputError(f"a change of an image that is not among the {trace.images} traced", field="windows")
    room = torch.tensor(images.shape[2:]) - torch.tensor(changes.size)
    outside = ((changes.origins < 0) | (changes.origins > room)).any(1)
    if outside.any():
        place = changes.origins[outside][0].tolist()
        size = tuple(images.shape[2:])
        raise InputError(
            f"a window of {changes.size} at {place} reaches out of the image of {size}", field="windows"
        )
