"""ZF as in the Caffe detectors of 2015 (py-faster-rcnn), which normalise within each feature map."""

from collections.abc import Mapping

from torch import Tensor

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.layer import Layer
from zfscope.networks.layers import Conv, LocalResponseNorm, MaxPool, ReLU
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.store.importing.imported import ImportedModel, build_network, layer_widths, rename_tensors

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


def caffe_zf(tensors: Mapping[str, Tensor]) -> ImportedModel:
    """Return ZF up to `relu5` from the blobs `conv1.weight`, `conv1.bias` and so on; ignore detection heads.

    The layers after conv5 read regions (RoI pooling, fc6, fc7, the proposals), and the pooling of the
    ImageNet classifier is not published. Raises ValueError if a blob is missing or has the wrong shape.
    """
    own = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] in LAYERS}
    weights = rename_tensors(own, {layer: layer for layer in LAYERS})
    return ImportedModel(
        network=build_network(_spec(layer_widths(weights)), weights),
        preprocessing=Preprocessing(channels="BGR", mean=(102.9801, 115.9465, 122.7717)),
        summary="The convolutional layers of ZF as in the Caffe detectors",
        notes=(
            "Contrast is normalised within each feature map, over 3 x 3 positions, before pooling.",
            "The layers after conv5, which read regions in a detector, are left out: it does not classify.",
        ),
    )


def _spec(maps: Mapping[str, int]) -> NetworkSpec:
    padding = Padding(1, 1, 1, 1)
    first = Conv(name="conv1", channels=maps["conv1"], kernel=7, stride=2, padding=Padding(3, 3, 3, 3))
    second = Conv(name="conv2", channels=maps["conv2"], kernel=5, stride=2, padding=Padding(2, 2, 2, 2))
    deep = [
        layer
        for number in (3, 4, 5)
        for layer in (
            Conv(name=f"conv{number}", channels=maps[f"conv{number}"], kernel=3, padding=padding),
            ReLU(name=f"relu{number}"),
        )
    ]
    return NetworkSpec(name="zf-caffe", layers=(*_conv_block(first, 1), *_conv_block(second, 2), *deep))


def _conv_block(conv: Conv, number: int) -> tuple[Layer, ...]:
    """Return conv, ReLU, norm, pool. Caffe: alpha 5e-5 times the mean of 9 squares, k = 1, ceil pooling."""
    return (
        conv,
        ReLU(name=f"relu{number}"),
        LocalResponseNorm(name=f"norm{number}", region="within_map", size=3, alpha=5e-5, k=1.0),
        MaxPool(name=f"pool{number}", kernel=3, stride=2, rounding="ceil", padding=Padding(1, 1, 1, 1)),
    )
