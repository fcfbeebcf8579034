"""The networks of the paper: shapes and numbers of parameters."""

import pytest

from zfscope.networks import NETWORKS, alexnet, zfnet, zfnet_b
from zfscope.networks.layers import Conv, LocalResponseNorm
from zfscope.networks.spec import NetworkSpec, multiplications, parameter_count, shapes


def main_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Return the shapes of convolutional, pooling and fully connected layers."""
    known = shapes(spec)
    return {name: shape for name, shape in known.items() if name.startswith(("conv", "pool", "fc"))}


def test_zfnet_has_the_maps_of_figure_3() -> None:
    assert main_shapes(zfnet()) == {
        "conv1": (96, 110, 110),
        "pool1": (96, 55, 55),
        "conv2": (256, 26, 26),
        "pool2": (256, 13, 13),
        "conv3": (384, 13, 13),
        "conv4": (384, 13, 13),
        "conv5": (256, 13, 13),
        "pool5": (256, 6, 6),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    }


def test_zfnet_b_is_wider_in_layers_3_to_5_only() -> None:
    changed = {
        "conv3": (512, 13, 13),
        "conv4": (1024, 13, 13),
        "conv5": (512, 13, 13),
        "pool5": (512, 6, 6),
    }
    assert main_shapes(zfnet_b()) == main_shapes(zfnet()) | changed


def test_alexnet_differs_from_zfnet_in_layers_1_and_2() -> None:
    changed = {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27)}
    assert main_shapes(alexnet()) == main_shapes(zfnet()) | changed
    first = alexnet().by_name["conv1"]
    assert isinstance(first, Conv)
    assert (first.kernel, first.stride) == (11, 4)


def test_layers_1_and_2_have_relu_pooling_and_normalisation() -> None:
    names = [layer.name for layer in zfnet().layers]
    assert names[:8] == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "pool2", "norm2"]
    assert [layer.name for layer in zfnet().layers if isinstance(layer, LocalResponseNorm)] == [
        "norm1",
        "norm2",
    ]


@pytest.mark.parametrize(
    ("name", "count"), [("zfnet", 62_357_608), ("zfnet-b", 107_627_624), ("alexnet", 62_378_344)]
)
def test_the_number_of_parameters_is_exact(name: str, count: int) -> None:
    assert parameter_count(NETWORKS[name]()) == count


def test_zfnet_takes_1168_million_multiply_adds_per_image() -> None:
    assert round(multiplications(zfnet()) / 1e6) == 1168


def test_the_width_of_the_classifier_and_the_classes_can_be_set() -> None:
    known = main_shapes(zfnet(classes=10, hidden=1024))
    assert (known["fc6"], known["fc7"], known["fc8"]) == ((1024,), (1024,), (10,))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_listed_under_their_names(name: str) -> None:
    assert NETWORKS[name]().name == name
