"""Networks as data: validation, JSON and fingerprints."""

from typing import Any

import pytest
from pydantic import ValidationError

from zfscope.networks import NETWORKS, NetworkSpec
from zfscope.networks.layer import KINDS
from zfscope.networks.layers import Conv
from zfscope.networks.windows import Padding

CONV = {"kind": "conv", "name": "conv1", "channels": 4, "kernel": 3}
RELU = {"kind": "relu", "name": "relu1"}


def spec_of(*layers: dict[str, Any]) -> NetworkSpec:
    return NetworkSpec.model_validate({"name": "net", "layers": layers})


@pytest.mark.parametrize("name", NETWORKS)
def test_json_preserves_a_network(name: str) -> None:
    spec = NETWORKS[name](classes=10, hidden=8)
    assert NetworkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_json_preserves_branches_and_padding(branchy_spec: NetworkSpec) -> None:
    assert NetworkSpec.model_validate_json(branchy_spec.model_dump_json()) == branchy_spec


def test_an_unknown_kind_is_rejected_with_the_known_ones() -> None:
    kinds = list(KINDS)
    assert len(set(kinds)) == len(kinds)
    with pytest.raises(ValidationError, match=", ".join(f"'{kind}'" for kind in kinds)):
        spec_of({"kind": "softmax", "name": "prob"})


def test_the_default_input_is_the_layer_before_or_the_image() -> None:
    spec = spec_of(CONV, RELU, {"kind": "add", "name": "sum", "inputs": ["conv1", "relu1"]})
    assert spec.sources == {"conv1": ("input",), "relu1": ("conv1",), "sum": ("conv1", "relu1")}


def test_layers_are_available_by_name() -> None:
    assert spec_of(CONV, RELU).by_name["conv1"] == Conv(name="conv1", channels=4, kernel=3)


def test_needed_layers_are_all_that_a_layer_depends_on() -> None:
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


def test_a_spec_is_immutable() -> None:
    spec = spec_of(CONV)
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]  # expected to fail
    with pytest.raises(ValidationError, match="frozen"):
        spec.layers[0].name = "other"  # type: ignore[misc]  # expected to fail


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
        (
            [CONV, {"kind": "add", "name": "one", "inputs": ["conv1"]}],
            "concat, add and multiply read two or more",
        ),
        (
            [CONV, {"kind": "max_pool", "name": "pool", "kernel": 3, "padding": [3, 0, 0, 0]}],
            r"layer 'pool': padding \(3, 0, 0, 0\) must be smaller than its windows of 3 x 3",
        ),
        ([CONV | {"padding": [0, 0, -1, 0]}], r"padding \(0, 0, -1, 0\) must not be negative"),
        ([CONV | {"channels": 0}], "greater than 0"),
        ([CONV | {"stride": 0}], "greater than 0"),
        ([CONV | {"colour": 2}], "Extra inputs are not permitted"),
        ([RELU | {"name": "a..b"}], "should match pattern"),
        ([RELU | {"name": "a."}], "should match pattern"),
        ([RELU | {"name": "../a"}], "should match pattern"),
        ([RELU | {"name": ""}], "should match pattern"),
        ([{"kind": "local_response_norm", "name": "norm", "size": 4}], "layer 'norm': size 4 must be odd"),
        ([{"kind": "dropout", "name": "drop", "rate": 1}], "less than 1"),
        ([{"kind": "max_pool", "name": "pool", "kernel": 2, "rounding": "up"}], "'floor' or 'ceil'"),
    ],
)
def test_an_invalid_network_is_rejected_by_name(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(*layers)


def test_fingerprints_equal_those_of_version_0_1_0() -> None:
    """Other fingerprints would invalidate all existing indexes and training runs."""
    assert {name: NETWORKS[name]().fingerprint[:16] for name in NETWORKS} == {
        "zfnet": "8d9119607200c209",
        "zfnet-b": "6c61013fe85113ac",
        "alexnet": "6d775ade25691185",
    }


def test_a_fingerprint_depends_on_neither_name_nor_explicit_defaults() -> None:
    explicit = CONV | {"stride": 1, "inputs": [], "padding": [0, 0, 0, 0]}
    spec, renamed = spec_of(CONV), spec_of(explicit).model_copy(update={"name": "other"})
    assert spec.fingerprint == renamed.fingerprint
    assert spec_of(CONV | {"stride": 2}).fingerprint != spec.fingerprint
    assert spec_of(CONV | {"name": "conv.1"}).fingerprint != spec.fingerprint


def test_padding_is_given_by_side() -> None:
    assert Padding(right=1, bottom=2) == (0, 0, 1, 2)
