"""Loading a model: validation, and the error messages."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.store.conftest import TITLE, WEIGHTS, edit_manifest, rehash, replace_weights, store_of
from zfscope.errors import DamagedModel, InputError, NotFound
from zfscope.networks import Network, NetworkSpec
from zfscope.store import Manifest, ModelStore

Write = Callable[..., Path]


def test_a_model_loads_as_it_was_written(write: Write, network: Network, manifest: Manifest) -> None:
    model = store_of(write()).load("tiny-net")
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert (model.name, model.version, model.labels) == ("tiny-net", 1, manifest.labels)
    assert model.preprocessing == manifest.preprocessing
    assert model.mean_image is None
    torch.testing.assert_close(model.network(images), network(images).detach(), atol=1e-2, rtol=1e-2)


def test_a_loaded_model_knows_its_folder(write: Write) -> None:
    folder = write()
    assert store_of(folder).load("tiny-net").folder == folder == store_of(folder).folder("tiny-net")


def test_half_precision_becomes_float32_without_any_further_loss(write: Write, network: Network) -> None:
    loaded = store_of(write()).load("tiny-net").network.layers.state_dict()
    for name, tensor in network.layers.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.half().float())


def test_a_loaded_network_is_in_evaluation_mode_without_gradients(write: Write) -> None:
    network = store_of(write()).load("tiny-net").network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_loaded_model_is_unaffected_by_later_changes_to_its_file(write: Write) -> None:
    folder = write()
    model = store_of(folder).load("tiny-net")
    before = {name: tensor.clone() for name, tensor in model.network.layers.state_dict().items()}
    (folder / WEIGHTS).write_bytes(b"\0" * (folder / WEIGHTS).stat().st_size)
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in model.network.layers.state_dict().items()
    )


def test_the_default_version_is_the_highest_number(write: Write) -> None:
    for version in (2, 10, 9):
        folder = write(version=version)
    assert store_of(folder).load("tiny-net").version == 10
    assert store_of(folder).load("tiny-net", 9).version == 9


def test_manifests_are_sorted_by_name_and_version(write: Write) -> None:
    for name, version in (("b", 1), ("a", 10), ("a", 2)):
        folder = write(name=name, version=version)
    listed = [(manifest.name, manifest.version) for manifest in store_of(folder).manifests()]
    assert listed == [("a", 2), ("a", 10), ("b", 1)]


def test_entries_that_are_not_versions_are_not_listed(write: Write) -> None:
    folder = write()
    root = folder.parent.parent
    (root / "README.md").write_text("models")
    (root / "empty").mkdir()
    (folder.parent / ".1-passing").mkdir()
    (folder.parent / "01").mkdir()
    (folder.parent / "2").write_text("no folder")
    assert [manifest.title for manifest in ModelStore(root).manifests()] == [TITLE]


def test_a_missing_store_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no model store at '.*/nowhere': no such folder"):
        ModelStore(tmp_path / "nowhere")


def test_an_empty_store_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="model 'a' not found; available: none"):
        ModelStore(tmp_path).load("a")


@pytest.mark.parametrize("name", ["other", "..", "../store/tiny-net", "tiny-net/1", "/etc", "a\0b"])
def test_an_unknown_model_is_reported_with_the_available_ones(write: Write, name: str) -> None:
    with pytest.raises(NotFound, match="available: tiny-net") as caught:
        store_of(write()).load(name)
    assert caught.value.field == "model"


@pytest.mark.parametrize("version", [2, 0, -1])
def test_an_unknown_version_is_reported_with_the_available_ones(write: Write, version: int) -> None:
    with pytest.raises(NotFound, match=f"model 'tiny-net' has no version {version}; available: 1") as caught:
        store_of(write()).load("tiny-net", version)
    assert caught.value.field == "version"


def test_tampered_weights_are_rejected(write: Write) -> None:
    folder = write()
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}' does not match the manifest"):
        store_of(folder).load("tiny-net")


def test_missing_weights_are_rejected(write: Write) -> None:
    folder = write()
    (folder / WEIGHTS).unlink()
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}' is missing; copy the model"):
        store_of(folder).load("tiny-net")


def test_weights_without_a_hash_are_rejected(write: Write) -> None:
    folder = write()
    edit_manifest(folder, files={})
    with pytest.raises(
        DamagedModel, match=f"{TITLE}: the manifest does not list '{WEIGHTS}'; it lists no files"
    ):
        store_of(folder).load("tiny-net")


def test_pickled_weights_are_rejected_without_unpickling(write: Write, tmp_path: Path) -> None:
    folder = write()
    trap = tmp_path / "trap"
    (folder / WEIGHTS).write_bytes(f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode())
    rehash(folder)
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}': not a safetensors file"):
        store_of(folder).load("tiny-net")
    assert not trap.exists()


def test_weights_of_another_shape_are_rejected(write: Write) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "conv1.weight": tensors["conv1.weight"][:2].clone()})
    message = r"'conv1.weight' has the shape \(2, 3, 3, 3\); the network expects \(4, 3, 3, 3\)"
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}': tensor {message}"):
        store_of(folder).load("tiny-net")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int8])
def test_weights_of_another_type_are_rejected(write: Write, dtype: torch.dtype) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "fc2.bias": tensors["fc2.bias"].to(dtype)})
    with pytest.raises(DamagedModel, match=r"tensor 'fc2.bias' has the type \w+; allowed: F16 and F32"):
        store_of(folder).load("tiny-net")


def test_weights_in_single_precision_are_accepted(write: Write) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {name: tensor.float() for name, tensor in tensors.items()})
    assert store_of(folder).load("tiny-net").network.filters


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_rejected(write: Write, value: float) -> None:
    folder = write()

    def spoil(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors["fc2.weight"][1, 1] = value
        return tensors

    replace_weights(folder, spoil)
    with pytest.raises(DamagedModel, match=r"'fc2.weight' has values that are not finite in float16"):
        store_of(folder).load("tiny-net")


def test_a_missing_tensor_is_rejected(write: Write) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {"fc2.bias": tensors["fc2.bias"]})
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}': tensor 'conv1.weight' is missing"):
        store_of(folder).load("tiny-net")


def test_an_extra_tensor_is_rejected(write: Write) -> None:
    folder = write()
    replace_weights(folder, lambda tensors: {**tensors, "fc9.bias": torch.zeros(1)})
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}': tensor 'fc9.bias' belongs to no layer"):
        store_of(folder).load("tiny-net")


def test_a_manifest_that_is_not_json_is_rejected(write: Write) -> None:
    folder = write()
    (folder / "model.json").write_text("{")
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'model.json': Invalid JSON"):
        store_of(folder).manifest("tiny-net")


def test_an_invalid_value_in_a_manifest_is_rejected_with_its_location(write: Write) -> None:
    folder = write()
    edit_manifest(folder, preprocessing={"crop": -1})
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'model.json': preprocessing.crop: ") as caught:
        store_of(folder).manifest("tiny-net")
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_match_the_last_layer_are_rejected(write: Write) -> None:
    folder = write()
    edit_manifest(folder, labels=[{"id": "n1", "name": "cat"}])
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'model.json': .*1 labels for layer 'fc2'"):
        store_of(folder).load("tiny-net")


def test_a_missing_manifest_is_rejected(write: Write) -> None:
    folder = write()
    (folder / "model.json").unlink()
    with pytest.raises(DamagedModel, match=f"{TITLE}: 'model.json' is missing"):
        store_of(folder).load("tiny-net")


def test_a_folder_with_another_models_manifest_is_rejected(write: Write) -> None:
    folder = write()
    folder.rename(folder.parent / "7")
    with pytest.raises(DamagedModel, match=f"version 7: 'model.json' states {TITLE}"):
        store_of(folder).load("tiny-net")


@pytest.mark.parametrize("file", ["model.json", WEIGHTS])
def test_a_link_out_of_the_folder_is_rejected(write: Write, tmp_path: Path, file: str) -> None:
    folder = write()
    (folder / file).rename(tmp_path / "elsewhere")
    (folder / file).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{file}' is a link to a file outside its folder"):
        store_of(folder).load("tiny-net")


def test_a_pipe_instead_of_a_file_is_rejected_without_blocking(write: Write) -> None:
    folder = write()
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises(DamagedModel, match=f"{TITLE}: '{WEIGHTS}' is not a regular file"):
        store_of(folder).load("tiny-net")


def test_a_store_can_be_a_symbolic_link(write: Write, tmp_path: Path) -> None:
    folder = write()
    (tmp_path / "link").symlink_to(folder.parent.parent)
    assert ModelStore(tmp_path / "link").load("tiny-net").version == 1


def test_the_built_network_has_the_spec_of_the_manifest(write: Write, spec: NetworkSpec) -> None:
    assert store_of(write()).load("tiny-net").network.spec == spec


def test_several_models_need_a_name_or_a_default(write: Write) -> None:
    store = store_of(write())
    assert store.default_name() == "tiny-net" == store.load().name
    write(name="other")
    with pytest.raises(InputError, match="several models and no default; name one of other, tiny-net"):
        store.load()
    (store.root / "store.json").write_text('{"default_model": "tiny-net"}')
    assert store.load().name == "tiny-net"
    (store.root / "store.json").write_text('{"default_model": "huge"}')
    with pytest.raises(NotFound, match="model 'huge' not found; available: other, tiny-net"):
        store.load()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "Invalid JSON"), ("{}", "default_model: Field required"), ('{"default": 1}', "default_model")],
)
def test_an_invalid_store_json_is_rejected(write: Write, text: str, reason: str) -> None:
    store = store_of(write())
    (store.root / "store.json").write_text(text)
    with pytest.raises(DamagedModel, match=f"'store.json': {reason}"):
        store.default_name()


def test_an_unknown_field_in_a_manifest_is_rejected_with_a_suggestion(write: Write) -> None:
    folder = write()
    edit_manifest(folder, preprocessing={"cropp": 8})
    with pytest.raises(DamagedModel, match=r"preprocessing\.cropp: is not known; .*did you mean 'crop'\?"):
        store_of(folder).manifest("tiny-net")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"input_channels": 1},
            "the network's input_channels is 1, but the preprocessing's channels are 'RGB'; allowed: 3 with",
        ),
        ({"input_channels": 4}, "the network's input_channels is 4, but the preprocessing's channels are"),
        (
            {"input_size": 9},
            r"network's input_size is 9 pixels and the preprocessing's crop is 8",
        ),
    ],
)
def test_a_network_that_does_not_take_photos_is_rejected(
    write: Write, manifest: Manifest, changes: dict[str, int], reason: str
) -> None:
    folder = write()
    spec = manifest.network.model_copy(update=changes)
    edit_manifest(folder, network=spec.model_dump(mode="json"))
    with pytest.raises(DamagedModel, match=f"^{TITLE}: 'model.json': .*{reason}"):
        store_of(folder).load("tiny-net")
    with pytest.raises(ValidationError, match=reason):
        Manifest(**{**dict(manifest), "network": spec})
