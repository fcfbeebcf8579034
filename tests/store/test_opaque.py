"""Opaque models in the store: a graph with its manifest, verified like weights."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.opaque_models import NAMES, add_opaque_model, opaque_network
from zfscope.errors import DamagedModel, InputError
from zfscope.networks.layers import ReLU
from zfscope.store import Manifest, Model, ModelStore, require_layers


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return add_opaque_model(tmp_path, "vit")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_stored_with_its_graph(name: str, tmp_path: Path) -> None:
    model, network = add_opaque_model(tmp_path, name), opaque_network(name)
    assert model.is_opaque
    assert model.graph == network.graph == (tmp_path / name / "1" / "graph.onnx").read_bytes()
    assert model.spec == network.spec
    assert model.manifest.graph == network.info
    assert model.manifest.parameters == network.info.parameters > 0
    assert ModelStore(tmp_path).verify(name) == model.manifest


def test_its_card_names_the_operator_in_the_way(model: Model) -> None:
    assert model.folder is not None
    card = (model.folder / "README.md").read_text()
    assert (
        f"an opaque graph, which ONNX Runtime runs as a whole: {opaque_network('vit').info.obstacle}." in card
    )


def test_a_changed_graph_is_detected(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "vit" / "1" / "graph.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedModel, match=r"'graph\.onnx'"):
        ModelStore(tmp_path).load("vit")


def test_a_missing_graph_is_listed_as_damage(model: Model, tmp_path: Path) -> None:
    (tmp_path / "vit" / "1" / "graph.onnx").unlink()
    (entry,) = ModelStore(tmp_path).listing()
    assert not isinstance(entry, Manifest)
    assert "graph.onnx" in entry.reason


def test_there_is_no_network_to_walk(model: Model) -> None:
    reason = r"model 'vit' version 1 is an opaque graph, not a list of layers \(Concat '.*'\)"
    for attempt in (
        lambda: model.network,
        lambda: model.network_in("bfloat16"),
        lambda: require_layers(model.manifest),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            attempt()
        assert caught.value.field == "model"


def test_a_manifest_has_a_graph_or_layers(model: Model) -> None:
    values = json.loads(model.manifest.model_dump_json())
    assert Manifest.model_validate(values) == model.manifest
    with pytest.raises(ValueError, match="a network of tensors needs 'graph'"):
        Manifest.model_validate({**values, "graph": None})


def test_layers_of_both_sorts_are_not_mixed(model: Model) -> None:
    values = json.loads(model.spec.model_dump_json())
    mixed = {**values, "layers": [*values["layers"], ReLU(name="relu").model_dump()]}
    with pytest.raises(ValueError, match="layers of kind graph_tensor are mixed with others"):
        type(model.spec).model_validate(mixed)


def test_the_fingerprint_depends_on_the_tensors(model: Model) -> None:
    first, *others = model.spec.layers
    renamed = model.spec.model_copy(update={"layers": (first.model_copy(update={"tensor": "x"}), *others)})
    assert renamed.fingerprint != model.spec.fingerprint


def test_images_are_those_of_the_preprocessing(model: Model) -> None:
    assert model.preprocessing.crop == model.spec.input_size == 32
    assert model.mean_image is None
    assert np.isclose(model.preprocessing.mean, (120, 110, 100)).all()
