"""Tensors of a graph as views of layers: reordering and reshaping are arithmetic of indices until used."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from math import prod

import numpy as np
from numpy.typing import NDArray

from zfscope.networks.layer import Shape

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class View:
    """A tensor whose values are those of a layer's output, reordered, and then scaled * scale + offset.

    layer, shape: the layer and its output shape. index: for each value of the tensor, with the batch as first
    axis, the flat index of its value in the layer's output; None: the output itself.
    """

    layer: str
    shape: Shape
    index: Indices | None = None
    scale: float = 1.0
    offset: float = 0.0

    @cached_property
    def indices(self) -> Indices:
        """`index`, with the identity filled in."""
        if self.index is not None:
            return self.index
        return np.arange(prod(self.shape)).reshape(1, *self.shape)

    @property
    def dims(self) -> tuple[int, ...]:
        """Shape of the tensor, the batch included."""
        return (1, *self.shape) if self.index is None else self.index.shape

    @property
    def is_plain(self) -> bool:
        """Whether the tensor is the layer's output itself."""
        return self.index is None and self.is_unscaled

    @property
    def is_unscaled(self) -> bool:
        """Whether values are those of the layer."""
        return (self.scale, self.offset) == (1.0, 0.0)

    @property
    def keeps_order(self) -> bool:
        """Whether the tensor has the layer's values in the same order, in whatever shape."""
        if self.index is None:
            return True
        flat = self.index.ravel()
        return flat.size == prod(self.shape) and bool((flat == np.arange(flat.size)).all())

    def reindexed(self, index: Indices) -> "View":
        """Return a view with other indices; the identity is recognised."""
        identity = index.shape == (1, *self.shape) and (index.ravel() == np.arange(index.size)).all()
        return replace(self, index=None if identity else index)

    def of_layer(self, layer: str, shape: Shape) -> "View":
        """Return the same view of a layer whose output has the same size, unscaled."""
        return View(layer, shape, self.index)

    def selected_maps(self) -> tuple[int, ...] | None:
        """Return the maps that the tensor consists of, each whole and in place; None for any other view."""
        if len(self.shape) != 3 or len(self.dims) != 4 or self.dims[2:] != self.shape[1:]:
            return None
        positions = prod(self.shape[1:])
        maps = self.indices[0, :, 0, 0] // positions
        whole = np.arange(prod(self.shape)).reshape(self.shape)[maps]
        return tuple(maps.tolist()) if (self.indices[0] == whole).all() else None

    @cached_property
    def axes(self) -> tuple[int, ...] | None:
        """The axis of the layer's output behind each axis of the tensor, without the batch; None if mixed."""
        order = np.arange(prod(self.shape)).reshape(self.shape)
        for axes in permutations(range(len(self.shape))):
            moved = order.transpose(axes)
            if self.dims == (1, *moved.shape) and (self.indices[0] == moved).all():
                return axes
        return None

    def per_map(self, constant: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return a constant operand of the tensor as one value per map or unit of the layer, (maps,).

        None if the values differ within a map, or if the operand is larger than the tensor. Maps that the
        tensor has no values of get 1.
        """
        if np.broadcast_shapes(constant.shape, self.dims) != self.dims:
            return None
        placed = np.full(prod(self.shape), np.nan, np.float32)
        placed[self.indices.ravel()] = np.broadcast_to(constant, self.dims).ravel()
        maps = placed.reshape(self.shape[0], -1)
        least, most = np.fmin.reduce(maps, axis=1), np.fmax.reduce(maps, axis=1)  # both ignore NaN
        return None if (least < most).any() else np.nan_to_num(least, nan=1.0)
