"""Layers by name or unique suffix, and lists of layers in messages."""

import pytest

from tests.support.architectures import ARCHITECTURES
from zfscope.errors import InputError, NotFound
from zfscope.networks import NetworkSpec
from zfscope.networks.landmarks import blocks
from zfscope.networks.layers import Conv
from zfscope.networks.lookup import LIST_ALL, complete_name, layer_names, list_layers

SPEC = ARCHITECTURES["residual"]


def deep(count: int) -> NetworkSpec:
    """Return a network of many residual blocks without the residuals: `block0.conv`, `block1.conv` ..."""
    layers = tuple(Conv(name=f"block{number}.conv", channels=1, kernel=1) for number in range(count))
    return NetworkSpec(name="deep", input_size=4, layers=layers)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("layer1.0.conv2", "layer1.0.conv2"),
        ("1.0.conv2", None),  # suffixes start after a dot
        ("0.downsample.0", "layer2.0.downsample.0"),
        ("downsample.1", "layer2.0.downsample.1"),
        ("relu", "relu"),  # a whole name is preferred to a suffix of others
        ("fc", "fc"),
    ],
)
def test_a_name_or_a_unique_suffix_identifies_a_layer(name: str, full: str | None) -> None:
    if full is None:
        with pytest.raises(NotFound):
            SPEC.layer(name)
    else:
        assert SPEC.layer(name).name == full


def test_an_ambiguous_suffix_is_an_error_with_the_candidates() -> None:
    with pytest.raises(InputError) as error:
        SPEC.layer("conv2", field="layers[1]")
    assert error.value.field == "layers[1]"
    assert error.value.message == (
        "layer 'conv2' is ambiguous; 3 layers end in '.conv2': layer1.0.conv2, layer1.1.conv2, "
        "layer2.0.conv2; use more of the name"
    )


def test_many_candidates_are_counted() -> None:
    with pytest.raises(InputError, match=r"40 layers end in '\.conv': block0\.conv, .* \.\.\. and 28 more;"):
        deep(40).layer("conv")


def test_an_unknown_layer_is_an_error_with_a_short_list_and_the_nearest_name() -> None:
    with pytest.raises(NotFound) as error:
        SPEC.layer("layer2.0.covn2", field="layer")
    message = error.value.message
    available = message.partition("available: ")[2].partition(" ... and ")[0].split(", ")
    assert available == list(blocks(SPEC))
    assert f" ... and {len(SPEC.layers) - len(available)} more ({LIST_ALL})" in message
    assert message.endswith("; did you mean 'layer2.0.conv2'?")


@pytest.mark.parametrize("name", ["", ".", "x" * 100_000])
def test_odd_names_are_unknown(name: str) -> None:
    with pytest.raises(NotFound) as error:
        SPEC.layer(name)
    assert len(error.value.message) < 600


def test_a_list_of_few_layers_is_complete() -> None:
    assert list_layers(SPEC, ["conv1", "fc"]) == "conv1, fc"


def test_several_layers_have_their_full_names() -> None:
    assert layer_names(SPEC, ["downsample.0", "fc"]) == ("layer2.0.downsample.0", "fc")


def test_a_layer_named_twice_in_different_ways_is_rejected() -> None:
    with pytest.raises(
        InputError, match=r"^layer 'layer2\.0\.downsample\.0' is named more than once$"
    ) as error:
        layer_names(SPEC, ["downsample.0", "layer2.0.downsample.0"])
    assert error.value.field == "layers[1]"


def test_names_are_completed_among_the_given_ones_only() -> None:
    assert complete_name(["a.conv", "relu"], "conv") == "a.conv"
    assert complete_name(["a.conv", "relu"], "pool") is None
