"""Random small networks of all kinds of layers, and an independent forward pass by torch's own functions."""

from collections.abc import Callable, Mapping, Sequence
from math import inf, prod
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.module_projections import Rectify
from zfscope.networks import Network, NetworkSpec, build
from zfscope.networks.layer import Layer, Shape
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Clip,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Multiply,
    PReLU,
    ReLU,
    Scale,
    SelectMaps,
)
from zfscope.networks.spec import shapes
from zfscope.networks.windows import Padding

ACTIVATIONS: Sequence[Mapping[str, Any]] = (
    {"function": "leaky_relu", "alpha": 0.1},
    {"function": "elu", "alpha": 0.7},
    {"function": "selu"},
    {"function": "tanh"},
    {"function": "sigmoid"},
    {"function": "hard_sigmoid", "alpha": 0.2, "beta": 0.4},
    {"function": "hard_swish"},
    {"function": "softplus"},
    {"function": "gelu"},
)


class _Writer:
    """Draws layers one after the other. Layers that do not fit are drawn again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.channels, self.size = self.random.choice([1, 2, 3]), self.random.randint(9, 15)
        self.layers: list[Layer] = []
        self.shape: Shape = (self.channels, self.size, self.size)
        self.last = "input"

    def spec(self) -> NetworkSpec:
        return NetworkSpec(
            name="random", input_channels=self.channels, input_size=self.size, layers=tuple(self.layers)
        )

    def add(self, kind: type[Layer], *, inputs: Sequence[str] = (), **fields: Any) -> str | None:
        """Add a layer, if it fits, and return its name."""
        name = f"layer{len(self.layers)}"
        layer = kind(name=name, inputs=tuple(inputs) or (self.last,), **fields)
        known = {"input": (self.channels, self.size, self.size), **self.known()}
        try:
            shape = layer.output_shape([known[source] for source in layer.inputs])
        except ValueError:
            return None
        if len(shape) == 3 and min(shape[1:]) < 1:
            return None
        self.layers.append(layer)
        self.last, self.shape = name, shape
        return name

    def known(self) -> Mapping[str, Shape]:
        return shapes(self.spec()) if self.layers else {}

    def extent(self, most: int) -> int | tuple[int, int]:
        one, other = self.random.randint(1, most), self.random.randint(1, most)
        return one if self.random.random() < 0.5 else (one, other)

    def padding(self, most: int) -> Padding:
        if self.random.random() < 0.4:
            return Padding(*[self.random.randint(0, most)] * 4)
        return Padding(*(self.random.randint(0, most) for _ in range(4)))

    def conv(self) -> None:
        maps = self.shape[0]
        groups = self.random.choice([count for count in range(1, maps + 1) if maps % count == 0])
        self.add(
            Conv,
            channels=groups * self.random.randint(1, 3 if groups < 3 else 1),
            kernel=self.extent(3),
            stride=self.extent(2),
            dilation=self.extent(2),
            padding=self.padding(3),
            groups=groups,
            bias=self.random.random() < 0.7,
        )

    def max_pool(self) -> None:
        kernel, dilation = (self.random.randint(2, 3), self.random.randint(2, 3)), self.extent(2)
        self.add(
            MaxPool,
            kernel=kernel,
            stride=self.extent(3),
            dilation=dilation,
            padding=self.padding(1),
            rounding=self.random.choice(["floor", "ceil"]),
        )

    def avg_pool(self) -> None:
        self.add(
            AvgPool,
            kernel=(self.random.randint(2, 3), self.random.randint(2, 3)),
            stride=self.extent(3),
            padding=self.padding(1),
            rounding=self.random.choice(["floor", "ceil"]),
            count_include_pad=self.random.random() < 0.5,
        )

    def pointwise(self) -> None:
        kind, fields = self.random.choice(
            [
                (ReLU, {}),
                (Clip, {"high": 0.8}),
                (Clip, {"low": -0.5, "high": None}),
                (PReLU, {}),
                (Scale, {}),
                (Dropout, {}),
                (LocalResponseNorm, {"size": 3, "alpha": 0.5}),
                (LocalResponseNorm, {"size": 3, "alpha": 0.5, "region": "within_map"}),
                (Activation, self.random.choice(ACTIVATIONS)),
            ]
        )
        self.add(kind, **fields)

    def excite(self) -> None:
        """Squeeze-and-excitation: a factor for each map, from the mean of all maps."""
        source, (maps, rows, columns) = self.last, self.shape
        self.add(AvgPool, kernel=(rows, columns))
        self.add(Conv, channels=maps, kernel=1)
        gate = self.add(Activation, function="sigmoid")
        assert gate is not None
        self.add(Multiply, inputs=self.random.sample([source, gate], 2))

    def swish(self) -> None:
        source = self.last
        gate = self.add(Activation, function="sigmoid")
        assert gate is not None
        self.add(Multiply, inputs=(source, gate))

    def branch(self) -> None:
        source, maps = self.last, self.shape[0]
        self.pointwise()
        straight = self.last
        self.last = source
        branch = self.add(Conv, channels=maps, kernel=3, padding=Padding(1, 1, 1, 1), inputs=(source,))
        if branch is None:
            return
        self.add(self.random.choice([Add, Concat, Multiply]), inputs=(straight, branch))

    def select(self) -> None:
        maps = [self.random.randrange(self.shape[0]) for _ in range(self.random.randint(1, 5))]
        self.add(SelectMaps, maps=tuple(maps))

    def classifier(self) -> None:
        self.add(Flatten)
        self.add(Linear, units=4, bias=self.random.random() < 0.5)
        self.add(ReLU)
        self.add(Linear, units=3)


def random_spec(seed: int) -> NetworkSpec:
    """Draw a network of some ten layers, with or without fully connected layers at the end."""
    writer = _Writer(seed)
    writer.conv()
    while not writer.layers:
        writer.conv()
    steps: Sequence[Callable[[], None]] = (
        writer.conv,
        writer.conv,
        writer.max_pool,
        writer.avg_pool,
        writer.pointwise,
        writer.pointwise,
        writer.excite,
        writer.swish,
        writer.branch,
        writer.select,
    )
    for _ in range(6):
        writer.random.choice(steps)()
    if writer.random.random() < 0.7:
        writer.classifier()
    return writer.spec()


def random_network(seed: int, *, dtype: torch.dtype = torch.float64) -> Network:
    """Build a drawn network with random weights, biases, scales and slopes."""
    generator = torch.Generator().manual_seed(seed)
    network = build(random_spec(seed), generator=generator)
    with torch.no_grad():
        for filters in network.filters.values():
            if filters.bias is not None:
                filters.bias.normal_(0, 0.3, generator=generator)
            if filters.weight.dim() == 1:
                filters.weight.normal_(0.5, 0.5, generator=generator)
    return network.to(dtype).eval().requires_grad_(False)


def _pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    left, top, right, bottom = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def _mean_of_windows(layer: AvgPool, x: Tensor) -> Tensor:
    """Average each window by itself, position by position."""
    padding = layer.padding
    rows, columns = layer.window.grid(*x.shape[2:])
    result = x.new_zeros(*x.shape[:2], rows, columns)
    for y in range(rows):
        for column in range(columns):
            ys = _positions(layer, 0, y, x.shape[2] + padding.bottom)
            xs = _positions(layer, 1, column, x.shape[3] + padding.right)
            inside = [(r, c) for r in ys for c in xs if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]]
            count = len(ys) * len(xs) if layer.count_include_pad else len(inside)
            result[..., y, column] = torch.stack([x[..., r, c] for r, c in inside]).sum(0) / count
    return result


def _positions(layer: AvgPool, axis: int, index: int, end: int) -> range:
    """Return the rows or columns of a window, up to the end of the padding."""
    before = layer.padding.left if axis else layer.padding.top
    first = index * layer.window.stride[axis] - before
    return range(first, min(first + layer.window.kernel[axis], end))


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.1 * x),
    "elu": lambda x: torch.where(x > 0, x, 0.7 * (x.exp() - 1)),
    "selu": torch.nn.SELU(),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "hard_sigmoid": lambda x: torch.where(0.2 * x + 0.4 > 1, 1, (0.2 * x + 0.4).relu()),
    "hard_swish": lambda x: x * torch.nn.functional.relu6(x + 3) / 6,
    "softplus": lambda x: (1 + x.exp()).log(),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
}


def _step(network: Network, layer: Layer, inputs: Sequence[Tensor], rule: str) -> Tensor:  # noqa: C901  # a case per kind of layer
    x, filters = inputs[0], network.filters.get(layer.name)
    match layer:
        case Conv():
            assert filters is not None
            parts = torch.chunk(_pad(x, layer.padding), layer.groups, dim=1)
            weights = torch.chunk(filters.weight, layer.groups)
            maps = [
                F.conv2d(part, weight, stride=layer.stride, dilation=layer.dilation)
                for part, weight in zip(parts, weights, strict=True)
            ]
            whole = torch.cat(maps, 1)
            return whole if filters.bias is None else whole + filters.bias[:, None, None]
        case MaxPool():
            padded = _pad(x, layer.window.whole_padding(*x.shape[2:]), -torch.inf)
            return F.max_pool2d(padded, layer.kernel, layer.stride, dilation=layer.dilation)
        case AvgPool():
            return _mean_of_windows(layer, x)
        case Linear():
            assert filters is not None
            product = x @ filters.weight.T
            return product if filters.bias is None else product + filters.bias
        case ReLU():
            return Rectify.apply(x, inf, rule)  # type: ignore[no-untyped-call, no-any-return]  # untyped in torch
        case Clip(low=0.0):
            return Rectify.apply(x, layer.high, rule)  # type: ignore[no-untyped-call, no-any-return]  # as above
        case Clip():
            return x.clamp(layer.low, layer.high)
        case PReLU():
            assert filters is not None
            slope = filters.weight.view(-1, *[1] * (x.dim() - 2))
            return torch.where(x > 0, x, slope * x)
        case Scale():
            assert filters is not None
            assert filters.bias is not None
            weight, bias = (part.view(-1, *[1] * (x.dim() - 2)) for part in (filters.weight, filters.bias))
            return weight * x + bias
        case Activation():
            return FUNCTIONS[layer.function](x)
        case SelectMaps():
            return torch.stack([x[:, index] for index in layer.maps], 1)
        case LocalResponseNorm(region="across_maps"):
            return F.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
        case LocalResponseNorm():
            mean = F.avg_pool2d(x * x, layer.size, 1, layer.size // 2)
            return x / (layer.k + layer.alpha * mean) ** layer.beta
        case Flatten():
            return x.flatten(1)
        case Concat():
            return torch.cat(list(inputs), 1)
        case Add():
            return torch.stack(list(inputs)).sum(0)
        case Multiply():
            return prod(inputs[1:], start=x)
        case _:
            return x


def run_by_torch(network: Network, images: Tensor, rule: str = "gradient") -> Mapping[str, Tensor]:
    """Return the outputs of all layers, by torch's functions alone; rule: the backward pass of ReLUs."""
    known = {"input": images}
    for layer in network.spec.layers:
        inputs = [known[name] for name in network.spec.sources[layer.name]]
        known[layer.name] = _step(network, layer, inputs, rule)
    return known
