"""AlexNet of torchvision: Krizhevsky's "one weird trick" network of 2014, without normalisation."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, Dropout, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.store.importing.imported import (
    TORCHVISION_PREPROCESSING,
    ImportedModel,
    build_network,
    layer_widths,
    rename_tensors,
)

# Layer names of the store, mapped to those of the state dict.
NAMES = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


def torchvision_alexnet(tensors: Mapping[str, Tensor]) -> ImportedModel:
    """Return torchvision's AlexNet from its state dict.

    The adaptive pool to 6 x 6 is left out: at 224 pixels its input is 6 x 6 already. Raises ValueError for
    the state dict of another network.
    """
    weights = rename_tensors(tensors, NAMES)
    return ImportedModel(
        network=build_network(_spec(layer_widths(weights)), weights),
        preprocessing=TORCHVISION_PREPROCESSING,
        summary="AlexNet as torchvision defines it",
        notes=("It has 64, 192, 384, 256 and 256 feature maps, and no contrast normalisation.",),
    )


def features_spec(maps: Mapping[str, int]) -> NetworkSpec:
    """Return the layers up to `pool5` (maps of 55, 27, 13, 6 pixels). maps: number by convolution."""
    return NetworkSpec(name="alexnet-torchvision-features", layers=tuple(_features(maps)))


def _spec(maps: Mapping[str, int]) -> NetworkSpec:
    classifier = (
        Flatten(name="flatten"),
        Dropout(name="drop6"),
        Linear(name="fc6", units=maps["fc6"]),
        ReLU(name="relu6"),
        Dropout(name="drop7"),
        Linear(name="fc7", units=maps["fc7"]),
        ReLU(name="relu7"),
        Linear(name="fc8", units=maps["fc8"]),
    )
    return NetworkSpec(name="alexnet-torchvision", layers=(*_features(maps), *classifier))


def _features(maps: Mapping[str, int]) -> Sequence[Layer]:
    wide, narrow = Padding(2, 2, 2, 2), Padding(1, 1, 1, 1)
    return (
        Conv(name="conv1", channels=maps["conv1"], kernel=11, stride=4, padding=wide),
        ReLU(name="relu1"),
        MaxPool(name="pool1", kernel=3, stride=2),
        Conv(name="conv2", channels=maps["conv2"], kernel=5, padding=wide),
        ReLU(name="relu2"),
        MaxPool(name="pool2", kernel=3, stride=2),
        Conv(name="conv3", channels=maps["conv3"], kernel=3, padding=narrow),
        ReLU(name="relu3"),
        Conv(name="conv4", channels=maps["conv4"], kernel=3, padding=narrow),
        ReLU(name="relu4"),
        Conv(name="conv5", channels=maps["conv5"], kernel=3, padding=narrow),
        ReLU(name="relu5"),
        MaxPool(name="pool5", kernel=3, stride=2),
    )
