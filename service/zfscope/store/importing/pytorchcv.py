"""ZFNet of pytorchcv: `zfnet` and `zfnetb` of osmr/imgclsmob, with their published weights."""

from collections.abc import Mapping

from torch import Tensor

from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.networks.zfnet import classifier, deep_convolutions
from zfscope.store.importing.imported import (
    TORCHVISION_PREPROCESSING,
    ImportedModel,
    build_network,
    layer_widths,
    rename_tensors,
)

# Layer names of the store, mapped to those of the state dict.
NAMES = {
    "conv1": "features.stage1.unit1.conv",
    "conv2": "features.stage2.unit1.conv",
    "conv3": "features.stage3.unit1.conv",
    "conv4": "features.stage3.unit2.conv",
    "conv5": "features.stage3.unit3.conv",
    "fc6": "output.fc1.fc",
    "fc7": "output.fc2.fc",
    "fc8": "output.fc3",
}


def pytorchcv(tensors: Mapping[str, Tensor]) -> ImportedModel:
    """Return pytorchcv's ZFNet, of any width, from its state dict.

    Differs from Fig 3: conv1 is padded by 1 on all sides, and layers 1 and 2 are normalised before pooling,
    with alpha = 1e-4 over 5 feature maps and k = 2. Raises ValueError for the state dict of another network.
    """
    weights = rename_tensors(tensors, NAMES)
    spec = _spec(layer_widths(weights))
    return ImportedModel(
        network=build_network(spec, weights),
        preprocessing=TORCHVISION_PREPROCESSING,
        summary="ZFNet as pytorchcv defines it",
        notes=("conv1 is padded by 1 on all sides, and contrast is normalised before pooling, not after.",),
    )


def _spec(maps: Mapping[str, int]) -> NetworkSpec:
    if maps["fc6"] != maps["fc7"]:
        raise ValueError(f"fc6 has {maps['fc6']} units and fc7 has {maps['fc7']}; the numbers must be equal")
    first = Conv(name="conv1", channels=maps["conv1"], kernel=7, stride=2, padding=Padding(1, 1, 1, 1))
    second = Conv(name="conv2", channels=maps["conv2"], kernel=5, stride=2)
    return NetworkSpec(
        name="zfnet-pytorchcv",
        layers=(
            *_conv_block(first, 1),
            *_conv_block(second, 2),
            *deep_convolutions((maps["conv3"], maps["conv4"], maps["conv5"])),
            *classifier(maps["fc8"], maps["fc6"]),
        ),
    )


def _conv_block(conv: Conv, number: int) -> tuple[Layer, ...]:
    return (
        conv,
        ReLU(name=f"relu{number}"),
        LocalResponseNorm(name=f"norm{number}", alpha=1e-4),
        MaxPool(name=f"pool{number}", kernel=3, stride=2, rounding="ceil"),
    )
