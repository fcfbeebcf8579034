"""Two new kinds of layers, each defined by a class and one row in each of three tables."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from onnx import NodeProto, helper
from torch import Tensor
from torch.nn import functional as F

from zfscope.engine.backward import BACKWARD, LayerContext
from zfscope.engine.signal import Signal, clip
from zfscope.networks import NetworkSpec
from zfscope.networks.forward import FORWARD, Weights, pad_maps
from zfscope.networks.layer import KINDS, Layer, Shape
from zfscope.networks.windows import Padding, Window, pair
from zfscope.runtimes.onnx.nodes import NODES, NodeInputs


@contextmanager
def toy_kinds() -> Iterator[NetworkSpec]:
    """Register the kinds, yield a network that uses them, and unregister them."""
    tables: tuple[dict[str, Any], ...] = (KINDS, FORWARD, BACKWARD, NODES)
    before = [dict(table) for table in tables]
    try:
        _add_depthwise()
        _add_mean()
        yield NetworkSpec.model_validate({"name": "toy", "input_size": 32, "layers": LAYERS})
    finally:
        for table, rows in zip(tables, before, strict=True):
            table.clear()
            table.update(rows)


LAYERS: Sequence[Mapping[str, Any]] = (
    {"kind": "conv", "name": "conv1", "channels": 4, "kernel": 3},
    {"kind": "relu", "name": "relu1"},
    {"kind": "depthwise", "name": "apart", "kernel": 3, "stride": 2, "padding": (1, 0, 0, 2)},
    {"kind": "max_pool", "name": "pool", "inputs": ("relu1",), "kernel": 2, "stride": 2, "rounding": "ceil"},
    {"kind": "mean", "name": "both", "inputs": ("apart", "pool")},
    {"kind": "flatten", "name": "flatten"},
    {"kind": "linear", "name": "scores", "units": 4},
)


def _add_depthwise() -> None:
    """Register a depthwise convolution: a layer with a window and weights, one filter per map."""

    class Depthwise(Layer):
        kind: Literal["depthwise"] = "depthwise"
        kernel: int
        stride: int = 1
        padding: Padding = Padding()

        @property
        def window(self) -> Window:
            return Window(pair(self.kernel), pair(self.stride), self.padding)

        @property
        def unpadded(self) -> Layer:
            return self.model_copy(update={"padding": Padding()})

        def output_shape(self, sources: Sequence[Shape]) -> Shape:
            return sources[0][0], *self.window.grid(*sources[0][1:])

        def parameters(self, source: Shape) -> Mapping[str, Shape]:
            return {"weight": (source[0], 1, self.kernel, self.kernel), "bias": (source[0],)}

    @FORWARD.row(Depthwise)
    def filtered(layer: Depthwise, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
        assert weights is not None
        x = pad_maps(inputs[0], layer.padding)
        return F.conv2d(x, *weights, stride=layer.stride, groups=x.shape[1])

    @BACKWARD.row(Depthwise)
    def transposed(layer: Depthwise, signal: Signal, context: LayerContext) -> Sequence[Signal]:
        assert context.weights is not None
        maps = signal.values.shape[1]
        values = F.conv_transpose2d(signal.values, context.weights[0], stride=layer.stride, groups=maps)
        origins = signal.origins * layer.stride - torch.tensor([layer.padding.top, layer.padding.left])
        return [clip(Signal(values, signal.images, origins), *context.source().shape[2:])]

    @NODES.row(Depthwise)
    def node(layer: Depthwise, inputs: NodeInputs) -> list[NodeProto]:
        left, top, right, bottom = layer.padding
        names = [*inputs.names, f"{layer.name}.weight", f"{layer.name}.bias"]
        maps, strides = inputs.shapes[0][0], [layer.stride] * 2
        pads = [top, left, bottom, right]
        return [helper.make_node("Conv", names, [layer.name], group=maps, strides=strides, pads=pads)]


def _add_mean() -> None:
    """Register the mean of several inputs: a layer that joins branches."""

    class Mean(Layer):
        kind: Literal["mean"] = "mean"
        joins: ClassVar[bool] = True

    @FORWARD.row(Mean)
    def mean(layer: Mean, inputs: Sequence[Tensor], weights: Weights) -> Tensor:
        return torch.stack(list(inputs)).mean(0)

    @BACKWARD.row(Mean)
    def shared(layer: Mean, signal: Signal, context: LayerContext) -> Sequence[Signal]:
        count = len(context.sources)
        return [signal.with_values(signal.values / count)] * count

    @NODES.row(Mean)
    def node(layer: Mean, inputs: NodeInputs) -> list[NodeProto]:
        return [helper.make_node("Mean", inputs.names, [layer.name])]
