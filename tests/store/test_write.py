"""Models are written completely or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from zfscope.errors import CannotWrite, InputError
from zfscope.networks import Network, build
from zfscope.networks.spec import NetworkSpec
from zfscope.store import Manifest, ModelStore, write_manifest, write_model
from zfscope.store import write as writing


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_all_files_are_written_to_name_and_version(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    safetensors.torch.save_file({"conv1.bias": torch.zeros(4)}, tmp_path / "epoch")
    folder = write_model(
        tmp_path / "store",
        manifest,
        network,
        checkpoints={20: tmp_path / "epoch", 3: tmp_path / "epoch"},
        extra_files={"history.json": b"[]"},
    )
    assert folder == tmp_path / "store" / "tiny-net" / "1"
    epochs = {"checkpoints/epoch-003.safetensors", "checkpoints/epoch-020.safetensors"}
    files = {"weights.safetensors", "history.json"} | epochs
    assert names_below(folder) == files | {"model.json", "checkpoints"}
    written = ModelStore(tmp_path / "store").verify("tiny-net")
    assert set(written.files) == files
    assert [checkpoint.epoch for checkpoint in written.checkpoints] == [3, 20]


def test_weights_are_written_in_half_precision(write: Callable[..., Path]) -> None:
    tensors = safetensors.torch.load_file(write() / "weights.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_channels_last_weights_are_written_like_others(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
    write_model(tmp_path, manifest, network)
    loaded = ModelStore(tmp_path).load("tiny-net").network.layers.state_dict()
    for name, tensor in network.layers.state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float())


def test_written_files_are_readable_by_other_users(write: Callable[..., Path]) -> None:
    assert write().stat().st_mode & 0o777 == 0o755


def test_an_existing_version_is_not_overwritten(write: Callable[..., Path]) -> None:
    folder = write()
    before = (folder / "model.json").read_bytes()
    with pytest.raises(InputError, match="model 'tiny-net' version 1 already exists in the store"):
        write(summary="another")
    assert (folder / "model.json").read_bytes() == before


def test_weights_of_another_network_are_rejected(
    tmp_path: Path, manifest: Manifest, spec: NetworkSpec
) -> None:
    other = build(spec.model_copy(update={"name": "other"}))
    with pytest.raises(InputError, match="the network of the weights differs from that of the manifest"):
        write_model(tmp_path, manifest, other)


def test_weights_too_large_for_half_precision_are_rejected(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    with torch.no_grad():
        network.filters["conv1"].weight[0, 0, 0, 0] = 1e5
    with pytest.raises(InputError, match=r"'conv1.weight' has values that are not finite in float16"):
        write_model(tmp_path, manifest, network)


def test_a_file_outside_the_folder_is_rejected(tmp_path: Path, manifest: Manifest, network: Network) -> None:
    with pytest.raises(InputError, match=r"file name '\.\./x' must be a relative path"):
        write_model(tmp_path / "store", manifest, network, extra_files={"../x": b""})
    assert not (tmp_path / "store").exists()


def test_a_checkpoint_of_another_network_is_rejected(
    tmp_path: Path, manifest: Manifest, network: Network
) -> None:
    safetensors.torch.save_file({"conv7.bias": torch.zeros(4)}, tmp_path / "epoch")
    with pytest.raises(InputError, match=r"tensor 'conv7.bias' belongs to no layer"):
        write_model(tmp_path / "store", manifest, network, checkpoints={1: tmp_path / "epoch"})


def test_a_failing_disk_leaves_nothing_behind(
    tmp_path: Path, manifest: Manifest, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, manifest: Manifest) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(writing, "write_manifest", fail)
    with pytest.raises(CannotWrite, match=r"tiny-net/1' cannot be written: no space left") as caught:
        write_model(tmp_path, manifest, network)
    assert isinstance(caught.value.__cause__, OSError)
    assert names_below(tmp_path) == set()


def test_a_full_disk_leaves_no_partial_model(small_disk: Path, manifest: Manifest, network: Network) -> None:
    (small_disk / "ballast").write_bytes(bytes((1 << 20) - 16_384))
    with pytest.raises(CannotWrite, match="No space left on device; free some space there, or write to"):
        write_model(small_disk, manifest, network, extra_files={"history.png": bytes(1 << 18)})
    assert names_below(small_disk) == {"ballast"}


def test_an_edited_model_card_is_hashed_again(write: Callable[..., Path]) -> None:
    folder = write()
    (folder / "README.md").write_text("# Tiny")
    manifest = Manifest.model_validate_json((folder / "model.json").read_bytes())
    rewritten = write_manifest(folder, manifest)
    assert set(rewritten.files) == {"weights.safetensors", "README.md"}
    assert ModelStore(folder.parent.parent).verify("tiny-net") == rewritten
