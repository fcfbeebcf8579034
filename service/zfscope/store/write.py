"""Writing a model into the store; all or nothing."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zfscope.errors import CannotWrite, InputError
from zfscope.files import make_folder, staging_folder, write_file, writing
from zfscope.networks.spec import tensor_shapes
from zfscope.store.integrity import list_files, sha256
from zfscope.store.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    NAME_PATTERN,
    Checkpoint,
    Manifest,
    validate_file_name,
)
from zfscope.store.weights import Precision, check_arrays, pack_weights, parse_arrays

if TYPE_CHECKING:
    from zfscope.networks.network import Network


def write_model(
    store_root: Path,
    manifest: Manifest,
    network: "Network | bytes",
    *,
    checkpoints: Mapping[int, Path] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    mean_image: NDArray[np.float32] | None = None,
    precision: Precision = "float16",
) -> Path:
    """Write a model to NAME/VERSION/ in a store and return that folder.

    The folder appears under its final name only when it is complete.

    manifest: `files` and `checkpoints` are filled in here. network: with its weights; of an opaque network,
    its ONNX graph. checkpoints: safetensors files by epoch, to be
    copied. extra_files: contents by file name (history, pictures, model card). mean_image: float32
    (C, H, W). precision: of the stored weights. Raises CannotWrite, and InputError if the version already
    exists or if the weights do not match the manifest.
    """
    target = store_root / manifest.name / str(manifest.version)
    if target.exists():
        raise InputError(
            f"{manifest.title} already exists in the store; write another version", field="version"
        )
    weights = network if isinstance(network, bytes) else _packed(manifest, network, mean_image, precision)
    contents = _contents(manifest, checkpoints or {}, extra_files or {})
    files = {**contents, manifest.weights_file: weights}
    kept = tuple(Checkpoint(epoch=epoch, file=checkpoint_file(epoch)) for epoch in sorted(checkpoints or {}))
    make_folder(target.parent)
    try:
        with staging_folder(target.parent) as staging, writing(target):
            _fill(staging, files)
            write_manifest(staging, manifest.model_copy(update={"checkpoints": kept}))
            staging.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: it holds other versions
            target.parent.rmdir()
        raise
    return target


def check_available(store_root: Path, name: str, version: int = 1) -> None:
    """Raise InputError or CannotWrite if a model of this name and version cannot be added to the store."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"name '{name}' must match {NAME_PATTERN}", field="name")
    if (store_root / name / str(version)).exists():
        message = f"model '{name}' version {version} already exists in '{store_root}'"
        raise InputError(f"{message}; choose another --name or --store", field="name")
    check_writable(store_root / name, field="store", remedy="choose another --store")


def check_writable(folder: Path, *, field: str, remedy: str) -> None:
    """Raise CannotWrite if files cannot be written to a folder, which need not exist yet.

    remedy: advice for the message. Tested by creating and removing a folder in the nearest existing parent.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with staging_folder(nearest):
            pass
    except CannotWrite as error:
        raise CannotWrite(f"{error.message}; {remedy}", field=field) from error


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of a version's folder, write its `model.json`, and return the manifest as written.

    Also call this after editing the model card or adding a measurement: the old manifest is replaced
    atomically.
    """
    hashes = {file: sha256((folder / file).read_bytes()) for file in list_files(folder) if file != MANIFEST}
    updated = Manifest.model_validate(
        {**manifest.model_dump(), "format_version": FORMAT_VERSION, "files": hashes}
    )
    write_file(folder / MANIFEST, (updated.model_dump_json(indent=2) + "\n").encode(), durable=True)
    return updated


def checkpoint_file(epoch: int) -> str:
    """Return the relative path of an epoch's checkpoint in a version's folder."""
    return f"checkpoints/epoch-{epoch:03d}.safetensors"


def _contents(
    manifest: Manifest,
    checkpoints: Mapping[int, Path],
    extra_files: Mapping[str, bytes],
) -> Mapping[str, bytes]:
    """Return the checked contents of every file but the weights, before anything is written."""
    files: dict[str, bytes] = {}
    try:
        for name, data in extra_files.items():
            files[validate_file_name(name)] = data
        for epoch, path in checkpoints.items():
            files[checkpoint_file(epoch)] = path.read_bytes()
            check_arrays(parse_arrays(files[checkpoint_file(epoch)]), tensor_shapes(manifest.network))
    except ValueError as error:
        raise InputError(f"{manifest.title} cannot be written: {error}") from error
    return files


def _packed(
    manifest: Manifest, network: "Network", mean_image: NDArray[np.float32] | None, precision: Precision
) -> bytes:
    if network.spec != manifest.network:
        raise InputError(f"{manifest.title}: the network of the weights differs from that of the manifest")
    try:
        return pack_weights(network, mean_image, precision=precision)
    except ValueError as error:
        raise InputError(f"{manifest.title} cannot be written: {error}") from error


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data, durable=True)
