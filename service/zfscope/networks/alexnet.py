"""AlexNet (Krizhevsky et al. 2012) in a single tower, the paper's baseline."""

from zfscope.networks.layers import Conv
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.windows import Padding
from zfscope.networks.zfnet import classifier, deep_convolutions, stem


def alexnet(*, classes: int = 1000, hidden: int = 4096) -> NetworkSpec:
    """Return AlexNet: filters of 11 x 11 with stride 4, then 5 x 5 with stride 1.

    As in the paper's replication, layers 2, 4 and 5 are connected to all maps instead of being split over two
    GPUs. The order of ReLU, pooling and normalisation is that of ZFNet, so that the two networks differ only
    in the changes of Sec 4.1. Maps have 55, 27, 27, 13, 13, 13, 13 and 6 pixels; crops of 224 pixels are
    padded to 227.
    """
    first = Conv(name="conv1", channels=96, kernel=11, stride=4, padding=Padding(1, 1, 2, 2))
    second = Conv(name="conv2", channels=256, kernel=5, padding=Padding(2, 2, 2, 2))
    return NetworkSpec(
        name="alexnet",
        layers=(*stem(first, second), *deep_convolutions((384, 384, 256)), *classifier(classes, hidden)),
    )
