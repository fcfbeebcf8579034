"""Stages of networks: their layers 1, 2 and so on, and the activations of these."""

from zfscope.networks import NetworkSpec, zfnet
from zfscope.networks.layers import Conv, MaxPool, ReLU, Scale
from zfscope.networks.spec import convolutional_part
from zfscope.networks.squeezenet import squeezenet
from zfscope.networks.stages import activation_of, deep_stages, rectified_stages, stages


def test_the_stages_of_zfnet_are_its_convolutions_and_fully_connected_layers() -> None:
    convolutions = ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert stages(zfnet(), has_classes=True) == (*convolutions, "fc6", "fc7")
    assert stages(convolutional_part(zfnet()), has_classes=False) == convolutions
    assert deep_stages(zfnet(), has_classes=True) == ("conv3", "conv4", "conv5")
    assert rectified_stages(zfnet(), has_classes=True) == tuple(f"relu{n}" for n in range(1, 8))


def test_the_stages_of_squeezenet_join_branches() -> None:
    fires = tuple(f"fire{number}" for number in range(2, 10))
    assert stages(squeezenet(), has_classes=True) == ("conv1", *fires)
    assert deep_stages(squeezenet(), has_classes=True) == ("fire7", "fire8", "fire9")
    assert rectified_stages(squeezenet(), has_classes=True) == ("relu1", *fires)


def test_an_activation_function_is_found_behind_a_normalisation_but_not_behind_a_pool() -> None:
    spec = NetworkSpec(
        name="odd",
        input_size=16,
        layers=(
            Conv(name="a", channels=2, kernel=3),
            Scale(name="norm"),
            ReLU(name="relu-a"),
            Conv(name="b", channels=2, kernel=3),
            MaxPool(name="pool", kernel=2, stride=2),
            ReLU(name="relu-b"),
        ),
    )
    assert (activation_of(spec, "a"), activation_of(spec, "b")) == ("relu-a", "b")
