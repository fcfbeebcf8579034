"""The model store on disk: NAME/VERSION/, found by listing, loaded only when verified."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from zfscope.errors import DamagedModel, InputError, NotFound
from zfscope.images.preprocess import Preprocessing
from zfscope.networks.spec import NetworkSpec, layers_of_maps, tensor_shapes
from zfscope.results import Notice
from zfscope.store.integrity import (
    check_regular_file,
    damaged_model,
    list_files,
    read_model_file,
    read_verified,
    verify_files,
)
from zfscope.store.manifest import MANIFEST, WEIGHTS, Label, Manifest, preprocessing_notices
from zfscope.store.survey import DamagedEntry, is_gone, survey
from zfscope.store.weights import Weights, check_arrays, parse_arrays, unpack_weights
from zfscope.validation import first_fault

if TYPE_CHECKING:
    from zfscope.networks.network import Network

_SETTINGS = "store.json"


class _StoreSettings(BaseModel):
    """What a store says of itself, in `store.json`."""

    model_config = ConfigDict(extra="forbid")

    default_model: str


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. It never changes: requests share it without locks.

    weights: verified; the network is built from them when it is first used. mean_image: float32 (3, H, W) in
    pixel units, read-only, None where the preprocessing subtracts a mean per channel. folder: where it was
    read; None for a model of no store. indexes: the folder of its indexes, None for the one in its own.
    """

    manifest: Manifest
    weights: Weights
    mean_image: NDArray[np.float32] | None = None
    folder: Path | None = None
    indexes: Path | None = None

    @property
    def spec(self) -> NetworkSpec:
        """The network as data, which takes no torch."""
        return self.manifest.network

    @property
    def network(self) -> "Network":
        """The network with its weights, for torch: float32, in evaluation mode, without gradients."""
        return self.weights.network

    @property
    def name(self) -> str:
        """The model's name in the store."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """The model's version, from 1."""
        return self.manifest.version

    @property
    def labels(self) -> tuple[Label, ...]:
        """What each class score means, in the order of the scores."""
        return self.manifest.labels

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What was assumed of the model when it was imported; every answer by it says so."""
        return preprocessing_notices(self.manifest)

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to a photo before the network sees it."""
        return self.manifest.preprocessing

    def unit_name(self, layer: str, number: int) -> str:
        """Return what figures call a map of a layer, or a unit where it has no maps: `map 3`, `unit 3`."""
        return f"{'map' if self.spec.is_map(layer) else 'unit'} {number}"

    def class_of(self, layer: str, unit: int) -> str:
        """Return the class that a unit of the class scores stands for, empty for other layers."""
        return self.labels[unit].name if layer == self.spec.scores and self.labels else ""

    @property
    def weights_sha256(self) -> str:
        """The hash of the weights that were loaded."""
        return self.manifest.files[WEIGHTS]


class ModelStore:
    """A folder of models. What it says and loads is read from disk at each call.

    Where a model is named, an empty name is the default one; see `default_name`.
    """

    def __init__(self, root: Path, *, indexes: Path | None = None) -> None:
        """Open the store at `root`. Raises NotFound where there is no such folder.

        indexes: the folder of the indexes of its models, None for one in the folder of each.
        """
        if not root.is_dir():
            reason = "not a folder" if root.exists() else "no such folder"
            raise NotFound(f"no model store at '{root}': {reason}", field="store")
        self.root = root
        self.indexes = indexes

    def manifests(self) -> tuple[Manifest, ...]:
        """Return every manifest that can be read, by name and then by version; see `listing`."""
        return tuple(found for found in self.listing() if isinstance(found, Manifest))

    def listing(self) -> tuple[Manifest | DamagedEntry, ...]:
        """Return every version of every model, by name and then by version, damaged ones too.

        Manifests are read, weights are only looked for: their hashes are checked when the model is loaded.
        """
        found = survey(self.root)
        entries = [
            entry
            for name, versions in found.versions.items()
            for version in versions
            if (entry := self._entry(name, version)) is not None
        ]
        return tuple(sorted((*entries, *found.faults), key=lambda entry: (entry.name, entry.version)))

    def _entry(self, name: str, version: int) -> Manifest | DamagedEntry | None:
        """Return a listed version; None where it was removed meanwhile."""
        folder = self.root / name / str(version)
        try:
            return _read_usable(folder)
        except DamagedModel as error:
            if is_gone(folder):
                return None
            return DamagedEntry(name, version, error.message.removeprefix(f"{_title(folder)}: "))

    def default_name(self) -> str:
        """Return the model of calls that name none: that of `store.json`, else the only usable one.

        Raises NotFound for a store without models, InputError for one of several that states no default,
        DamagedModel for a `store.json` that cannot be read.
        """
        names = sorted(self.versions())
        if not names:
            raise NotFound(f"the model store '{self.root}' has no models", field="store")
        if (self.root / _SETTINGS).exists():
            return _read_settings(self.root).default_model
        names = self._usable(names)
        if len(names) > 1:
            listing = f"name one of {', '.join(names)}"
            raise InputError(f"the store has several models and no default: {listing}", field="model")
        return names[0]

    def _usable(self, names: list[str]) -> list[str]:
        """Leave damaged models out, unless all are: the first one's damage is then reported."""
        if len(names) == 1:
            return names
        found = {manifest.name for manifest in self.manifests()}
        return [name for name in names if name in found] or names[:1]

    def manifest(self, name: str = "", version: int | None = None) -> Manifest:
        """Read one manifest; version None is the newest. Raises NotFound and DamagedModel."""
        return _read_manifest(self.folder(name, version))

    def load(self, name: str = "", version: int | None = None) -> Model:
        """Load a model; version None is the newest.

        The weights are verified against the manifest's hash and the network's shapes.
        Raises NotFound where the store has no such model, DamagedModel where it cannot be trusted.
        """
        folder = self.folder(name, version)
        manifest = _read_manifest(folder)
        data = read_verified(folder, WEIGHTS, manifest.files, title=manifest.title)
        try:
            weights, mean_image = unpack_weights(data, manifest.network)
        except ValueError as error:
            raise damaged_model(manifest.title, f"'{WEIGHTS}': {error}") from error
        _check_mean_image(manifest, mean_image)
        return Model(manifest, weights, mean_image, folder, self.indexes)

    def load_checkpoint(self, name: str, epoch: int, version: int | None = None) -> Model:
        """Load a model as it was after an epoch of its training: its layers of maps, and no classes.

        Its hash of weights is that of the checkpoint, its network ends before the fully connected layers.
        Raises NotFound for an epoch that was not kept, with those that were, and as `load` does.
        """
        folder = self.folder(name, version)
        manifest = _read_manifest(folder)
        checkpoint = manifest.checkpoint(epoch)
        data = read_verified(folder, checkpoint.file, manifest.files, title=manifest.title)
        early = manifest.model_copy(
            update={
                "network": layers_of_maps(manifest.network),
                "labels": (),
                "accuracy": None,
                "checkpoints": (),
                "files": {WEIGHTS: manifest.files[checkpoint.file]},
            }
        )
        try:
            weights, _ = unpack_weights(data, early.network)
        except ValueError as error:
            raise damaged_model(manifest.title, f"'{checkpoint.file}': {error}") from error
        return Model(early, weights, self._mean_image(manifest), folder, self.indexes)

    def _mean_image(self, manifest: Manifest) -> NDArray[np.float32] | None:
        """Read the mean image, which training does not change, beside the final weights."""
        if manifest.preprocessing.mean != "image":
            return None
        return self.load(manifest.name, manifest.version).mean_image

    def verify(self, name: str, version: int | None = None) -> Manifest:
        """Check every file of a model, checkpoints and the model card too, and load it once.

        Raises NotFound and DamagedModel; gives the manifest of a model that is whole.
        """
        folder = self.folder(name, version)
        model = self.load(name, version)
        manifest = model.manifest
        verify_files(folder, manifest.files, ignored=MANIFEST, title=manifest.title)
        for checkpoint in manifest.checkpoints:
            data = read_verified(folder, checkpoint.file, manifest.files, title=manifest.title)
            try:
                check_arrays(parse_arrays(data), tensor_shapes(manifest.network))
            except ValueError as error:
                raise DamagedModel(f"{manifest.title}: '{checkpoint.file}': {error}") from error
        return manifest

    def versions(self) -> Mapping[str, list[int]]:
        """Return the versions of every model that has any, ascending, whether or not they can be used."""
        return survey(self.root).versions

    def stamp(self, name: str, version: int) -> Hashable:
        """Give what changes when a file of a model does: names, sizes and times, to be compared alone."""
        folder = self.folder(name, version)
        stats = ((file, (folder / file).stat()) for file in list_files(folder))
        return frozenset((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)

    def folder(self, name: str, version: int | None = None) -> Path:
        """Return the folder of a model; version None is the newest. Raises NotFound, and DamagedModel.

        It is looked up among what the store lists: no path is ever made of a caller's text.
        """
        found, name = survey(self.root), name or self.default_name()
        versions = found.versions.get(name, [])
        wanted = versions[-1] if version is None and versions else version
        if wanted in versions:
            return self.root / name / str(wanted)
        fault = found.fault(name, version)
        if fault:
            raise DamagedModel(f"model '{name}': {fault.reason}")
        if not versions:
            raise NotFound(f"no model '{name}'; this store has {_join(found.versions)}", field="model")
        raise NotFound(f"no version {wanted} of model '{name}'; there is {_join(versions)}", field="version")


def _read_settings(root: Path) -> _StoreSettings:
    try:
        return _StoreSettings.model_validate_json((root / _SETTINGS).read_bytes())
    except (OSError, ValidationError) as error:
        reason = first_fault(error, _StoreSettings) if isinstance(error, ValidationError) else error.strerror
        raise DamagedModel(f"the model store '{root}': '{_SETTINGS}': {reason}") from error


def _read_manifest(folder: Path) -> Manifest:
    title = _title(folder)
    try:
        manifest = Manifest.model_validate_json(read_model_file(folder, MANIFEST, title=title))
    except ValidationError as error:
        raise damaged_model(title, f"'{MANIFEST}': {first_fault(error, Manifest)}") from error
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise DamagedModel(
            f"{title}: '{MANIFEST}' is that of {manifest.title}; rename the folder, since they must agree"
        )
    return manifest


def _read_usable(folder: Path) -> Manifest:
    """Read a manifest, and check that there are weights. Raises DamagedModel."""
    manifest = _read_manifest(folder)
    try:
        check_regular_file(folder, WEIGHTS)
    except ValueError as error:
        raise damaged_model(manifest.title, str(error)) from error
    return manifest


def _title(folder: Path) -> str:
    return f"model '{folder.parent.name}' version {folder.name}"


def _check_mean_image(manifest: Manifest, mean_image: NDArray[np.float32] | None) -> None:
    stated = manifest.preprocessing.mean == "image"
    if stated != (mean_image is not None):
        what = (
            "subtracts a mean image, and there is none"
            if stated
            else "subtracts no mean image, and there is one"
        )
        raise DamagedModel(f"{manifest.title}: '{WEIGHTS}': the preprocessing {what}")
    sides = (manifest.preprocessing.centre, manifest.preprocessing.crop)
    if mean_image is not None and mean_image.shape not in [(3, side, side) for side in sides]:
        allowed = " or ".join(str((3, side, side)) for side in dict.fromkeys(sides))
        raise DamagedModel(
            f"{manifest.title}: '{WEIGHTS}': mean image of shape {mean_image.shape}; allowed is {allowed}"
        )


def _join(values: object) -> str:
    assert isinstance(values, (Mapping, list))
    return ", ".join(str(value) for value in sorted(values)) or "no models"
