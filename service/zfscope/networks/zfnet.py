"""ZFNet as in arXiv 1311.2901 v3, Fig 3 and Table 3."""

from collections.abc import Sequence
from typing import Protocol

from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, Dropout, Flatten, Linear, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding


class NetworkFactory(Protocol):
    """A function that returns a network with a given number of classes and width of fc6 and fc7."""

    def __call__(self, *, classes: int = 1000, hidden: int = 4096) -> NetworkSpec: ...


def zfnet(*, classes: int = 1000, hidden: int = 4096) -> NetworkSpec:
    """Return the network of Fig 3, with maps of 110, 55, 26, 13, 13, 13, 13 and 6 pixels.

    The paper does not state the padding. These sizes result from the conventions of cuda-convnet: conv1 is
    padded by 1 at the right and bottom, and pooling layers keep a last window that extends beyond the edge.
    """
    return _zfnet("zfnet", (384, 384, 256), classes, hidden)


def zfnet_b(*, classes: int = 1000, hidden: int = 4096) -> NetworkSpec:
    """Return the wider network of Table 3: 512, 1024 and 512 maps in layers 3, 4 and 5."""
    return _zfnet("zfnet-b", (512, 1024, 512), classes, hidden)


def _zfnet(name: str, widths: tuple[int, int, int], classes: int, hidden: int) -> NetworkSpec:
    first = Conv(name="conv1", channels=96, kernel=7, stride=2, padding=Padding(right=1, bottom=1))
    second = Conv(name="conv2", channels=256, kernel=5, stride=2)
    return NetworkSpec(
        name=name,
        layers=(*stem(first, second), *deep_convolutions(widths), *classifier(classes, hidden)),
    )


def stem(first: Conv, second: Conv) -> Sequence[Layer]:
    """Return layers 1 and 2, each with ReLU, pooling and contrast normalisation (caption of Fig 3)."""
    return (
        first,
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm1"),
        second,
        ReLU(name="relu2"),
        MaxPool(name="pool2", kernel=3, stride=2, rounding="ceil"),
        LocalResponseNorm(name="norm2"),
    )


def deep_convolutions(widths: tuple[int, int, int]) -> Sequence[Layer]:
    """Return layers 3, 4 and 5: filters of 3 x 3 over all maps, with pooling after the last."""
    third, fourth, fifth = widths
    padding = Padding(1, 1, 1, 1)
    return (
        Conv(name="conv3", channels=third, kernel=3, padding=padding),
        ReLU(name="relu3"),
        Conv(name="conv4", channels=fourth, kernel=3, padding=padding),
        ReLU(name="relu4"),
        Conv(name="conv5", channels=fifth, kernel=3, padding=padding),
        ReLU(name="relu5"),
        MaxPool(name="pool5", kernel=3, stride=2, rounding="ceil"),
    )


def classifier(classes: int, hidden: int) -> Sequence[Layer]:
    """Return layers 6 to 8: two fully connected layers with ReLU and dropout, and the class scores."""
    return (
        Flatten(name="flatten"),
        Linear(name="fc6", units=hidden),
        ReLU(name="relu6"),
        Dropout(name="drop6"),
        Linear(name="fc7", units=hidden),
        ReLU(name="relu7"),
        Dropout(name="drop7"),
        Linear(name="fc8", units=classes),
    )
