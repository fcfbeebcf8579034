"""Layers that represent a network: what analyses use by default, and what is listed first."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.architectures import ARCHITECTURES
from zfscope.networks import NETWORKS, NetworkSpec
from zfscope.networks.landmarks import (
    DefaultLayers,
    blocks,
    default_layers,
    last_convolution,
    middle_convolution,
    shortlist,
)
from zfscope.networks.layers import AvgPool, Conv, Flatten, Linear, ReLU
from zfscope.networks.spec import convolutional_part
from zfscope.networks.squeezenet import squeezenet
from zfscope.store import ModelStore

ROOT = Path(__file__).parents[2]
STORE = ModelStore(ROOT / "model_store")
# Those of the paper's figures and of its Table 1.
PAPER = DefaultLayers(
    first_activation="relu1",
    middle_convolution="conv3",
    last_convolution="conv5",
    last_activation="relu5",
    lower_features="pool5",
    upper_features="relu7",
)


def network(*layers: object, size: int = 8) -> NetworkSpec:
    return NetworkSpec(name="net", input_size=size, layers=layers)


def names_of(spec: NetworkSpec) -> list[str]:
    return [layer.name for layer in spec.layers]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_of_zfnet_and_alexnet_are_those_of_the_paper(name: str) -> None:
    assert default_layers(NETWORKS[name](classes=10, hidden=16)) == PAPER


@pytest.mark.parametrize("title", [(each.name, each.version) for each in STORE.manifests()])
def test_so_are_those_of_the_models_of_the_repository(title: tuple[str, int]) -> None:
    assert default_layers(STORE.manifest(*title).network) == PAPER


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "squeezing",
            (
                *("features.1", "features.3.expand3x3", "features.4.expand3x3"),
                *("features.4.expand3x3_activation", "features.4.cat", "flatten"),
            ),
        ),
        (
            "residual",
            ("relu", "layer1.1.conv2", "layer2.0.conv2", "layer2.0.relu_1", "layer2.0.relu_1", "flatten"),
        ),
        (
            "inception",
            ("stem.activ", "mixed2.wide.conv", "head.conv", "head.activ", "excited", "flatten"),
        ),
        ("maps", ("body.1", "body.2", "body.4", "body.5", "body.3", "body.6")),
    ],
)
def test_layers_follow_the_architecture(name: str, expected: tuple[str, ...]) -> None:
    assert tuple(vars(default_layers(ARCHITECTURES[name])).values()) == expected


def test_a_convolution_with_a_map_per_class_is_part_of_the_classifier() -> None:
    assert default_layers(squeezenet()) == DefaultLayers(
        first_activation="relu1",
        middle_convolution="fire5-expand3",
        last_convolution="fire9-expand3",
        last_activation="fire9-expand3-relu",
        lower_features="fire9",
        upper_features="scores",
    )
    assert last_convolution(squeezenet(), ["conv1", "conv10"]) == "conv1"
    assert last_convolution(squeezenet(), ["conv10"]) == "conv10"


def test_the_only_convolution_represents_a_network_even_with_a_map_per_class() -> None:
    spec = network(
        Conv(name="conv", channels=3, kernel=3), AvgPool(name="mean", kernel=6), Flatten(name="scores")
    )
    assert set(default_layers(spec).names) == {"conv", "scores"}


def test_a_single_convolution_is_first_middle_and_last() -> None:
    known = default_layers(network(Conv(name="only", channels=2, kernel=3)))
    assert set(vars(known).values()) == {"only"}
    assert known.names == ("only",)


def test_a_network_without_convolutions_is_represented_by_its_last_layer_with_maps() -> None:
    spec = network(AvgPool(name="mean", kernel=2), Flatten(name="flat"), Linear(name="scores", units=3))
    known = default_layers(spec)
    assert known.last_convolution == known.middle_convolution == known.lower_features == "mean"
    assert known.upper_features == "scores"


def test_a_network_of_units_only_has_default_layers_too() -> None:
    spec = network(Flatten(name="flat"), Linear(name="hidden", units=3), ReLU(name="relu"))
    assert default_layers(spec).last_convolution in names_of(spec)


def test_a_classifier_that_reads_the_last_maps_has_the_scores_as_upper_features() -> None:
    spec = network(
        Conv(name="conv", channels=2, kernel=3), Flatten(name="flat"), Linear(name="scores", units=3)
    )
    assert default_layers(spec).lower_features == "conv"
    assert default_layers(spec).upper_features == "scores"


def test_a_convolution_beside_the_path_to_the_scores_is_not_the_last() -> None:
    spec = network(
        Conv(name="conv", channels=2, kernel=3),
        Conv(name="aside", channels=2, kernel=3),
        ReLU(name="relu", inputs=("conv",)),
    )
    assert default_layers(spec).last_convolution == "conv"


def test_an_activation_behind_a_pooling_is_not_that_of_the_convolution() -> None:
    spec = network(
        Conv(name="conv", channels=2, kernel=3), AvgPool(name="mean", kernel=2, stride=2), ReLU(name="relu")
    )
    assert default_layers(spec).last_activation == "conv"


def test_the_last_convolution_lies_among_the_given_layers() -> None:
    spec = ARCHITECTURES["residual"]
    assert last_convolution(spec, spec.convolutions) == "layer2.0.conv2"
    assert last_convolution(spec, ["layer1.0.conv1", "conv1", "relu"]) == "layer1.0.conv1"
    assert last_convolution(spec, ["fc", "relu", "bn1"]) == "relu"
    assert last_convolution(spec, ["fc"]) == "fc"


def test_so_does_the_middle_one() -> None:
    spec = ARCHITECTURES["residual"]
    assert middle_convolution(spec, spec.convolutions) == default_layers(spec).middle_convolution
    assert middle_convolution(spec, ["conv1", "layer1.0.conv1", "layer2.0.conv2"]) == "layer1.0.conv1"
    assert middle_convolution(spec, ["fc", "relu"]) == "relu"


def test_blocks_of_a_residual_network_are_its_sums_and_the_ends_of_its_stages() -> None:
    listed = blocks(ARCHITECTURES["residual"])
    assert {"layer1.0.add", "layer1.1.add", "layer1.1.relu_1", "layer2.0.add", "fc"} <= set(listed)
    assert not {"layer1.0.bn1", "layer1.0.conv1", "layer2.0.downsample.0"} & set(listed)


def test_blocks_of_branches_are_their_joins_but_not_gates() -> None:
    listed = blocks(ARCHITECTURES["inception"])
    assert {"mixed1.concat", "mixed2.concat"} <= set(listed)
    assert not {"head.sigmoid", "squeeze.conv", "mixed1.wide.activ"} & set(listed)


def test_blocks_of_a_plain_network_are_its_convolutions_and_fully_connected_layers() -> None:
    listed = blocks(NETWORKS["zfnet"](classes=10, hidden=16))
    assert {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"} <= set(listed)
    assert not {"flatten", "drop6", "relu3"} & set(listed)


@pytest.mark.parametrize("spec", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_blocks_are_in_order_and_include_the_defaults(spec: NetworkSpec) -> None:
    listed, order = blocks(spec), names_of(spec)
    assert list(listed) == sorted(listed, key=order.index)
    assert {*default_layers(spec).names, spec.scores} <= set(listed)


def test_a_shortlist_of_many_blocks_is_evenly_spaced() -> None:
    many = [layer for number in range(60) for layer in _cell(f"cell{number}")]
    spec = network(*many, size=200)
    chosen = shortlist(spec, names_of(spec), 12)
    assert len(chosen) == 12
    assert list(chosen) == sorted(chosen, key=names_of(spec).index)
    order = names_of(spec)
    gaps = [order.index(later) - order.index(name) for name, later in pairwise(chosen)]
    assert max(gaps) <= 40


def _cell(name: str) -> tuple[Conv, ReLU]:
    return Conv(name=f"{name}.conv", channels=2, kernel=3), ReLU(name=f"{name}.relu")


def test_a_shortlist_of_few_layers_has_them_all() -> None:
    spec = ARCHITECTURES["maps"]
    assert shortlist(spec, ["body.1", "body.3"], 12) == ("body.1", "body.3")


def test_a_shortlist_without_blocks_has_the_first_layers() -> None:
    spec = NETWORKS["zfnet"](classes=10, hidden=16)
    assert shortlist(spec, ["flatten", "drop6", "relu3"], 2) == ("flatten", "drop6")


def test_the_middle_convolution_is_held_by_checkpoints() -> None:
    for spec in ARCHITECTURES.values():
        held = [layer.name for layer in convolutional_part(spec).layers]
        assert middle_convolution(spec, held) in held
