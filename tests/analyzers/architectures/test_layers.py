"""Layers 1 and 2 of networks, and the lattices of their units."""

import pytest

from zfscope.errors import InputError
from zfscope.networks import NetworkSpec, zfnet
from zfscope.networks.alexnet import alexnet
from zfscope.networks.layer import Layer
from zfscope.networks.layers import AvgPool, Concat, Conv, Flatten, Linear, MaxPool, ReLU
from zfscope.networks.windows import Padding
from zfscope_analyzers.architectures.layers import Lattice, first_layers, lattices


def test_zfnet_lies_on_lattices_of_2_4_and_8_pixels() -> None:
    result = first_layers(zfnet())
    assert (result.first.name, result.second.name) == ("conv1", "conv2")
    assert result.lattices == (Lattice("conv1", 2, 1), Lattice("pool1", 4, 2), Lattice("conv2", 8, 4))


def test_alexnet_lies_on_lattices_of_4_and_8_pixels() -> None:
    assert first_layers(alexnet()).lattices == (Lattice("conv1", 4, 1), Lattice("pool1", 8, 4))


def test_conv5_of_zfnet_lies_on_lattices_of_up_to_16_pixels() -> None:
    network = zfnet()
    assert lattices(network, network.layer("conv5")) == (
        Lattice("conv1", 2, 1),
        Lattice("pool1", 4, 2),
        Lattice("conv2", 8, 4),
        Lattice("pool2", 16, 8),
    )


def spec(*layers: Layer) -> NetworkSpec:
    return NetworkSpec(name="odd", input_size=32, layers=layers)


def test_layers_without_a_stride_have_no_lattice() -> None:
    assert (
        first_layers(
            spec(Conv(name="a", channels=2, kernel=3), Conv(name="b", channels=2, kernel=3))
        ).lattices
        == ()
    )


def test_in_a_branching_network_layer_2_is_the_first_convolution_of_maps() -> None:
    around = Padding(1, 1, 1, 1)
    result = first_layers(
        spec(
            Conv(name="left", channels=2, kernel=3, stride=2, padding=around),
            Conv(name="right", inputs=("input",), channels=2, kernel=3, stride=2, padding=around),
            Concat(name="both", inputs=("left", "right")),
            Conv(name="above", channels=2, kernel=3, stride=3),
        )
    )
    assert (result.first.name, result.second.name) == ("left", "above")
    assert result.lattices == (Lattice("left", 2, 1), Lattice("above", 6, 2))


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ((Flatten(name="flat"), Linear(name="fc", units=2)), "none"),
        ((Conv(name="only", channels=2, kernel=3), ReLU(name="relu")), "only"),
        ((MaxPool(name="pool", kernel=2, stride=2), Conv(name="late", channels=2, kernel=3)), "late"),
        (
            (
                AvgPool(name="mean", kernel=2),
                Conv(name="late", channels=2, kernel=3),
                Conv(name="later", channels=2, kernel=3),
            ),
            "late, later",
        ),
    ],
)
def test_a_network_without_two_convolutions_is_rejected(layers: tuple[Layer, ...], names: str) -> None:
    message = rf"network 'odd' has no convolution of the image .*; its convolutions: {names}$"
    with pytest.raises(InputError, match=message) as caught:
        first_layers(spec(*layers))
    assert caught.value.field == "models"
