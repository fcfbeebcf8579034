"""Narrow networks in the style of well-known architectures, with names as exporters give them."""

from zfscope.networks import NetworkSpec
from zfscope.networks.layer import Layer
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Concat,
    Conv,
    Dropout,
    Flatten,
    Linear,
    MaxPool,
    Multiply,
    ReLU,
    Scale,
)
from zfscope.networks.windows import Padding

CLASSES = 4
_SAME = Padding(1, 1, 1, 1)


def squeezing() -> NetworkSpec:
    """Return a network of fire modules whose last convolution has a map per class."""
    layers: list[Layer] = [
        Conv(name="features.0", channels=4, kernel=3, stride=2),
        ReLU(name="features.1"),
        MaxPool(name="features.2", kernel=3, stride=2, rounding="ceil"),
        *_fire("features.3", 2),
        *_fire("features.4", 3),
        Dropout(name="classifier.0"),
        Conv(name="classifier.1", channels=CLASSES, kernel=1),
        ReLU(name="classifier.2"),
        AvgPool(name="classifier.3", kernel=8),
        Flatten(name="flatten"),
    ]
    return NetworkSpec(name="squeezing", input_size=33, layers=tuple(layers))


def _fire(name: str, width: int) -> list[Layer]:
    narrow = f"{name}.squeeze_activation"
    branches = [f"{name}.expand1x1_activation", f"{name}.expand3x3_activation"]
    return [
        Conv(name=f"{name}.squeeze", channels=width, kernel=1),
        ReLU(name=narrow),
        Conv(name=f"{name}.expand1x1", channels=2 * width, kernel=1),
        ReLU(name=branches[0]),
        Conv(name=f"{name}.expand3x3", inputs=(narrow,), channels=2 * width, kernel=3, padding=_SAME),
        ReLU(name=branches[1]),
        Concat(name=f"{name}.cat", inputs=tuple(branches)),
    ]


def residual() -> NetworkSpec:
    """Return a network with residual blocks; a scale and the block's sum lie before the activations."""
    layers: list[Layer] = [
        Conv(name="conv1", channels=4, kernel=3, stride=2, padding=_SAME),
        Scale(name="bn1"),
        ReLU(name="relu"),
        *_residual("layer1.0", "relu", 4),
        *_residual("layer1.1", "layer1.0.relu_1", 4),
        *_residual("layer2.0", "layer1.1.relu_1", 6, stride=2),
        AvgPool(name="avgpool", kernel=8),
        Flatten(name="flatten"),
        Linear(name="fc", units=CLASSES),
    ]
    return NetworkSpec(name="residual", input_size=32, layers=tuple(layers))


def _residual(name: str, below: str, width: int, stride: int = 1) -> list[Layer]:
    skip: list[Layer] = []
    if stride > 1:
        skip = [
            Conv(name=f"{name}.downsample.0", inputs=(below,), channels=width, kernel=1, stride=stride),
            Scale(name=f"{name}.downsample.1"),
        ]
    shortcut = skip[-1].name if skip else below
    return [
        *skip,
        Conv(name=f"{name}.conv1", inputs=(below,), channels=width, kernel=3, stride=stride, padding=_SAME),
        Scale(name=f"{name}.bn1"),
        ReLU(name=f"{name}.relu"),
        Conv(name=f"{name}.conv2", channels=width, kernel=3, padding=_SAME),
        Scale(name=f"{name}.bn2"),
        Add(name=f"{name}.add", inputs=(f"{name}.bn2", shortcut)),
        ReLU(name=f"{name}.relu_1"),
    ]


def inception() -> NetworkSpec:
    """Return a network of parallel branches of rectangular windows, with a gated activation at the end."""
    layers: list[Layer] = [
        Conv(name="stem.conv", channels=4, kernel=(3, 5), stride=2, padding=Padding(2, 1, 2, 1)),
        ReLU(name="stem.activ"),
        *_branches("mixed1", "stem.activ"),
        MaxPool(name="reduce", kernel=2, stride=2),
        *_branches("mixed2", "reduce"),
        Conv(name="head.conv", channels=6, kernel=1),
        Activation(name="head.sigmoid", function="sigmoid"),
        Multiply(name="head.activ", inputs=("head.conv", "head.sigmoid")),
        AvgPool(name="squeeze.pool", kernel=8),
        Conv(name="squeeze.conv", channels=6, kernel=1),
        Activation(name="squeeze.gate", function="hard_sigmoid", alpha=0.2, beta=0.5),
        Multiply(name="excited", inputs=("head.activ", "squeeze.gate")),
        AvgPool(name="pool", kernel=8),
        Flatten(name="flatten"),
        Dropout(name="drop"),
        Linear(name="output.fc", units=CLASSES),
    ]
    return NetworkSpec(name="inception", input_size=32, layers=tuple(layers))


def _branches(name: str, below: str) -> list[Layer]:
    outputs = (f"{name}.wide.activ", f"{name}.tall.activ", f"{name}.pool")
    return [
        Conv(
            name=f"{name}.wide.conv", inputs=(below,), channels=3, kernel=(1, 3), padding=Padding(1, 0, 1, 0)
        ),
        ReLU(name=outputs[0]),
        Conv(
            name=f"{name}.tall.conv", inputs=(below,), channels=3, kernel=(5, 1), padding=Padding(0, 2, 0, 2)
        ),
        ReLU(name=outputs[1]),
        AvgPool(name=outputs[2], inputs=(below,), kernel=3, padding=_SAME),
        Concat(name=f"{name}.concat", inputs=outputs),
    ]


def maps_only() -> NetworkSpec:
    """Return a network that ends in feature maps and has no classes."""
    return NetworkSpec(
        name="maps",
        input_size=30,
        layers=(
            Conv(name="body.0", channels=4, kernel=3, stride=2),
            ReLU(name="body.1"),
            Conv(name="body.2", channels=5, kernel=3),
            ReLU(name="body.3"),
            Conv(name="body.4", channels=6, kernel=3, padding=_SAME),
            ReLU(name="body.5"),
            MaxPool(name="body.6", kernel=2, stride=2),
        ),
    )


ARCHITECTURES = {spec.name: spec for spec in (squeezing(), residual(), inception(), maps_only())}
