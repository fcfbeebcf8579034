"""Networks as data: what a spec refuses, and its way to JSON and back."""

from typing import Any

import pytest
from pydantic import ValidationError

from zfscope.networks import NETWORKS, NetworkSpec
from zfscope.networks.layers import KINDS, Conv, Padding

CONV = {"kind": "conv", "name": "conv1", "channels": 4, "kernel": 3}
RELU = {"kind": "relu", "name": "relu1"}


def spec_of(*layers: dict[str, Any]) -> NetworkSpec:
    return NetworkSpec.model_validate({"name": "net", "layers": layers})


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_comes_back_from_json_as_it_was(name: str) -> None:
    spec = NETWORKS[name](classes=10, hidden=8)
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_branches_and_paddings_come_back_from_json_as_they_were(branchy_spec: NetworkSpec) -> None:
    assert NetworkSpec.model_validate_json(branchy_spec.model_dump_json()) == branchy_spec


def test_every_kind_of_layer_can_be_told_from_the_others_in_json() -> None:
    kinds = list(KINDS)
    assert len(set(kinds)) == len(kinds)
    with pytest.raises(ValidationError, match=", ".join(f"'{kind}'" for kind in kinds)):
        spec_of({"kind": "softmax", "name": "prob"})


def test_a_layer_reads_the_one_before_it_and_the_first_the_image() -> None:
    spec = spec_of(CONV, RELU, {"kind": "add", "name": "sum", "inputs": ["conv1", "relu1"]})
    assert spec.sources == {"conv1": ("input",), "relu1": ("conv1",), "sum": ("conv1", "relu1")}


def test_layers_are_found_by_name() -> None:
    assert spec_of(CONV, RELU).by_name["conv1"] == Conv(name="conv1", channels=4, kernel=3)


def test_what_a_layer_needs_is_all_that_it_is_computed_from() -> None:
    layers = [
        CONV,
        RELU,
        {"kind": "local_response_norm", "name": "norm1"},
        {**CONV, "name": "left", "inputs": ["norm1"]},
        {**CONV, "name": "right", "inputs": ["relu1"]},
        {"kind": "add", "name": "sum", "inputs": ["left", "right"]},
    ]
    spec = spec_of(*layers)
    assert [layer.name for layer in spec.needed_for(["left"])] == ["conv1", "relu1", "norm1", "left"]
    assert [layer.name for layer in spec.needed_for(["right", "conv1"])] == ["conv1", "relu1", "right"]
    assert spec.needed_for(["sum"]) == spec.layers
    assert spec.needed_for([]) == ()


def test_a_spec_cannot_be_changed() -> None:
    spec = spec_of(CONV)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]  # what the test is about
    with pytest.raises(ValidationError, match="frozen"):
        spec.layers[0].name = "other"  # type: ignore[misc]  # what the test is about


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least 1 item"),
        ([CONV, CONV], "layer name 'conv1' is not unique"),
        ([CONV | {"name": "input"}], "layer name 'input' is not unique"),
        ([RELU | {"inputs": ["conv1"]}, CONV], "layer 'relu1' reads 'conv1', which is not defined before it"),
        ([RELU | {"inputs": ["relu1"]}], "layer 'relu1' reads 'relu1', which is not defined before it"),
        ([CONV, RELU | {"inputs": ["input", "conv1"]}], "layer 'relu1' of kind relu reads 2 inputs"),
        ([CONV, {"kind": "concat", "name": "one"}], "layer 'one' of kind concat reads 1 inputs"),
        ([CONV, {"kind": "add", "name": "one", "inputs": ["conv1"]}], "concat and add read two or more"),
        (
            [CONV | {"padding": [3, 0, 0, 0]}],
            r"padding \(3, 0, 0, 0\) must lie in 0..2, below its kernel of 3",
        ),
        ([CONV | {"padding": [0, 0, -1, 0]}], r"padding \(0, 0, -1, 0\) must lie in 0..2"),
        ([CONV | {"channels": 0}], "greater than 0"),
        ([CONV | {"stride": 0}], "greater than 0"),
        ([CONV | {"groups": 2}], "Extra inputs are not permitted"),
        ([RELU | {"name": "a..b"}], "should match pattern"),
        ([RELU | {"name": "a."}], "should match pattern"),
        ([RELU | {"name": "../a"}], "should match pattern"),
        ([RELU | {"name": ""}], "should match pattern"),
        ([{"kind": "local_response_norm", "name": "norm", "size": 4}], "layer 'norm': size 4 must be odd"),
        ([{"kind": "dropout", "name": "drop", "rate": 1}], "less than 1"),
        ([{"kind": "max_pool", "name": "pool", "kernel": 2, "rounding": "up"}], "'floor' or 'ceil'"),
    ],
)
def test_what_makes_no_network_is_refused_by_name(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(*layers)


def test_a_network_is_known_by_the_fingerprint_that_indexes_have() -> None:
    """Of version 0.1.0: another one would refuse every index and training run that exists."""
    assert {name: NETWORKS[name]().fingerprint[:16] for name in NETWORKS} == {
        "zfnet": "8d9119607200c209",
        "zfnet-b": "6c61013fe85113ac",
        "alexnet": "6d775ade25691185",
    }


def test_defaults_and_the_name_are_no_part_of_a_fingerprint() -> None:
    said = CONV | {"stride": 1, "inputs": [], "padding": [0, 0, 0, 0]}
    one, other = spec_of(CONV), spec_of(said).model_copy(update={"name": "other"})
    assert one.fingerprint == other.fingerprint
    assert spec_of(CONV | {"stride": 2}).fingerprint != one.fingerprint
    assert spec_of(CONV | {"name": "conv.1"}).fingerprint != one.fingerprint


def test_padding_is_named_by_side() -> None:
    assert Padding(right=1, bottom=2) == (0, 0, 1, 2)
