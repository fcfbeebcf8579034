"""AlexNet as the paper's baseline: Krizhevsky et al. 2012, in one tower."""

from zfscope.networks.layers import Conv, Padding
from zfscope.networks.spec import NetworkSpec
from zfscope.networks.zfnet import classifier, deep_convolutions, stem


def alexnet(*, classes: int = 1000, hidden: int = 4096) -> NetworkSpec:
    """Give the network that ZFNet repaired: 11 x 11 filters with stride 4, then 5 x 5 with stride 1.

    Layers 2, 4 and 5 see all maps, as the paper's own replication does (not split over two GPUs).
    The order relu, pool, norm is that of ZFNet, so that only what Sec 4.1 changes differs.
    Maps of 55, 27, 27, 13, 13, 13, 13 and 6 pixels, from a 224 pixel crop padded to 227.
    """
    first = Conv(name="conv1", channels=96, kernel=11, stride=4, padding=Padding(1, 1, 2, 2))
    second = Conv(name="conv2", channels=256, kernel=5, padding=Padding(2, 2, 2, 2))
    return NetworkSpec(
        name="alexnet",
        layers=(*stem(first, second), *deep_convolutions((384, 384, 256)), *classifier(classes, hidden)),
    )
