"""SqueezeNet v1.1 (Iandola et al. 2016): branches, no fully connected layer, 1.2 million weights."""

from collections.abc import Sequence

from zfscope.networks.layer import Layer
from zfscope.networks.layers import AvgPool, Concat, Conv, Dropout, Flatten, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding

# Squeeze width of each fire module; each of its two expand branches is four times as wide.
SQUEEZE_WIDTHS = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}

# Fire modules that precede a pooling layer.
POOLED_MODULES = (3, 5)

_INPUT_SIZE = 227


def squeezenet(*, classes: int = 1000) -> NetworkSpec:
    """Return SqueezeNet for crops of 227 pixels, with maps of 56, 28 and 14 pixels as in Caffe.

    The layers `fire2` to `fire9` are the outputs of the fire modules; `scores` is the mean of each class's
    map.
    """
    last = 14  # side of the maps after three pooling layers, in pixels
    return NetworkSpec(
        name="squeezenet",
        input_size=_INPUT_SIZE,
        layers=(
            Conv(name="conv1", channels=64, kernel=3, stride=2),
            ReLU(name="relu1"),
            _pool(1),
            *(layer for number in SQUEEZE_WIDTHS for layer in _module(number)),
            Dropout(name="drop9"),
            Conv(name="conv10", channels=classes, kernel=1),
            ReLU(name="relu10"),
            AvgPool(name="pool10", kernel=last),
            Flatten(name="scores"),
        ),
    )


def _module(number: int) -> Sequence[Layer]:
    squeezed = SQUEEZE_WIDTHS[number]
    name, narrow = f"fire{number}", f"fire{number}-squeeze-relu"
    padding = Padding(1, 1, 1, 1)
    layers: list[Layer] = [
        Conv(name=f"{name}-squeeze", channels=squeezed, kernel=1),
        ReLU(name=narrow),
        Conv(name=f"{name}-expand1", channels=4 * squeezed, kernel=1),
        ReLU(name=f"{name}-expand1-relu"),
        Conv(name=f"{name}-expand3", inputs=(narrow,), channels=4 * squeezed, kernel=3, padding=padding),
        ReLU(name=f"{name}-expand3-relu"),
        Concat(name=name, inputs=(f"{name}-expand1-relu", f"{name}-expand3-relu")),
    ]
    return [*layers, _pool(number)] if number in POOLED_MODULES else layers


def _pool(number: int) -> MaxPool:
    return MaxPool(name=f"pool{number}", kernel=3, stride=2, rounding="ceil")
