"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019) with ReLU6 and without squeeze-and-excitation."""

from collections.abc import Iterator
from dataclasses import dataclass

from zfscope.networks.layer import Layer
from zfscope.networks.layers import Add, AvgPool, Clip, Conv, Dropout, Flatten, Linear
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import same_padding

_INPUT_SIZE = 224
_STEM_MAPS, _HEAD_MAPS = 32, 1280


@dataclass(frozen=True)
class Block:
    """An inverted residual block: 1 x 1 expansion, depthwise convolution, 1 x 1 projection.

    size: rows and columns of its input. maps_in, maps_out, kernel, stride: of the block; expansion: factor.
    """

    number: int
    size: int
    maps_in: int
    maps_out: int
    kernel: int
    stride: int
    expansion: int

    @property
    def name(self) -> str:
        """Prefix of the names of its layers."""
        return f"blocks.{self.number}"

    @property
    def has_skip(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.maps_in == self.maps_out


# Stages: repeats, kernel, stride of the first block, expansion, maps.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def blocks() -> Iterator[Block]:
    """Yield the 16 blocks of the network in order."""
    number, size, maps = 0, _INPUT_SIZE // 2, _STEM_MAPS
    for repeats, kernel, first_stride, expansion, width in _STAGES:
        for stride in (first_stride, *[1] * (repeats - 1)):
            yield Block(number, size, maps, width, kernel, stride, expansion)
            number, size, maps = number + 1, -(-size // stride), width


def efficientnet_lite0(*, classes: int = 1000) -> NetworkSpec:
    """Return EfficientNet-Lite0 for crops of 224 pixels, with batch normalisation folded into convolutions.

    Padding is that of TensorFlow: at stride 2, one pixel more at the right and bottom.
    """
    return NetworkSpec(
        name="efficientnet-lite0",
        input_size=_INPUT_SIZE,
        layers=(
            *_conv("stem", _STEM_MAPS, 3, 2, _INPUT_SIZE),
            *_all_blocks(),
            *_conv("head", _HEAD_MAPS, 1, 1, _last_size()),
            AvgPool(name="pool", kernel=_last_size()),
            Flatten(name="flatten"),
            Dropout(name="dropout", rate=0.2),
            Linear(name="scores", units=classes),
        ),
    )


def _all_blocks() -> Iterator[Layer]:
    source = "stem.relu6"
    for block in blocks():
        for layer in _block_layers(block, source):
            yield layer
        source = layer.name


def _block_layers(block: Block, source: str) -> Iterator[Layer]:
    """Yield the layers of a block. source: the layer before it."""
    wide = block.maps_in * block.expansion
    if block.expansion > 1:
        yield from _conv(f"{block.name}.expand", wide, 1, 1, block.size)
    depthwise = f"{block.name}.depthwise"
    yield from _conv(depthwise, wide, block.kernel, block.stride, block.size, groups=wide)
    project = Conv(name=f"{block.name}.project", channels=block.maps_out, kernel=1)
    yield project
    if block.has_skip:
        yield Add(name=f"{block.name}.add", inputs=(project.name, source))


def _conv(
    name: str, maps: int, kernel: int, stride: int, size: int, *, groups: int = 1
) -> tuple[Layer, Layer]:
    conv = Conv(
        name=name,
        channels=maps,
        kernel=kernel,
        stride=stride,
        padding=same_padding((size, size), kernel, stride),
        groups=groups,
    )
    return conv, Clip(name=f"{name}.relu6")


def _last_size() -> int:
    *_, last = blocks()
    return last.size
