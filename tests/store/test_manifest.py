"""The manifest: accepted values, and errors for others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from zfscope.store import Manifest
from zfscope.store.manifest import Checkpoint, validate_file_name


def changed(manifest: Manifest, **changes: Any) -> dict[str, Any]:
    return {**manifest.model_dump(), **changes}


def test_a_manifest_round_trips_through_json(manifest: Manifest) -> None:
    whole = Manifest.model_validate(changed(manifest, files={"weights.safetensors": "0" * 64}))
    assert Manifest.model_validate_json(whole.model_dump_json()) == whole


def test_a_manifest_is_immutable(manifest: Manifest) -> None:
    whole = Manifest.model_validate(changed(manifest, files={"a": "0" * 64}))
    with pytest.raises(ValidationError, match="frozen"):
        whole.name = "other"  # type: ignore[misc]  # what mypy forbids is what is tested
    with pytest.raises(TypeError, match="does not support item assignment"):
        whole.files["a"] = "1" * 64  # type: ignore[index]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Big", ".hidden", "a" * 65, "a\n"])
def test_a_name_that_is_not_a_plain_folder_name_is_rejected(manifest: Manifest, name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        Manifest.model_validate(changed(manifest, name=name))


@pytest.mark.parametrize("version", [0, -1, 1.5])
def test_versions_start_at_one(manifest: Manifest, version: float) -> None:
    with pytest.raises(ValidationError, match="version"):
        Manifest.model_validate(changed(manifest, version=version))


def test_each_class_score_needs_one_label(manifest: Manifest) -> None:
    with pytest.raises(
        ValidationError, match=r"2 labels for layer 'fc2' of shape \(3,\); expected one per class"
    ):
        Manifest.model_validate(changed(manifest, labels=manifest.model_dump()["labels"][:2]))


def test_a_network_that_ends_in_feature_maps_has_no_labels(manifest: Manifest) -> None:
    network = manifest.model_dump()["network"]
    maps = {**network, "layers": network["layers"][:3]}
    assert Manifest.model_validate(changed(manifest, network=maps, labels=[])).labels == ()
    with pytest.raises(ValidationError, match=r"3 labels for layer 'pool1' of shape \(4, 2, 2\)"):
        Manifest.model_validate(changed(manifest, network=maps))
    with pytest.raises(ValidationError, match=r"0 labels for layer 'fc2'"):
        Manifest.model_validate(changed(manifest, labels=[]))


def test_label_ids_are_unique(manifest: Manifest) -> None:
    labels = [{"id": "n1", "name": "cat"}] * 3
    with pytest.raises(ValidationError, match="label id 'n1' occurs 3 times"):
        Manifest.model_validate(changed(manifest, labels=labels))


def test_layers_that_do_not_fit_together_are_rejected_by_name(manifest: Manifest) -> None:
    network = manifest.model_dump()["network"]
    with pytest.raises(ValidationError, match="layer 'fc2' reads"):
        Manifest.model_validate(changed(manifest, network={**network, "layers": network["layers"][-1:]}))


@pytest.mark.parametrize(
    "file", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", ".x", "a/.x", "x ", "a\n"]
)
def test_a_file_that_could_be_outside_the_folder_is_rejected(manifest: Manifest, file: str) -> None:
    with pytest.raises(ValidationError, match="must be a relative path"):
        Manifest.model_validate(changed(manifest, files={file: "0" * 64}))


def test_a_file_in_a_subfolder_is_accepted() -> None:
    assert validate_file_name("checkpoints/epoch-001.safetensors") == "checkpoints/epoch-001.safetensors"


@pytest.mark.parametrize("digest", ["", "0" * 63, "G" * 64, "A" * 64])
def test_a_hash_is_64_lower_case_hexadecimal_digits(manifest: Manifest, digest: str) -> None:
    with pytest.raises(ValidationError, match="files"):
        Manifest.model_validate(changed(manifest, files={"a": digest}))


def test_an_unknown_field_is_rejected(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="colour"):
        Manifest.model_validate(changed(manifest, colour="red"))


def test_another_format_version_is_rejected(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="format_version"):
        Manifest.model_validate(changed(manifest, format_version=3))


def test_a_manifest_of_version_1_states_no_interpolation_and_is_bilinear(manifest: Manifest) -> None:
    old = changed(manifest, format_version=1)
    del old["preprocessing"]["interpolation"]
    read = Manifest.model_validate(old)
    assert (read.format_version, read.preprocessing.interpolation) == (1, "bilinear")
    assert read.network.fingerprint == manifest.network.fingerprint
    assert read == manifest.model_copy(update={"format_version": 1})


def test_manifests_are_written_in_version_2(write: Callable[..., Path], manifest: Manifest) -> None:
    folder = write(format_version=1)
    assert json.loads((folder / "model.json").read_text())["format_version"] == 2


def test_a_network_of_one_channel_reads_grey_levels(manifest: Manifest) -> None:
    grey = {"channels": "grey", "mean": [120.0], "std": [60.0]}
    network = {**manifest.model_dump()["network"], "input_channels": 1}
    preprocessing = {**manifest.model_dump()["preprocessing"], **grey}
    read = Manifest.model_validate(changed(manifest, network=network, preprocessing=preprocessing))
    assert Manifest.model_validate_json(read.model_dump_json()) == read
    with pytest.raises(
        ValidationError, match="input_channels is 3, but the preprocessing's channels are 'grey'"
    ):
        Manifest.model_validate(changed(manifest, preprocessing=preprocessing))


def test_early_epochs_exclude_the_last_epoch(manifest: Manifest) -> None:
    checkpoints = [Checkpoint(epoch=epoch, file=f"{epoch}") for epoch in (3, 1, 2)]
    provenance = manifest.provenance.model_copy(update={"epochs": 3})
    early = manifest.model_copy(update={"checkpoints": tuple(checkpoints), "provenance": provenance})
    assert early.early_epochs == (1, 2)
    unknown = manifest.provenance.model_copy(update={"epochs": None})
    assert early.model_copy(update={"provenance": unknown}).early_epochs == (1, 2, 3)
