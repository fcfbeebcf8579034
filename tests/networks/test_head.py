"""New class scores: which layer is replaced, and what is added without one."""

import pytest

from tests.support.imported_networks import (
    residual,
    scores_after_pooling,
    squeeze_and_excitation,
    squeezenet_like,
    without_classes,
)
from tests.support.random_networks import random_spec
from zfscope.networks import NetworkSpec
from zfscope.networks.head import replace_head
from zfscope.networks.layers import (
    Activation,
    Add,
    AvgPool,
    Conv,
    Flatten,
    Linear,
    PReLU,
    Scale,
    SelectMaps,
)
from zfscope.networks.spec import shapes, tensor_shapes


def tail(*layers: Linear | Scale | Activation | Add | SelectMaps | PReLU) -> NetworkSpec:
    body = (Conv(name="conv", channels=4, kernel=3), AvgPool(name="pool", kernel=6), Flatten(name="flatten"))
    return NetworkSpec(name="tail", input_size=8, layers=(*body, *layers))


@pytest.mark.parametrize(
    ("spec", "replaced"),
    [
        (residual(), "fc"),
        (squeeze_and_excitation(), "classifier"),
        (squeezenet_like(), "output.conv"),
        (scores_after_pooling(), "output"),
        (tail(Linear(name="a", units=4), Linear(name="b", units=6, bias=False)), "b"),
        (tail(Linear(name="fc", units=6), Activation(name="sigmoid", function="sigmoid")), "fc"),
    ],
)
def test_the_layer_of_the_scores_gets_the_new_classes(spec: NetworkSpec, replaced: str) -> None:
    head = replace_head(spec, 3)
    assert shapes(head.spec)[head.spec.scores] == (3,)
    assert head.new_layers == {replaced}
    changed = [new.name for new, old in zip(head.spec.layers, spec.layers, strict=True) if new != old]
    assert changed == [replaced]


def test_weights_per_class_after_the_scores_are_new() -> None:
    head = replace_head(tail(Linear(name="fc", units=6), Scale(name="norm"), PReLU(name="slope")), 3)
    assert head.new_layers == {"fc", "norm", "slope"}
    assert shapes(head.spec)[head.spec.scores] == (3,)


def test_a_network_that_ends_in_maps_gets_pooling_and_a_layer() -> None:
    spec = without_classes()
    head = replace_head(spec, 3)
    added = head.spec.layers[len(spec.layers) :]
    assert head.spec.layers[: len(spec.layers)] == spec.layers
    assert [(layer.kind, layer.name) for layer in added] == [
        ("avg_pool", "new_pool"),
        ("flatten", "flatten"),
        ("linear", "scores"),
    ]
    assert shapes(head.spec)["new_pool"] == (8, 1, 1)
    assert head.new_layers == {"scores"}


@pytest.mark.parametrize(
    "spec",
    [
        tail(),
        tail(
            Linear(name="a", units=3),
            Linear(name="b", inputs=("flatten",), units=3),
            Add(name="sum", inputs=("a", "b")),
        ),
        tail(Linear(name="a", units=4), SelectMaps(name="some", maps=(0, 2))),
    ],
    ids=["features", "sum", "selection"],
)
def test_scores_that_no_single_layer_computes_get_a_layer_on_top(spec: NetworkSpec) -> None:
    head = replace_head(spec, 5)
    if spec.scores == "flatten":  # the mean of a convolution's maps: as in SqueezeNet, they are scores
        assert head.new_layers == {"conv"}
    else:
        assert (head.spec.layers[:-1], head.new_layers) == (spec.layers, {"scores"})
    assert shapes(head.spec)[head.spec.scores] == (5,)


def test_a_grouped_convolution_is_kept() -> None:
    layers = (Conv(name="conv", channels=6, kernel=8, groups=3), Flatten(name="flatten"))
    head = replace_head(NetworkSpec(name="grouped", input_size=8, layers=layers), 4)
    assert head.new_layers == {"scores"}


@pytest.mark.parametrize("seed", range(20))
def test_layers_other_than_the_new_ones_keep_the_shapes_of_their_weights(seed: int) -> None:
    spec = random_spec(seed)
    head = replace_head(spec, 3)
    before, after = tensor_shapes(spec), tensor_shapes(head.spec)
    assert shapes(head.spec)[head.spec.scores] == (3,)
    kept = {name for name in after if name.rpartition(".")[0] not in head.new_layers}
    assert {name: after[name] for name in kept} == {
        name: shape for name, shape in before.items() if name.rpartition(".")[0] not in head.new_layers
    }
