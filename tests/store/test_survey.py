"""A store with damaged entries: they are listed with the reason; other models still work."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from zfscope.errors import DamagedModel, NotFound
from zfscope.store import DamagedEntry, Manifest, ModelStore
from zfscope.store import store as store_module

Write = Callable[..., Path]
REMEDY = "copy the model from its source again, or remove the version's folder"


@pytest.fixture
def store(write: Write) -> ModelStore:
    """A store with the model tiny-net, version 1."""
    return ModelStore(write().parent.parent)


def damage_of(store: ModelStore) -> list[tuple[str, int, str]]:
    """Check that the whole model is listed, and return the damaged entries."""
    entries = store.listing()
    assert [entry.title for entry in entries if isinstance(entry, Manifest)] == ["model 'tiny-net' version 1"]
    assert [manifest.name for manifest in store.manifests()] == ["tiny-net"]
    assert store.load().name == "tiny-net"
    return [(entry.name, entry.version, entry.reason) for entry in entries if isinstance(entry, DamagedEntry)]


def empty_folder(folder: Path) -> None:
    folder.mkdir(parents=True)


def invalid_json(folder: Path) -> None:
    empty_folder(folder)
    (folder / "model.json").write_text("{")


def no_weights(folder: Path) -> None:
    shutil.copytree(folder.parent.parent / "tiny-net" / "1", folder)
    text = (folder / "model.json").read_text().replace('"tiny-net"', '"foo"')
    (folder / "model.json").write_text(text)
    (folder / "weights.safetensors").unlink()


def circular_link(folder: Path) -> None:
    empty_folder(folder)
    (folder / "model.json").symlink_to("model.json")


def folder_for_a_file(folder: Path) -> None:
    (folder / "model.json").mkdir(parents=True)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (empty_folder, "'model.json' is missing"),
        (invalid_json, "'model.json': Invalid JSON: EOF while parsing an object at line 1 column 1"),
        (no_weights, "'weights.safetensors' is missing"),
        (
            circular_link,
            r"'model.json' cannot be read: (Too many levels of symbolic links|its links form a loop)",
        ),
        (folder_for_a_file, "'model.json' is not a regular file"),
    ],
)
def test_a_damaged_version_is_listed_with_the_reason(
    store: ModelStore, damage: Callable[[Path], None], reason: str
) -> None:
    damage(store.root / "foo" / "1")
    ((name, version, message),) = damage_of(store)
    assert (name, version) == ("foo", 1)
    assert re.fullmatch(f"{reason}; {REMEDY}", message)
    with pytest.raises(DamagedModel, match=f"^model 'foo' version 1: {reason}; {REMEDY}$"):
        store.load("foo")


def test_a_file_instead_of_a_version_folder_damages_only_that_version(store: ModelStore) -> None:
    (store.root / "tiny-net" / "2").write_text("")
    reason = "'2' is a file, but a version's folder is expected; remove it"
    assert damage_of(store) == [("tiny-net", 2, reason)]
    with pytest.raises(DamagedModel, match=f"^model 'tiny-net': {reason}$"):
        store.manifest("tiny-net", 2)
    with pytest.raises(NotFound, match="model 'tiny-net' has no version 3; available: 1"):
        store.manifest("tiny-net", 3)


@pytest.mark.parametrize("name", ["01", "-1", "0", "latest"])
def test_a_model_in_a_folder_that_is_not_a_version_is_listed_with_a_remedy(
    store: ModelStore, name: str
) -> None:
    invalid_json(store.root / "foo" / name)
    allowed = "a number from 1 to 999999999 without leading zeros"
    reason = f"'{name}' is not a valid version; rename the folder: {allowed}"
    assert damage_of(store) == [("foo", 0, reason)]
    with pytest.raises(DamagedModel, match=f"^model 'foo': {reason}$"):
        store.manifest("foo")


@pytest.mark.parametrize(("name", "shown"), [(b"My Model", "My Model"), (b"caf\xe9", "caf\\xe9")])
def test_a_model_in_a_folder_with_an_invalid_name_is_listed_escaped(
    store: ModelStore, name: bytes, shown: str
) -> None:
    shutil.copytree(store.root / "tiny-net", store.root / os.fsdecode(name))
    ((listed, version, reason),) = damage_of(store)
    assert (listed, version) == (shown, 0)
    assert reason.startswith(f"'{shown}' is not a valid model name; rename the folder: up to 64 lower-case")


def test_a_model_whose_folder_cannot_be_listed_is_damaged(store: ModelStore) -> None:
    (store.root / "foo").symlink_to("foo")
    reason = "its folder cannot be listed: Too many levels of symbolic links; check its permissions"
    assert damage_of(store) == [("foo", 0, reason)]
    with pytest.raises(DamagedModel, match=f"^model 'foo': {reason}$"):
        store.manifest("foo", 7)


def test_a_version_removed_during_listing_is_not_damaged(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    invalid_json(store.root / "foo" / "1")
    read = store_module._read_manifest

    def remove_and_read(folder: Path) -> Manifest:
        if folder.parent.name == "foo":
            shutil.rmtree(folder.parent)
        return read(folder)

    monkeypatch.setattr(store_module, "_read_manifest", remove_and_read)
    assert damage_of(store) == []


def test_a_removed_store_is_reported(store: ModelStore) -> None:
    shutil.rmtree(store.root)
    with pytest.raises(DamagedModel, match=r"the model store '.*' cannot be listed: No such file"):
        store.listing()


def test_if_all_models_are_damaged_loading_the_default_reports_the_damage(tmp_path: Path) -> None:
    for name in ("a", "b"):
        empty_folder(tmp_path / name / "1")
    with pytest.raises(DamagedModel, match=r"model 'a' version 1: 'model.json' is missing"):
        ModelStore(tmp_path).load()


def test_a_network_too_large_for_memory_is_rejected_before_allocation(store: ModelStore) -> None:
    path = store.folder("tiny-net") / "model.json"
    manifest = json.loads(path.read_text())
    manifest["network"]["layers"][0]["channels"] = 10**13
    path.write_text(json.dumps(manifest))
    with pytest.raises(DamagedModel, match=r"'weights.safetensors': .*tensor 'conv1\.\w+' has the shape"):
        store.load()
